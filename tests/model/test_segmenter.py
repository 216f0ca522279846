"""Masks against the library's own processors and models, with tiny random checkpoints of every family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image as pillow
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from model.hub import HubError
from model.segmenter import FAMILIES, Segmenter, family_of
from tests.model import tiny_sam
from tests.model.tiny_sam import SIDE

SIZES = ((90, 120), (121, 67), (64, 64), (48, 33))  # (H, W): larger than the input, as large, smaller

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("checkpoints")
    return {family: tiny_sam.save(family, top / family) for family in tiny_sam.FAMILIES}


def drawn(size: tuple[int, int], boxes: int, seed: int = 0) -> tuple[Image, Boxes]:
    """An image of (H, W), noise enlarged to blocks, and boxes in it."""
    random = np.random.default_rng(seed)
    height, width = size
    small = random.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    image = small.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    corner = random.uniform(0, 0.6, (boxes, 2)) * (width, height)
    side = random.uniform(0.1, 0.4, (boxes, 2)) * (width, height)
    return image, np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def library_sam(family: str, folder: Path, image: Image, boxes: Boxes) -> tuple[list[Any], list[float]]:
    """By the processor and the model of SAM or SAM-HQ, as their pages show it."""
    names = {"sam": ("SamProcessor", "SamModel"), "sam_hq": ("SamHQProcessor", "SamHQModel")}[family]
    prepared = transformers.SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})
    processor = getattr(transformers, names[0])(prepared)
    network = getattr(transformers, names[1]).from_pretrained(folder).eval()
    inputs = processor(image, input_boxes=[boxes.tolist()], return_tensors="pt")
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    with torch.no_grad():
        found = network(**inputs, multimask_output=False)
    masks = processor.post_process_masks(found.pred_masks, *sizes)[0][:, 0].numpy()
    return list(masks), found.iou_scores[0, :, 0].tolist()


def library_sam2(family: str, folder: Path, image: Image, boxes: Boxes) -> tuple[list[Any], list[float]]:
    """By the model of SAM 2 or EdgeTAM, with the steps of its processor, which needs torchvision, in numpy."""
    kind = {"sam2": "Sam2Model", "edgetam": "EdgeTamModel"}[family]
    network = getattr(transformers, kind).from_pretrained(folder).eval()
    square = np.asarray(pillow.fromarray(image).resize((SIDE, SIDE), pillow.Resampling.BILINEAR), np.float32)
    pixels = (square / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    height, width = image.shape[:2]
    scaled = boxes * np.array([SIDE / width, SIDE / height, SIDE / width, SIDE / height])
    with torch.no_grad():
        found = network(
            pixel_values=torch.from_numpy(pixels.transpose(2, 0, 1)).float()[None],
            input_boxes=torch.from_numpy(scaled).float()[None],
            multimask_output=False,
        )
    masks = F.interpolate(found.pred_masks[0], (height, width), mode="bilinear", align_corners=False)[:, 0] > 0
    return list(masks.numpy()), found.iou_scores[0, :, 0].tolist()


def agreement(mine: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The share of pixels that are alike; a logit of nearly 0 may fall to either side."""
    assert mine.shape == other.shape and mine.dtype == np.bool_
    return float((mine == other).mean())


@pytest.mark.parametrize("family", tiny_sam.FAMILIES)
def test_masks_and_scores_are_those_of_the_library(family: str, checkpoints: dict[str, Path]) -> None:
    segmenter = Segmenter.open(checkpoints[family], "cpu", boxes_per_pass=2)
    library = library_sam if family in ("sam", "sam_hq") else library_sam2
    for number, size in enumerate(SIZES):
        image, boxes = drawn(size, 5, seed=number)
        masks, scores = library(family, checkpoints[family], image, boxes)
        mine = list(segmenter.segment(image, boxes))
        assert [segment.score for segment in mine] == pytest.approx(scores, abs=1e-4)
        assert len(mine) == 5 and len({segment.mask.tobytes() for segment in mine}) > 1
        for segment, mask in zip(mine, masks, strict=True):
            assert segment.mask.shape == size and 0 < segment.mask.mean() < 1
            assert agreement(segment.mask, mask) > 0.9995


