"""The packaged teacher of photos against its recorded figures; and that it reads the words that it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.photos_teacher import (
    MODELS,
    SAMPLE,
    WORDNET,
    Ground,
    add_speeds,
    best_and_worst,
    grounder,
    judged,
    main,
    opened,
    peak,
    speeds,
)
from model.cards import WEIGHTS
from model.checkpoint import packaged_weights, sha256
from model.glip import Glip
from model.head import postprocess
from model.images import preprocess
from model.prompt import pad, truncated
from model.selection import Settings
from recipes.glip_photos.gold import Photo, coco_captions, extracted, flickr
from recipes.glip_photos.judge import figures
from recipes.glip_photos.prepare import main as prepare
from recipes.glip_photos.prepare import write_flickr
from stages.images import decode_rgb
from stages.phrases import NounPhraseExtractor
from tests.photos import few_photos
from tests.wordnet import wordnet_files

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data" / "photos"
RECORD = ROOT / "benchmarks" / "results" / "photos_teacher.json"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data/photos"),
    pytest.mark.skipif(not (WEIGHTS / "glip-photos.safetensors").is_file(), reason="glip-photos is not packaged"),
]


@pytest.fixture(scope="module")
def sets(sample: list[Photo]) -> dict[str, list[Photo]]:
    """The same three sets as in the record: people's phrases, the extractor's, and captions of COCO photos."""
    extractor = NounPhraseExtractor("auto")
    coco = coco_captions(SHARED.parent / "coco-mini", extractor)
    first = {photo.key for photo in coco[:SAMPLE]}  # with all of their captions
    return {
        "flickr_gold": sample,
        "flickr_extracted": extracted(sample, extractor),
        "coco_captions": [photo for photo in coco if photo.key in first],
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """The first photos of the test split, with people's phrases."""
    folder = tmp_path_factory.mktemp("flickr")
    photos = flickr(SHARED / "entities_test.json", folder)[:SAMPLE]
    write_flickr(SHARED, folder, {photo.key for photo in photos})
    return photos


def measured(glip: Glip, photos: list[Photo], shared: bool = False) -> dict[str, Any]:
    torch.set_num_threads(1)
    return figures(judged(grounder(glip), photos, shared), shared=shared)


@pytest.fixture(scope="module")
def models() -> dict[str, Ground]:
    torch.set_num_threads(1)
    return {name: opened(name, SHARED.parents[1]) for name in MODELS}


@pytest.mark.parametrize("name", ["flickr_gold", "flickr_extracted", "coco_captions"])
@pytest.mark.parametrize("model", MODELS)
def test_recorded_figures_can_be_measured_again(
    model: str, name: str, models: dict[str, Ground], sets: dict[str, list[Photo]]
) -> None:
    shared = name == "coco_captions"
    found = figures(judged(models[model], sets[name], shared), shared=shared)
    expected = json.loads(RECORD.read_text())["models"][model][name]["sample"]
    assert found["photos"] == expected["photos"] and found["wanted"] == expected["wanted"]
    for count in ("grounded", "labels", "right"):  # another CPU rounds otherwise
        assert found[count] == pytest.approx(expected[count], abs=2)


def test_the_record_is_of_the_packaged_weights_and_says_what_the_detector_has_seen() -> None:
    models = json.loads(RECORD.read_text())["models"]
    for name in ("glip-photos", "glip-nano"):
        assert models[name]["weights_sha256"] == sha256(packaged_weights(name))
    for name in ("detector", WORDNET):
        assert "trained on COCO train2017, coco-mini's photos included" in models[name]["note"]
    for own in models.values():
        for figures_of in (own["flickr_gold"], own["flickr_extracted"], own["coco_captions"]):
            for figure, (low, high) in figures_of["interval_95"].items():
                assert low <= figures_of[figure] <= high
        low, high = own["coco_ap"]["interval_95"]["AP"]
        assert low <= own["coco_ap"]["AP"] <= high


