"""The planted corpus: copies are of earlier images that are none, and look like them as far as the kind allows."""

from __future__ import annotations

import tarfile
from io import BytesIO

import numpy as np
import pytest

from benchmarks.curate_corpus import EXACT, KINDS, Bank, Corpus, bank_of
from stages.curate.likeness import likeness
from stages.curate.signature import BYTES, THUMB, VIEWS
from tests.stages.curate.photographs import jpeg, photograph

NUMBERS = np.arange(3000)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("photographs")
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for seed in range(30):
            data = jpeg(photograph(seed))
            member = tarfile.TarInfo(f"{seed}.jpg")
            member.size = len(data)
            tar.addfile(member, BytesIO(data))
    return bank_of(folder, 30)


def test_a_copy_is_of_an_earlier_image_that_is_none(bank: Bank) -> None:
    corpus = Corpus(bank)
    kinds, sources = corpus.kinds(NUMBERS), corpus.sources(NUMBERS)
    copies = kinds > 0
    assert (sources[~copies] == NUMBERS[~copies]).all() and (sources[copies] < NUMBERS[copies]).all()
    assert (kinds[sources] == 0).all()
    assert set(kinds.tolist()) == set(range(len(KINDS) + 1)) and 0.2 < copies.mean() < 0.3
    assert 0.03 < (kinds == EXACT).mean() < 0.07


def test_an_image_follows_from_its_number(bank: Bank) -> None:
    corpus, some = Corpus(bank), np.array([2000, 17, 5])
    assert corpus.bits(NUMBERS).shape == (3000, len(VIEWS), BYTES)
    assert (corpus.bits(some) == corpus.bits(NUMBERS)[some]).all()
    assert (corpus.thumbs(some) == corpus.thumbs(NUMBERS)[some]).all()
    assert corpus.thumbs(some).shape == (3, THUMB, THUMB)
    assert (corpus.digests(some) == corpus.digests(NUMBERS)[some]).all()


def test_copies_are_like_their_sources_and_others_are_not(bank: Bank) -> None:
    corpus = Corpus(bank)
    kinds, sources = corpus.kinds(NUMBERS), corpus.sources(NUMBERS)
    plain = np.isin(kinds, [KINDS.index("half the size"), KINDS.index("brighter"), KINDS.index("grey"), EXACT])
    copies = NUMBERS[plain]
    thumbs, whole = corpus.thumbs(NUMBERS), np.zeros(len(copies), np.int64)
    assert np.median(likeness(thumbs[copies], whole, thumbs[sources[copies]], whole)) > 0.9
    assert np.median(np.abs(likeness(thumbs[copies], whole, thumbs[copies - 1], whole))) < 0.5
    bits = corpus.bits(NUMBERS)[:, 0]
    apart = np.bitwise_count(bits[copies] ^ bits[sources[copies]]).sum(1)
    assert np.median(apart) <= 8 and np.median(np.bitwise_count(bits[copies] ^ bits[copies - 1]).sum(1)) > 30
    exact = NUMBERS[kinds == EXACT]
    assert (corpus.digests(exact) == corpus.digests(sources[exact])).all()
    assert len(np.unique(corpus.digests(NUMBERS), axis=0)) == 3000 - len(exact)