@pytest.mark.parametrize("size", SIZES)
def test_pixels_and_boxes_are_those_of_sams_processor(size: tuple[int, int], checkpoints: dict[str, Path]) -> None:
    image, boxes = drawn(size, 3)
    prepared = transformers.SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE})
    theirs = transformers.SamProcessor(prepared)(image, input_boxes=[boxes.tolist()], return_tensors="pt")
    segmenter = Segmenter.open(checkpoints["sam"], "cpu")
    assert segmenter.resized(size) == tuple(theirs["reshaped_input_sizes"][0].tolist())
    torch.testing.assert_close(segmenter.prepare(image), theirs["pixel_values"][0], atol=1e-6, rtol=0)
    torch.testing.assert_close(segmenter.prompts(boxes, size), theirs["input_boxes"].float(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", tiny_sam.FAMILIES)
def test_chunks_and_batches_change_nothing(family: str, checkpoints: dict[str, Path]) -> None:
    cases = [drawn(size, count, seed=count) for size, count in zip(SIZES, (7, 0, 1, 3), strict=True)]
    images, boxes = [image for image, _ in cases], [own for _, own in cases]
    alone = Segmenter.open(checkpoints[family], "cpu", boxes_per_pass=1)
    wanted = [list(alone.segment(image, own)) for image, own in cases]
    assert [len(own) for own in wanted] == [7, 0, 1, 3]
    together = Segmenter.open(checkpoints[family], "cpu", boxes_per_pass=4)
    for own, other in zip(together.segment_batch(images, boxes), wanted, strict=True):
        found = list(own)
        assert [segment.score for segment in found] == pytest.approx([one.score for one in other], abs=1e-4)
        assert min([agreement(a.mask, b.mask) for a, b in zip(found, other, strict=True)], default=1.0) > 0.9995


def test_an_image_is_encoded_once_whatever_its_boxes(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter.open(checkpoints["sam2"], "cpu", boxes_per_pass=2)
    encoder, seen = segmenter._network.vision_encoder, []
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda pixels, **more: seen.append(len(pixels)) or forward(pixels, **more))
    assert len(list(segmenter.segment(*drawn((40, 60), 9)))) == 9
    assert seen == [1]


def test_numbers_that_are_not_finite_give_no_score(checkpoints: dict[str, Path]) -> None:
    segmenter = Segmenter.open(checkpoints["sam"], "cpu")
    with torch.no_grad():
        segmenter._network.mask_decoder.upscale_conv2.bias.fill_(float("inf"))
    found = list(segmenter.segment(*drawn((40, 60), 2)))
    assert len(found) == 2 and all(np.isnan(segment.score) for segment in found)


def test_a_checkpoint_names_its_own_normalisation(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for path in checkpoints["sam"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    image, _ = drawn((SIDE, SIDE), 1)
    (folder / "processor_config.json").write_text(
        json.dumps({"image_processor": {"image_mean": [0.0, 0.0, 0.0], "image_std": [0.5, 0.5, 0.5]}})
    )
    expected = torch.from_numpy(image).permute(2, 0, 1) / 255 * 2
    torch.testing.assert_close(Segmenter.open(folder, "cpu").prepare(image), expected)


def test_checkpoints_for_videos_are_opened_for_images(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """The released SAM 2 and EdgeTAM call themselves `..._video`, and have a memory that an image does not need."""
    folder = tmp_path / "video"
    folder.mkdir()
    config = json.loads((checkpoints["sam2"] / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "sam2_video"}))
    weights = load_file(checkpoints["sam2"] / "model.safetensors")
    save_file({**weights, "memory_encoder.feature_projection.weight": torch.zeros(2)}, folder / "model.safetensors")
    image, boxes = drawn((50, 70), 2)
    plain, video = (list(Segmenter.open(path, "cpu").segment(image, boxes)) for path in (checkpoints["sam2"], folder))
    assert [one.score for one in plain] == [one.score for one in video]


def test_what_is_wrong_with_a_checkpoint_is_one_line(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(HubError, match=r"type 'bert' cuts out no boxes; there are sam, sam_hq, sam2.*edgetam_video$"):
        family_of(tmp_path)
    (tmp_path / "config.json").write_bytes((checkpoints["sam"] / "config.json").read_bytes())
    weights = load_file(checkpoints["sam"] / "model.safetensors")
    lost = {name: value for name, value in weights.items() if name != "mask_decoder.iou_token.weight"}
    save_file(lost, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(HubError, match=r"lack 1 tensors of a SamModel, e\.g\. mask_decoder\.iou_token\.weight$"):
        Segmenter.open(tmp_path, "cpu")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(HubError, match="the weights cannot be opened as a SamModel"):
        Segmenter.open(tmp_path, "cpu")


def test_edgetam_without_timm_says_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    config = transformers.EdgeTamConfig().to_dict()
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "pt"})
    if transformers.utils.is_timm_available():
        pytest.skip("timm is installed")
    with pytest.raises(HubError, match="timm"):
        Segmenter.open(tmp_path, "cpu")


def test_every_family_of_the_table_is_a_class_of_the_library() -> None:
    assert len(FAMILIES) == 6
    assert {family.model for family in FAMILIES.values()} <= set(dir(transformers))
