"""The detector's weights in the backbone, against the reader that lies beside them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from model.glip import Glip
from recipes.glip_photos.detector import load_detector, read_layers

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "data" / "photos" / "detector"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no ../shared/data/photos/detector")
PREDICTIONS = ("237", "232", "227", "222")  # blobs of the last convolutions, P3 to P6


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("read_ncnn", FOLDER / "read_ncnn.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_level_predicts_what_the_detector_does(reference: ModuleType) -> None:
    glip = Glip.from_variant("glip-photos").eval()
    outputs = load_detector(glip.backbone.body, glip.backbone.fpn, FOLDER)
    pixels = torch.randn(1, 3, 192, 256, generator=torch.Generator().manual_seed(0))
    for level in glip.backbone.fpn.levels:
        level[2] = torch.nn.Identity()
    net = reference.Net(next(FOLDER.glob("*.param")), next(FOLDER.glob("*.bin")))
    with torch.no_grad():
        expected = net(pixels, set(PREDICTIONS))
        maps = glip.backbone(pixels)[:4]
        for x, weight, bias, name in zip(maps, outputs.weights, outputs.biases, PREDICTIONS, strict=True):
            torch.testing.assert_close(F.conv2d(x, weight[..., None, None], bias), expected[name], atol=1e-4, rtol=1e-4)


def test_all_layers_are_read_and_none_twice() -> None:
    layers = list(read_layers(next(FOLDER.glob("*.param")), next(FOLDER.glob("*.bin"))))
    assert len(layers) == 110
    assert all(weight.size and bias.size for weight, bias in layers)
