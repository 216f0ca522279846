import torch
from torch.nn import functional as F

from model.backbone import SwinTransformer, drop_block
from model.variants import SwinSpec


def test_swin_trains_after_inference_of_the_same_size() -> None:
    """What is kept between calls (index and mask of the windows) must not tie a later training to inference mode."""
    swin = SwinTransformer(SwinSpec(8, (1, 2, 1, 1), (1, 1, 1, 1), window=3))
    pixels = torch.randn(1, 3, 40, 56)
    with torch.inference_mode():
        expected = swin(pixels)
    maps = swin(pixels)
    sum(x.square().sum() for x in maps).backward()
    assert len(maps) == len(expected) == 4
    assert all(torch.allclose(x, y, atol=1e-5) for x, y in zip(maps, expected, strict=True))
    assert all(parameter.grad is not None for parameter in swin.parameters())


def test_drop_path_leaves_out_whole_branches_in_train_mode_only() -> None:
    torch.manual_seed(0)
    swin = SwinTransformer(SwinSpec(8, (1, 1, 1, 1), (1, 1, 1, 1), window=3), drop_path=0.9)
    block = swin.layers[3].blocks[0]  # the rate grows with the depth: 0.9 here
    assert swin.layers[0].blocks[0].drop_path == 0
    x = torch.randn(400, 2, 2, 64)
    assert torch.equal(block.eval()(x), block(x))
    untouched = (block.train()(x) == x).flatten(1).all(1).float().mean()
    assert 0.72 < untouched < 0.9  # both branches dropped: 0.81


def test_drop_block_cuts_squares_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(8, 4, 60, 60)
    dropped = drop_block(x, probability=0.3)
    zero = dropped == 0
    assert torch.equal(zero[:, :1].expand_as(zero), zero)  # one mask for all channels
    assert not torch.equal(zero[0], zero[1])
    assert 0.2 < zero.float().mean() < 0.3
    assert torch.allclose(dropped.mean(), torch.ones(()))
    whole = -F.max_pool2d(-zero[:, :1].float(), 3, stride=1)  # 1 where all of a 3x3 square is zero
    squares = F.max_pool2d(whole, 3, stride=1, padding=1)  # and what these squares cover together
    assert torch.equal(squares[:, 0, 1:-1, 1:-1].bool(), zero[:, 0, 2:-2, 2:-2])
