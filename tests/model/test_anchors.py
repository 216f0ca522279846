import math

import torch

from model.anchors import decode, encode, level_sizes, pyramid_anchors


def test_cells_are_the_published_ones() -> None:
    levels = pyramid_anchors(level_sizes(256, 288))
    cells = [level[0].tolist() for level in levels]
    halves = ((-28, 35), (-56, 71), (-112, 143), (-224, 287), (-448, 575))
    assert cells == [[low, low, high, high] for low, high in halves]
    assert [len(level) for level in levels] == [32 * 36, 16 * 18, 8 * 9, 4 * 5, 2 * 3]
    assert levels[0][37].tolist() == [-20, -20, 43, 43]  # second row, second column: one stride right and down


def test_coder_round_trip_with_inclusive_corners() -> None:
    anchors = torch.tensor([[0.0, 0, 63, 63], [10, 20, 73, 83]]).double()
    boxes = torch.tensor([[5.0, 6, 30, 90], [0, 0, 9, 4]]).double()
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes)
    # Anchor and box of equal centre: 64 pixels against 32 is a log ratio of exactly log(1/2) only with the +1.
    half = torch.tensor([[16.0, 16, 47, 47]]).double()
    torch.testing.assert_close(encode(half, anchors[:1])[0, 2], torch.tensor(5 * math.log(0.5)).double())


def test_growth_is_capped_and_shrinking_is_not() -> None:
    anchors = torch.tensor([[0.0, 0, 63, 63]])
    grown = decode(torch.tensor([[0.0, 0, 1e4, -1e4]]), anchors)[0]
    torch.testing.assert_close(grown[2] - grown[0] + 1, torch.tensor(64 * 1000 / 16))
    torch.testing.assert_close(grown[3] - grown[1] + 1, torch.tensor(0.0))
