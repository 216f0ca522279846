"""The rescore stage against the library's own model on crops that are cut by hand; bad images; what is not asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from model.similarity.network import FAMILIES as KNOWN
from schemas.config import Config
from schemas.tables import LabelTable, PhraseTable
from stages.images import decode_rgb
from stages.phrases.stage import PhrasesStage
from stages.rescore.stage import RescoreStage
from stages.stage import Counts, PartResult, UserError
from tests.similarity_models import FAMILIES, TOKENS, processor_of, save_checkpoint, tokenizer_of
from tests.stages.conftest import Run

SCENES = 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    top = tmp_path_factory.mktemp("models")
    return {family: save_checkpoint(family, top / family) for family in FAMILIES}


@pytest.fixture
def labelled(run: Run) -> Run:
    """Scenes with boxes that somebody else has found: by row, up to four of several phrases, one below the floor."""
    run.ingest(source="scenes", count=SCENES, seed=2)
    PhrasesStage(run.config()).run_part(run.io())
    rows = []
    for number, (pair, phrases) in enumerate(zip(run.rows("pairs"), run.rows("phrases"), strict=True)):
        count = len(phrases["phrases"])
        boxes = [
            {"phrase": i % count, **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)), "score": score}
            for i, (corners, score) in enumerate(
                [
                    ((3.25, 4.5, 40.0, 61.75), 0.75),
                    ((0.0, 0.0, 20.0, 9.0), 0.0625),
                    ((30.5, 8.0, 90.0, 40.0), 0.125),
                    ((10.0, 20.0, 30.0, 60.0), 0.5),
                ][: number + 1 if number < 3 else 0]
            )
        ]
        rows.append({"key": pair["key"], "width": pair["width"], "height": pair["height"], "boxes": boxes})
    import pyarrow as pa

    from schemas.records import LABELS

    run.io().write("labels", pa.Table.from_pylist([{**row, "dropped": []} for row in rows], LABELS))
    return run


def resolved(run: Run, model: Path, **rescore: Any) -> Config:
    config = run.config(rescore={"model": str(model), "batch_size": 3, "device": "cpu", **rescore})
    return config.model_copy(update={"rescore": config.rescore.model_copy(update=RescoreStage.resolve(config))})


def rescore(run: Run, model: Path, **settings: Any) -> PartResult:
    return RescoreStage(resolved(run, model, **settings)).run_part(run.io())


class Library:
    """Cosines by the library's model, one text and one image at a time."""

    def __init__(self, family: str, folder: Path) -> None:
        self.family = family
        self.network = getattr(transformers, KNOWN[family].network).from_pretrained(folder).eval()
        self.processor, self.tokenizer = processor_of(family), tokenizer_of(family)
        self.stretched = processor_of(family)
        if family in ("clip", "metaclip_2"):  # crops are never cut at the centre
            self.stretched.do_center_crop = False
            self.stretched.size = transformers.image_utils.SizeDict(**dict(self.processor.crop_size))

    @torch.no_grad()
    def cosine(self, image: Any, text: str, is_crop: bool) -> float:
        from model.similarity.network import canonical

        written = {"siglip": canonical(text), "siglip2": text.lower()}.get(self.family, text)
        padding = "max_length" if "siglip" in self.family else False
        tokens = self.tokenizer(written, padding=padding, truncation=True, max_length=TOKENS, return_tensors="pt")
        processor = self.stretched if is_crop else self.processor
        image_vector = self.network.get_image_features(**processor(images=[image], return_tensors="pt")).pooler_output
        text_vector = self.network.get_text_features(**tokens).pooler_output
        return float(torch.nn.functional.cosine_similarity(image_vector, text_vector))


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_the_librarys_on_crops_cut_by_hand(labelled: Run, folders: dict[str, Path], family: str) -> None:
    result = rescore(labelled, folders[family], relabel=True)
    assert result.counts == Counts(SCENES, SCENES)
    library, seen = Library(family, folders[family]), 0
    rows = zip(*(labelled.rows(name) for name in ("pairs", "phrases", "labels", "scores")), strict=True)
    for pair, captions, labels, scores in rows:
        image = decode_rgb(labelled.image(pair), 10**7)
        assert scores["key"] == labels["key"] and len(scores["boxes"]) == len(labels["boxes"])
        assert scores["image"] == pytest.approx(library.cosine(image, pair["caption"], is_crop=False), abs=1e-4)
        texts = [phrase["text"] for phrase in captions["phrases"]]
        for box, score in zip(labels["boxes"], scores["boxes"], strict=True):
            if box["score"] < 0.1:
                assert score == {"score": None, "best_phrase": None, "best_score": None}
                continue
            x1, y1 = int(box["x1"]), int(box["y1"])
            x2, y2 = int(np.ceil(box["x2"])), int(np.ceil(box["y2"]))
            cosines = [library.cosine(image[y1:y2, x1:x2], text, is_crop=True) for text in texts]
            assert score["score"] == pytest.approx(cosines[box["phrase"]], abs=1e-4)
            assert score["best_score"] == pytest.approx(max(cosines), abs=1e-4)
            assert cosines[score["best_phrase"]] == pytest.approx(max(cosines), abs=1e-4)
            seen += 1
    assert seen == 1 + 1 + 2


