"""Flickr30k Entities: recall by hand, and beside MDETR's evaluator."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.glip import Glip
from model.grounding import GlipGrounder
from model.scheduler import Scheduler
from stages.evaluate.flickr30k import evaluate_flickr30k
from stages.stage import UserError
from tests.stages.evaluate import flickr30k_case
from tests.stages.evaluate.flickr30k_files import ANNOTATION, AROUND, FIRST, LEFT, RIGHT, SECOND, WRONG, as_mdetr


def test_recall_by_hand(io: Any, scripted: Any, paint: Callable[..., str], entities: Path) -> None:
    """Four phrases in each of two images; in image 36 the model fails, in 54 it answers:

    Two girls: the right one of them first (any-box: 1), the box around both at rank 6 (merged-box: 10).
    red hats: five wrong boxes, then the hats (both: 10). each other: nothing. hats: found first (both: 1).
    """
    script = {
        (54, FIRST): [
            (RIGHT, 0.9, 0), *[(WRONG, 0.8, 0)] * 4, (AROUND, 0.3, 0),
            *[(WRONG, 0.8, 1)] * 5, (RIGHT, 0.1, 1), (LEFT, 0.95, 1),
        ],
        (54, SECOND): [(RIGHT, 0.2, 0)],
    }  # fmt: skip
    failures = {(36, FIRST): "out_of_memory", (36, SECOND): "out_of_memory"}
    glip = scripted(script, failures=failures, dropped={(54, FIRST): [(2, "phrase_over_token_limit")]})
    steps: list[int] = []
    result = evaluate_flickr30k(
        glip, io, str(entities / "test.txt"), paint({"36.jpg": 36, "54.jpg": 54}), 9, steps.append
    )
    eighths = [[100 * count / 8 for count in counts] for counts in ((2, 2, 3), (1, 1, 3))]
    assert result["recall"] == {
        "phrases": 8,
        "any_box": dict(zip(("R@1", "R@5", "R@10"), eighths[0], strict=True)),
        "merged_box": dict(zip(("R@1", "R@5", "R@10"), eighths[1], strict=True)),
    }
    assert {kind: row["phrases"] for kind, row in result["by_type"].items()} == {"clothing": 4, "other": 2, "people": 4}
    assert result["by_type"]["people"]["any_box"] == {"R@1": 25, "R@5": 25, "R@10": 25}
    assert result["by_type"]["other"]["merged_box"] == {"R@1": 0, "R@5": 0, "R@10": 50}
    assert (result["pictures"], result["captions"], result["phrases_without_box"]) == (2, 4, 6)
    assert result["failed"] == {"out_of_memory": 2} and result["not_asked"] == {"phrase_over_token_limit": 1}
    assert "1-based" in result["boxes"]
    assert steps == [2]
    assert glip.calls[0]["captions"] == [FIRST, SECOND, FIRST, SECOND]  # the one without phrases is not asked
    json.dumps(result)


def test_an_iou_of_one_half_is_enough(io: Any, scripted: Any, paint: Callable[..., str], entities: Path) -> None:
    """Half of the hats' 20 x 40 pixels, and one column less."""
    images = paint({"54.jpg": 54})
    for width, share in ((10.0, 25), (9.0, 0)):
        glip = scripted({(54, SECOND): [((40.0, 0.0, 40 + width, 40.0), 0.9, 0)]})
        result = evaluate_flickr30k(glip, io, str(entities / "test.txt"), images, 1, lambda done: None)
        assert result["recall"]["any_box"]["R@1"] == share


def test_without_a_phrase_that_has_a_box_there_is_no_figure(
    io: Any, scripted: Any, paint: Callable[..., str], entities: Path
) -> None:
    (entities / "Sentences" / "54.txt").write_text("[/EN#0/notvisual It] is [/EN#4/animals a dog] .\n")
    with pytest.raises(
        UserError, match=r"test\.txt: no true box in the 1 images that are measured, so there is no fig"
    ):
        evaluate_flickr30k(scripted({}), io, str(entities / "test.txt"), paint({"54.jpg": 54}), 1, lambda done: None)


