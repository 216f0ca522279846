"""What is wrong with the mask section is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.config import MaskConfig
from stages.mask.segmenter import open_segmenter
from stages.stage import UserError
from tests.model import tiny_sam


def test_the_section_says_how_the_network_computes(tmp_path: Path) -> None:
    tiny_sam.save("sam2", tmp_path)
    config = MaskConfig(model=str(tmp_path), device="cpu", precision="bf16", boxes_per_pass=3)
    segmenter = open_segmenter(config)
    assert (segmenter.precision, segmenter.boxes_per_pass, segmenter.device.type) == ("bf16", 3, "cpu")


def test_a_section_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^mask\.model: name a folder or an id of the hub"):
        open_segmenter(MaskConfig())
    with pytest.raises(UserError, match=r"^mask\.model: .*absent: no such folder"):
        open_segmenter(MaskConfig(model=str(tmp_path / "absent"), device="cpu"))
    tiny_sam.save("sam", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match=r"^mask\.model: .*type 'vit' cuts out no boxes"):
        open_segmenter(MaskConfig(model=str(tmp_path), device="cpu"))
