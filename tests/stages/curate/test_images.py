"""Signatures of images in batches: order, digests, and images that cannot be read."""

from __future__ import annotations

import hashlib

import numpy as np

from stages.curate.images import BATCH, DIGEST, signed
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
    assert [name for name, *_ in found] == list(range(BATCH + 4))
    for name, digest, bits, thumb in found:
        if name in (1, BATCH):
            assert bits is None and thumb is None
            continue
        data = images[name % 3]
        (own,), (small,) = signatures(decode_grey(data, LIMIT, SIDE)[None])
        assert digest == hashlib.sha256(data).digest()[:DIGEST]
        assert (bits, thumb) == (own.tobytes(), small.tobytes())
    assert found[BATCH][1] == b"" and found[1][1] != b""


def test_a_limit_of_pixels_holds() -> None:
    ((_, _, bits, _),) = signed([("large", jpeg(photograph(1, (60, 40))))], 60 * 40 - 1)
    assert bits is None
    assert list(signed([], LIMIT)) == []
    assert np.frombuffer(next(signed([("fits", jpeg(photograph(1, (60, 40))))], 60 * 40))[2] or b"", np.uint8).any()
