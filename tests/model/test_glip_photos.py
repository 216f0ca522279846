"""glip-photos as a whole: sizes of its maps, its weights, what it grounds."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from model.cards import WEIGHTS
from model.checkpoint import WeightsError, packaged_weights
from model.glip import Glip
from model.outputs import Grounding
from stages.geometry import box_array, iou

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = ROOT / "configs" / "photos"
SPANS = [[[(0, 5)], [(15, 21)]], [[(0, 7)]]]
CAPTIONS = ["a dog with a red ball", "two men"]


@pytest.fixture(scope="module")
def photos() -> Glip:
    torch.set_num_threads(1)
    return Glip.from_variant("glip-photos", seed=2).eval()


@pytest.mark.parametrize(("height", "width"), [(224, 320), (32, 32), (250, 333)])
def test_five_maps_at_the_strides_of_the_anchors(photos: Glip, height: int, width: int) -> None:
    with torch.no_grad():
        maps = photos.backbone(torch.randn(2, 3, height, width))
    assert [tuple(x.shape) for x in maps] == [
        (2, 128, -(-height // stride), -(-width // stride)) for stride in (8, 16, 32, 64, 128)
    ]


def test_weights_are_loaded_strictly(photos: Glip) -> None:
    state = dict(photos.state_dict())
    again = Glip.from_official("glip-photos", {f"module.{name}": value for name, value in state.items()})
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    lost = state.pop("backbone.body.stem.0.weight")
    with pytest.raises(WeightsError, match=r"1 missing: backbone\.body\.stem\.0\.weight"):
        Glip.from_official("glip-photos", state)
    with pytest.raises(WeightsError, match=r"1 of another shape: backbone\.body\.stem"):
        Glip.from_official("glip-photos", {**state, "backbone.body.stem.0.weight": lost[:3]})


def test_a_result_does_not_depend_on_its_neighbours(
    photos: Glip, images_made: Callable[[int, list[tuple[int, int]]], list[np.ndarray]]
) -> None:
    images = images_made(0, [(240, 320), (200, 300)])
    with torch.no_grad():
        photos.rpn.head.bias0.fill_(-1.0)
    together = photos.ground(images, CAPTIONS, SPANS, 0.1)
    assert len(together) == 2
    for number, found in enumerate(together):
        (alone,) = photos.ground(images[number : number + 1], CAPTIONS[number : number + 1], [SPANS[number]], 0.1)
        assert len(alone.boxes) > 5
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.boxes, alone.boxes, atol=0.05, rtol=0)


def test_it_is_small_and_in_half_precision() -> None:
    assert sum(p.numel() for p in Glip.from_variant("glip-photos").parameters()) <= 8_000_000
    assert sum(path.stat().st_size for path in WEIGHTS.glob("glip-photos*")) <= 16_000_000
    with safe_open(packaged_weights("glip-photos"), "pt") as file:  # type: ignore[no-untyped-call]
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert len(kinds) > 300 and set(kinds.values()) == {"F16"}


# The packaged weights, on the photographs of the demo


@pytest.fixture(scope="module")
def demo() -> tuple[list[np.ndarray], list[str], list[Any]]:
    """Images, captions, and a span for each word of four letters or more."""
    with open(PHOTOS / "captions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    captions = [row["caption"] for row in rows]
    words = [
        [[(caption.index(word), caption.index(word) + len(word))] for word in caption.split() if len(word) > 3]
        for caption in captions
    ]
    return [np.asarray(Image.open(PHOTOS / row["image"]).convert("RGB")) for row in rows], captions, words


def best(found: Grounding, above: float) -> dict[int, list[float]]:
    """The best box of each phrase of a caption, where it scores above a number."""
    rows = zip(found.phrase.tolist(), found.boxes.tolist(), found.scores.tolist(), strict=True)
    boxes: dict[int, list[float]] = {}
    for phrase, box, score in rows:  # the best first
        if score > above:
            boxes.setdefault(int(phrase), box)
    return boxes


def stayed(before: list[Grounding], after: list[Grounding], above: float) -> list[bool]:
    """Of each phrase with a box before: whether it has one in the same place after."""
    return [
        phrase in moved and bool(iou(box_array([box]), box_array([moved[phrase]]))[0] >= 0.5)
        for one, other in zip(before, after, strict=True)
        for moved in [best(other, above)]
        for phrase, box in best(one, above).items()
    ]


@pytest.mark.parametrize("seed", range(3))
def test_boxes_come_from_the_words(demo: tuple[list[np.ndarray], list[str], list[Any]], seed: int) -> None:
    """With the vector of each word given to another: hardly a label stays, and most boxes lie elsewhere.

    A photo's main object may still be found for some word, but seldom for the same one."""
    torch.set_num_threads(1)
    glip = Glip.pretrained("glip-photos")
    before = glip.ground(*demo, 0.3)
    table = glip.language_backbone.body["model"].embeddings.word_embeddings.weight
    with torch.no_grad():
        table.copy_(table[torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))])
    after = glip.ground(*demo, 0.3)
    labels, boxes = stayed(before, after, 0.5), stayed(before, after, 0.3)
    assert len(labels) >= 10 and sum(labels) < 0.4 * len(labels)
    assert len(boxes) >= 40 and sum(boxes) < 0.6 * len(boxes)


SPY = """
import json, sys
from pathlib import Path

opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
import numpy as np
from PIL import Image
from model.glip import Glip

image = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
found = Glip.pretrained("glip-photos").ground([image], ["a cat on a blanket"], [[[(0, 5)]]], 0.1)
own = [Path(name) for name in opened if name.startswith(sys.argv[2])]
data = sorted({path.name for path in own if ".venv" not in path.parts and path.suffix not in (".py", ".pyc")})
layers = sorted({name.partition(".")[0] for name in sys.modules} & {"stages", "schemas", "pipeline", "recipes", "nltk"})
print(json.dumps({"boxes": len(found[0].boxes), "data": data, "layers": layers}))
"""


def test_no_list_of_words_and_no_detector_is_opened(tmp_path: Path) -> None:
    """What a process reads of this repository when it grounds: weights, their card, and the text encoder's tokens."""
    command = [sys.executable, "-c", SPY, PHOTOS / "cat.jpg", ROOT]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["boxes"] > 0 and found["layers"] == []
    assert set(found["data"]) <= {"cat.jpg", "glip-photos.safetensors", "bert-base-uncased.txt"}