def test_without_relabel_only_the_own_phrase_is_asked(labelled: Run, folders: dict[str, Path]) -> None:
    with_it, relabelled = rescore(labelled, folders["clip"], relabel=True), labelled.rows("scores")
    without = rescore(labelled, folders["clip"])
    found = [box for row in labelled.rows("scores") for box in row["boxes"]]
    assert [box["score"] for box in found] == pytest.approx(
        [box["score"] for row in relabelled for box in row["boxes"]], abs=1e-6
    )
    assert {(box["best_phrase"], box["best_score"]) for box in found} == {(None, None)}
    assert without.notes["texts"] < with_it.notes["texts"] and without.notes["boxes"] == 4


def test_crop_pad_and_the_candidates_are_the_configs(labelled: Run, folders: dict[str, Path]) -> None:
    def scores(**settings: Any) -> list[float | None]:
        rescore(labelled, folders["siglip"], **settings)
        return [box["score"] for row in labelled.rows("scores") for box in row["boxes"]]

    tight = scores()
    assert sum(score is None for score in tight) == 2
    for settings in ({"crop": "square"}, {"pad": 0.25}):
        others = scores(**settings)
        assert all((a is None) == (b is None) for a, b in zip(tight, others, strict=True)) and others != tight
    assert None not in scores(min_candidate=0.0625)  # from there up, itself included
    assert sum(score is not None for score in scores(min_candidate=0.75)) == 3


def test_the_same_part_gives_the_same_bytes_and_batches_only_the_last_digits(
    labelled: Run, folders: dict[str, Path]
) -> None:
    stage = RescoreStage(resolved(labelled, folders["siglip2"], relabel=True))
    path = labelled.root / "scores/part-0000000.parquet"
    seen = []
    for _ in range(2):  # the second time, the model is warm
        stage.run_part(labelled.io())
        seen.append(path.read_bytes())
    assert seen[0] == seen[1]
    before = [row["image"] for row in labelled.rows("scores")]
    rescore(labelled, folders["siglip2"], relabel=True, batch_size=64)
    assert [row["image"] for row in labelled.rows("scores")] == pytest.approx(before, abs=1e-5)


def test_a_changed_image_is_rejected_and_the_others_are_scored(labelled: Run, folders: dict[str, Path]) -> None:
    rescore(labelled, folders["clip"])
    expected = labelled.rows("scores")
    pairs = labelled.rows("pairs")
    tar = labelled.root / pairs[1]["image"]["uri"]
    data = bytearray(tar.read_bytes())
    data[pairs[1]["image"]["offset"] + 400] ^= 255
    tar.write_bytes(data)
    result = rescore(labelled, folders["clip"])
    assert result.counts == Counts(SCENES, SCENES - 1, 1)
    assert labelled.rejects("rescore") == {pairs[1]["source_id"]: "image_changed"}
    found = labelled.rows("scores")
    assert [row["key"] for row in found] == [row["key"] for row in (expected[0], *expected[2:])]
    assert found[2]["image"] == pytest.approx(expected[3]["image"], abs=1e-5)


def test_a_caption_that_is_too_long_is_cut_and_counted(labelled: Run, folders: dict[str, Path]) -> None:
    notes = rescore(labelled, folders["clip"]).notes
    captions = PhraseTable.read(labelled.io(), "caption").caption.to_pylist()
    phrases = [phrase["text"] for row in labelled.rows("phrases") for phrase in row["phrases"]]
    assert len(LabelTable.read(labelled.io(), "key")) == SCENES == len(captions)
    assert SCENES <= notes["texts_cut"] <= len({*captions, *phrases})  # a letter is a token here


def test_numbers_that_are_none_are_rejected(labelled: Run, folders: dict[str, Path]) -> None:
    stage = RescoreStage(resolved(labelled, folders["clip"]))
    with torch.no_grad():
        stage.model.network.visual_projection.weight.fill_(torch.nan)
    assert stage.run_part(labelled.io()).counts == Counts(SCENES, 0, SCENES)
    assert set(labelled.rejects("rescore").values()) == {"non_finite_scores"}


def test_the_stage_is_off_until_a_model_is_named(run: Run, folders: dict[str, Path]) -> None:
    assert not RescoreStage.enabled(run.config()) and RescoreStage.resolve(run.config()) == {}
    with pytest.raises(UserError, match=r"rescore\.model: null, so that nobody can be asked"):  # `phrasebox rescore`
        _ = RescoreStage(run.config()).model
    config = resolved(run, folders["clip"])
    assert RescoreStage.enabled(config) and len(config.rescore.model_sha256 or "") == 64
    assert config.rescore.revision is None and config.rescore.device == "cpu"


@pytest.mark.parametrize(
    ("rescore", "problem"),
    [
        ({"model": "no/such/folder/"}, r"rescore\.model: no/such/folder/: no such folder"),
        ({"model": "."}, r"rescore\.model: \.: no config\.json in it"),
        ({"model_sha256": "0" * 64}, "rescore.model_sha256 asks for"),
        ({"device": "cuda"}, "torch sees no CUDA device"),
    ],
)
def test_a_model_that_cannot_be_had_is_an_error_in_one_line(
    run: Run, folders: dict[str, Path], rescore: dict[str, Any], problem: str
) -> None:
    config = run.config(rescore={"model": str(folders["clip"]), "device": "cpu", **rescore})
    with pytest.raises(UserError, match=problem) as error:
        RescoreStage.resolve(config)
    assert "\n" not in str(error.value)


def test_another_kind_of_model_is_refused_before_the_run(run: Run, tmp_path: Path) -> None:
    folder = save_checkpoint("clip", tmp_path / "other")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"model_type": "clip"', '"model_type": "owlv2"'))
    with pytest.raises(UserError, match="a model of the type 'owlv2'; those that can be used are clip, metaclip_2"):
        RescoreStage.resolve(run.config(rescore={"model": str(folder)}))