def test_mdetr_json(io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path) -> None:
    """Boxes are shared by phrases with the same span; one phrase has no box."""
    dataset = as_mdetr({(0, 9): [[0, 0, 20, 40], [40, 0, 20, 40]], (13, 21): [[40, 0, 20, 40]], (42, 46): []})
    (tmp_path / "flickr.json").write_text(json.dumps(dataset))
    glip = scripted({(36, FIRST): [(RIGHT, 0.9, 0), (RIGHT, 0.9, 1)]})
    result = evaluate_flickr30k(glip, io, str(tmp_path / "flickr.json"), paint({"36.jpg": 36}), 9, lambda done: None)
    assert (result["recall"]["phrases"], result["phrases_without_box"]) == (2, 1)
    assert result["recall"]["any_box"]["R@1"] == 100
    assert result["recall"]["merged_box"]["R@1"] == 50
    assert glip.calls[0]["spans"] == [[((0, 9),), ((13, 21),)]]
    assert result["by_type"] == {}
    assert "as they are" in result["boxes"]


def test_mdetrs_evaluator_says_the_same(io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path) -> None:
    flickr30k_case.write_text_form(tmp_path / "entities", first=1)
    (tmp_path / "mdetr.json").write_text(json.dumps(flickr30k_case.json_form()))
    captions = [row["caption"] for row in flickr30k_case.json_form()["images"]]
    images_made = flickr30k_case.draw()
    found = [own for image in images_made for own in image["found"]]
    script = {
        (number // 3, caption): [
            (box, 0.9 - rank / 100, phrase) for phrase, own in enumerate(boxes) for rank, box in enumerate(own)
        ]
        for number, (caption, boxes) in enumerate(zip(captions, found, strict=True))
    }
    images = paint({f"{image['id']}.jpg": number for number, image in enumerate(images_made)})
    wanted = json.loads(flickr30k_case.RECORDED.read_text())
    of_json, of_text = (
        evaluate_flickr30k(scripted(script), io, str(tmp_path / data), images, 99, lambda done: None)
        for data in ("mdetr.json", "entities/test.txt")
    )
    for protocol, ranks in wanted.items():
        for rank, by_type in ranks.items():
            assert of_json["recall"][protocol][rank] == pytest.approx(100 * by_type["all"])
            for kind, share in by_type.items():
                of_kind = of_text["recall"] if kind == "all" else of_text["by_type"][kind]
                assert of_kind[protocol][rank] == pytest.approx(100 * share)
    assert of_text["recall"]["phrases"] == of_json["recall"]["phrases"] > 100


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 9))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("Annotations/54.xml", f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><a>&l8;</a>', "document type"),
        ("Annotations/54.xml", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "document type"),
        ("Annotations/54.xml", "<a><b></a>", "not well-formed"),
        ("Annotations/54.xml", ANNOTATION.replace("<xmin>41</xmin>", ""), "has no 'xmin'"),
        ("Annotations/54.xml", ANNOTATION.replace("41", "left"), "left"),
        ("Annotations/54.xml", " " * (1 << 21), "more than"),
        ("Annotations/54.xml", ANNOTATION.replace(">100<", ">200<"), "54.jpg is 100 x 80"),
        ("Sentences/54.txt", "fine\n[/EN#1/people a man\n", r"54\.txt, line 2: a phrase is not closed"),
        ("test.txt", "../54\n", "'../54' is not the id of an image"),
        ("test.txt", "55\n", r"55\.xml: no such file"),
    ],
)
def test_what_does_not_fit_is_named(
    io: Any, scripted: Any, paint: Callable[..., str], entities: Path, file: str, text: str, words: str
) -> None:
    (entities / file).write_text(text)
    with pytest.raises(UserError, match=words):
        evaluate_flickr30k(scripted({}), io, str(entities / "test.txt"), paint({"54.jpg": 54}), 1, lambda done: None)


def test_a_real_model_goes_through(io: Any, paint: Callable[..., str], entities: Path) -> None:
    """Plumbing only: the weights are fresh."""
    model = Scheduler(GlipGrounder(Glip.from_variant("glip-nano").eval(), (192, 320)))
    images = paint({"36.jpg": 36, "54.jpg": 154})
    result = evaluate_flickr30k(model, io, str(entities), images, 2, lambda done: None)
    assert (result["pictures"], result["captions"], result["recall"]["phrases"]) == (2, 4, 8)
    ranks = result["recall"]["any_box"]
    assert 0 <= ranks["R@1"] <= ranks["R@5"] <= ranks["R@10"] <= 100