def test_the_whole_measurement_at_its_smallest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every model in one run; then one of them again, while the others' figures stay."""
    shared, data, out = few_photos(tmp_path / "shared"), tmp_path / "data", tmp_path / "result.json"
    prepare(["--shared", str(shared), "--out", str(data)])
    words = wordnet_files(tmp_path)
    options = ["--shared", str(shared), "--data", str(data), "--out", str(out)]
    main([*options, "--wordnet", str(words)])
    first = json.loads(out.read_text())
    assert list(first["models"]) == [*MODELS, WORDNET]
    for own in first["models"].values():
        assert own["flickr_gold"]["photos"] == 4 and own["coco_ap"]["interval_95"]["AP"][0] <= own["coco_ap"]["AP"]
    assert "in WordNet" in first["models"][WORDNET]["note"]
    out.write_text(json.dumps({**first, "models": {**first["models"], "glip-nano": {"what": "kept"}}}))
    main([*options, "--only", "detector"])
    again = json.loads(out.read_text())
    assert again["models"]["glip-nano"] == {"what": "kept"}
    assert again["models"]["detector"] == first["models"]["detector"]
    for wrong in ([], ["--only", WORDNET]):
        with pytest.raises(SystemExit, match="2"):
            main([*options, *wrong])
        assert "--wordnet" in capsys.readouterr().err


def test_the_ends_of_a_list_of_nouns_share_none() -> None:
    nouns = [{"noun": str(number)} for number in range(7)]
    for count, best, worst in (
        (2, ["0", "1"], ["6", "5"]),
        (4, ["0", "1", "2", "3"], ["6", "5", "4"]),
        (9, list("0123456"), []),
    ):
        found = best_and_worst(nouns, count)
        assert ([row["noun"] for row in found["best"]], [row["noun"] for row in found["worst"]]) == (best, worst)


def test_boxes_and_scores_come_from_the_heads_outputs_alone(sample: list[Photo]) -> None:
    """`ground` is `postprocess` of `head_outputs`: no detector, no list of names stands between them."""
    glip, photo = Glip.pretrained("glip-photos"), sample[0]
    image = decode_rgb(photo.path.read_bytes(), 10_000_000)
    (found,) = glip.ground([image], [photo.caption], [[p.spans for p in photo.phrases]], score_floor=0.2)
    pixels, sizes = preprocess([image], glip.variant.short, glip.variant.long)
    ids, (tokens,) = zip(*(truncated(photo.caption, [p.spans for p in photo.phrases]),), strict=True)
    with torch.no_grad():
        outputs = glip.head_outputs(pixels, *pad(ids))
    settings = Settings(threshold=0.04, score_floor=0.2, limits_per_phrase=True)
    (expected,) = postprocess(outputs, sizes, [tokens], settings)
    assert len(found.scores) == len(expected.scores) > 3
    torch.testing.assert_close(found.scores.sort().values, expected.scores.sort().values)


def test_speeds_stand_beside_what_a_result_holds(sample: list[Photo], tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    out.write_text('{"what": "kept"}')
    add_speeds(speeds({"glip-photos": grounder(Glip.pretrained("glip-photos"))}, sample[:9], turns=1), out)
    found = json.loads(out.read_text())
    assert found["what"] == "kept" and found["speed"]["glip-photos"]["median"] > 0


def test_the_peak_is_that_of_a_process_of_its_own(sample: list[Photo]) -> None:
    assert 200 < peak("glip-photos", SHARED.parents[1], sample[:2]) < 4000


def test_shuffled_word_vectors_break_it(sample: list[Photo]) -> None:
    """Boxes come from the words: with each word's vector given to another, little of what was found is left."""
    glip = Glip.pretrained("glip-photos")
    before = measured(glip, sample)
    table = glip.language_backbone.body["model"].embeddings.word_embeddings.weight
    with torch.no_grad():
        table.copy_(table[torch.randperm(len(table), generator=torch.Generator().manual_seed(0))])
    after = measured(glip, sample)
    assert before["right"] > 20
    assert after["right"] < before["right"] / 2
    assert after["grounded"] < 0.7 * before["grounded"]
