"""Entities, captions and found boxes drawn from a seed, and what MDETR's evaluator says of them.

`flickr30k_recorded.json` beside this file was written by running this file as a script in a folder that holds
`flickr_eval.py` of MDETR (github.com/ashkamath/mdetr, datasets/flickr_eval.py), with stand-ins for its imports
`prettytable` and `util.dist`, which only its printing and its distribution over processes use:

    PYTHONPATH=. python tests/stages/evaluate/flickr30k_case.py
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("flickr30k_recorded.json")
IMAGES, WIDTH, HEIGHT = 30, 100, 80
TYPES = ("people", "clothing", "animals/other", "scene")
Corners = tuple[int, int, int, int]
Found = list[list[Corners]]  # of each phrase with a box, best first


def draw() -> list[dict[str, Any]]:
    """Of each image: `boxes` of each entity (as in the XML), and captions of (words or (entity, type, words))."""
    rng = random.Random(5)

    def below(number: int) -> int:
        return int(rng.random() * number)

    def draw_box() -> Corners:
        x, y = 1 + below(50), 1 + below(40)
        return x, y, x + 8 + below(40), y + 8 + below(30)

    def near(box: Corners) -> Corners:
        x1, y1, x2, y2 = (value + below(13) - 6 for value in box)
        return x1, y1, max(x2, x1 + 2), max(y2, y1 + 2)

    images_made = []
    for number in range(IMAGES):
        boxes = {entity: [draw_box() for _ in range(1 + below(3))] for entity in range(1, 2 + below(5))}
        captions: list[list[Any]] = []
        found: list[Found] = []
        for turn in range(3):
            entities = [1 + below(6) for _ in range(1 + below(4))]  # some have no box
            caption: list[Any] = [f"{turn}:", "there", "is"]
            for entity in entities:
                words = f"thing {entity}" if rng.random() < 0.5 else "it"
                caption += [(entity, TYPES[entity % len(TYPES)], words), ","]
            captions.append(caption)
            found.append(
                [
                    [near(boxes[entity][below(len(boxes[entity]))]) if rng.random() < 0.3 else draw_box()]
                    + [draw_box() if rng.random() < 0.7 else near(boxes[entity][0]) for _ in range(below(12))]
                    for entity in entities
                    if entity in boxes
                ]
            )
        images_made.append({"id": str(100 + number), "boxes": boxes, "captions": captions, "found": found})
    return images_made


def write_text_form(folder: Path, first: int = 0) -> None:
    """test.txt, Sentences/ and Annotations/.

    first: 0 to write the corners as they are, which is how MDETR's evaluator reads them; 1 to write the same boxes with
    1-based inclusive corners, which is what the real files hold.
    """
    for name in ("Sentences", "Annotations"):
        (folder / name).mkdir(parents=True)
    images_made = draw()
    (folder / "test.txt").write_text("".join(f"{image['id']}\n" for image in images_made).rstrip())
    for image in images_made:
        lines = [
            " ".join(f"[/EN#{word[0]}/{word[1]} {word[2]}]" if isinstance(word, tuple) else word for word in caption)
            for caption in image["captions"]
        ]
        (folder / "Sentences" / f"{image['id']}.txt").write_text("\n".join(lines) + "\n")
        objects = [
            f"<object><name>{entity}</name><bndbox><xmin>{x1 + first}</xmin><ymin>{y1 + first}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
            for entity, boxes in image["boxes"].items()
            for x1, y1, x2, y2 in boxes
        ]
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        (folder / "Annotations" / f"{image['id']}.xml").write_text(f"<annotation>{size}{''.join(objects)}</annotation>")


def json_form() -> dict[str, Any]:
    """The same in MDETR's JSON: a box carries every span of its entity, and corners are not shifted."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in draw():
        for caption in image["captions"]:
            text, spans = "", []
            for word in caption:
                text += " " if text else ""
                if isinstance(word, tuple):
                    spans.append((word[0], [len(text), len(text) + len(word[2])]))
                text += word[2] if isinstance(word, tuple) else word
            images.append(
                {
                    "id": len(images),
                    "file_name": f"{image['id']}.jpg",
                    "height": str(HEIGHT),
                    "width": str(WIDTH),
                    "caption": text,
                    "tokens_positive_eval": [[span] for entity, span in spans if entity in image["boxes"]],
                }
            )
            for entity, boxes in image["boxes"].items():
                own = [span for one, span in spans if one == entity]
                annotations += [
                    {
                        "id": len(annotations) + number,
                        "image_id": images[-1]["id"],
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "tokens_positive": own,
                    }
                    for number, (x1, y1, x2, y2) in enumerate(boxes)
                    if own
                ]
    return {"images": images, "annotations": annotations}


def ask_mdetr(merge: bool) -> dict[str, dict[str, float]]:
    from flickr_eval import Flickr30kEntitiesRecallEvaluator

    with tempfile.TemporaryDirectory() as folder:
        write_text_form(Path(folder) / "entities")
        evaluator = Flickr30kEntitiesRecallEvaluator(str(Path(folder) / "entities"), merge_boxes=merge, verbose=False)
        predictions = [
            {"image_id": image["id"], "sentence_id": number, "boxes": own}
            for image in draw()
            for number, own in enumerate(image["found"])
        ]
        report = evaluator.evaluate(predictions)
    return {f"R@{k}": dict(sorted(report[k].items())) for k in (1, 5, 10)}


if __name__ == "__main__":
    asked = {name: ask_mdetr(merge) for name, merge in (("any_box", False), ("merged_box", True))}
    RECORDED.write_text(json.dumps(asked, indent=1) + "\n")
