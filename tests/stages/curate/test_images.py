"""Signatures of images in batches: order, digests, and images that cannot be read."""

from __future__ import annotations

import hashlib

from stages.curate.images import BATCH, DIGEST, Signed, signed
from stages.curate.rules import MEASURED, measure
from stages.curate.signature import SIDE, signatures
from stages.images import decode_grey
from stages.stage import RowError
from tests.stages.curate.photographs import jpeg, photograph

LIMIT = 1_000_000


def test_each_image_in_its_order() -> None:
    images = {seed: jpeg(photograph(seed, (60, 40))) for seed in range(3)}
    given: list[tuple[int, bytes | RowError]] = [(number, images[number % 3]) for number in range(BATCH + 4)]
    given[1] = (1, b"no image")
    given[BATCH] = (BATCH, RowError("missing_image"))
    found = list(signed(given, LIMIT))
    assert [name for name, _ in found] == list(range(BATCH + 4))
    assert [name for name, signature in found if signature is None] == [1, BATCH]
    for name, signature in found:
        if signature is not None:
            data = images[name % 3]
            (own,), (small,) = signatures(decode_grey(data, LIMIT, SIDE)[None])
            assert signature == Signed(hashlib.sha256(data).digest()[:DIGEST], own.tobytes(), small.tobytes())


def test_measures_where_they_are_asked_for() -> None:
    data = jpeg(photograph(1, (60, 40)))
    ((_, signature),) = signed([("one", data)], LIMIT, measured=True)
    assert signature is not None and signature.measures == measure(decode_grey(data, LIMIT, MEASURED))


def test_a_limit_of_pixels_holds() -> None:
    data = jpeg(photograph(1, (60, 40)))
    for limit, fits in ((60 * 40 - 1, False), (60 * 40, True)):
        ((_, signature),) = signed([("one", data)], limit)
        assert (signature is not None) is fits
    assert list(signed([], LIMIT)) == []
