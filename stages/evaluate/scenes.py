"""The scenes benchmark: detection AP by how often a noun was in gold, and agreement of labels with gold.

Images come from the held-out split `eval`. Detection: every noun is a category; one prompt with all their names, cut
into as many as the token limit asks for; boxes with a score of at least 0.05. Each noun keeps its 10,000 best boxes of
all images, and no limit is set across nouns or images: fixed AP, as for LVIS (`lvis_ap.py`). AP (IoU 0.50:0.95) of each
noun, averaged over the nouns of a tier that occur in the images: common, rare (1 to 5 times in gold), unseen (never in
gold). Every object of the image counts, mentioned in its caption or not.
Agreement: the caption's phrases, found by the phrase extractor as in a run, are grounded; see `agreement.py` for what
is right. `seen` leaves out phrases and gold boxes of unseen nouns; boxes on phrases that name no thing count as wrong.
Masks, where the section `mask` names a model: each right box above the threshold is cut out, and the mask compared with
that of its object, which is exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schemas.rows import Corners
from stages.agreement import Characters, Claims, claim, named_spans
from stages.evaluate.detections import Detections
from stages.evaluate.lvis_ap import Pool, Truth, precision_at_recalls
from stages.evaluate.scene_masks import SceneMasks
from stages.evaluate.tally import Tally
from stages.geometry import box_array
from stages.images import decode_rgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.outputs import Grounding
    from model.scheduler import Scheduler
    from model.segmenter import Segmenter
    from stages.phrases import NounPhraseExtractor
    from stages.synthetic import Scene

SPLIT = "eval"
CHUNK = 64  # images in memory
FLOOR = 0.05  # of detections
TIERS = ("common", "rare", "unseen")
CLASSES = {  # of phrases, by the tier of what they name; "": they name no thing
    **{"all": {*TIERS, ""}, "seen": {"common", "rare", ""}, "none": {""}},
    **{name: {name} for name in TIERS},
}


def evaluate_scenes(
    model: Scheduler,
    extractor: NounPhraseExtractor,
    count: int,
    seed: int,
    threshold: float,
    progress: Callable[[int], None],
    split: str = SPLIT,
    segmenter: Segmenter | None = None,
) -> dict[str, Any]:
    """Both measures on `count` images; `progress` gets the number of images done.

    `failed`: how many images the model failed on in either measure, by reason; nothing was found in them.
    """
    from stages.synthetic import NOUNS, scene_masks

    masks = None if segmenter is None else SceneMasks(segmenter, threshold)
    names = [noun.name for noun in NOUNS]
    tier = {noun.name: noun.tier for noun in NOUNS}
    pool, objects, done = Pool(), list[Sequence[tuple[str, Corners]]](), 0
    tallies = {"all": Tally(), "seen": Tally(), **{name: Tally() for name in TIERS}}
    failed = Counter[str]()
    for scenes in chunks(split, seed, count):
        images = [decode_rgb(scene.jpeg, 10_000_000) for scene in scenes]
        detected = model.detect(images, names, score_floor=FLOOR)
        for number, (scene, result) in enumerate(zip(scenes, detected, strict=True), done):
            pool.add(number, Detections(result.boxes.numpy(), result.scores.numpy(), result.phrase.numpy()))
            objects.append(scene.objects)
        judged = judge_scenes(model, extractor, scenes, images, tier, tallies)
        if masks is not None:
            for index, (scene, image, own) in enumerate(zip(scenes, images, judged, strict=True), done):
                masks.add(scene, scene_masks(split, seed, index), image, own.grounding, own.claims)
        both = (first.failed or second.grounding.failed for first, second in zip(detected, judged, strict=True))
        failed.update(reason for reason in both if reason)
        done += len(scenes)
        progress(done)
    by_noun = fixed_ap(pool, truths(objects, names), names)
    return {
        "detection": {**tier_means(by_noun, tier), "by_noun": by_noun},
        "agreement": {
            name: {"at": tally.at(threshold), "curve": tally.curve(), "calibration": tally.calibration()}
            for name, tally in tallies.items()
        },
        **({} if masks is None else {"masks": masks.figures()}),
        "pictures": count,
        "failed": dict(failed),
        "data": {"split": split, "seed": seed, "count": count},
        "protocol": " ".join((__doc__ or "").split()),
    }


def truths(objects: Sequence[Sequence[tuple[str, Corners]]], names: Sequence[str]) -> list[Truth]:
    """What is true of each noun, from the objects of each image: it is there, or it is known to be absent."""
    found = {name: Truth(absent=set(range(len(objects)))) for name in names}
    for image, own in enumerate(objects):
        for name, corners in own:
            found[name].boxes.setdefault(image, []).append(corners)
            found[name].absent.discard(image)
    return list(found.values())


def fixed_ap(pool: Pool, truths: Sequence[Truth], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """{noun: {"AP", "AP50", "gold"}}, shares, of the nouns that have an object; pool and truths know them by number."""
    found = {}
    for number, (name, truth) in enumerate(zip(names, truths, strict=True)):
        precision = precision_at_recalls(pool.best(number), truth)  # (10, 101)
        if precision is not None:
            gold = sum(len(boxes) for boxes in truth.boxes.values())
            found[name] = {"AP": float(precision.mean()), "AP50": float(precision[0].mean()), "gold": gold}
    return found


def tier_means(by_noun: dict[str, dict[str, float]], tier: dict[str, str]) -> dict[str, Any]:
    """Mean AP in percent over the nouns of each tier, and over all, with how many nouns and objects that is."""
    groups = {"all": list(by_noun), **{name: [noun for noun in by_noun if tier[noun] == name] for name in TIERS}}
    return {
        name: {
            "AP": 100 * float(np.mean([by_noun[noun]["AP"] for noun in nouns])) if nouns else None,
            "AP50": 100 * float(np.mean([by_noun[noun]["AP50"] for noun in nouns])) if nouns else None,
            "nouns": len(nouns),
            "objects": int(sum(by_noun[noun]["gold"] for noun in nouns)),
        }
        for name, nouns in groups.items()
    }


class Judged(NamedTuple):
    """What was found in a scene, and which gold box each found box has claimed."""

    grounding: Grounding
    claims: Claims


def judge_scenes(
    model: Scheduler,
    extractor: NounPhraseExtractor,
    scenes: list[Scene],
    images: list[Any],
    tier: dict[str, str],
    tallies: dict[str, Tally],
) -> list[Judged]:
    """Ground the captions' phrases, add every box to the tallies of its tier, and return the boxes of each scene."""
    judged = []
    captions = [scene.caption for scene in scenes]
    phrases = extractor.extract(captions)
    spans = [[[(phrase.start, phrase.end)] for phrase in found] for found in phrases]
    grounded = model.ground(images, captions, spans, score_floor=0.1)
    for scene, own, result in zip(scenes, phrases, grounded, strict=True):
        texts = [(own[phrase].start, own[phrase].end) for phrase in result.phrase.tolist()]
        claims = judge_scene(scene, texts, result.boxes.numpy(), result.scores.numpy(), tier, tallies)
        judged.append(Judged(result, claims))
    return judged


def judge_scene(
    scene: Scene,
    texts: list[tuple[int, int]],
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    tier: dict[str, str],
    tallies: dict[str, Tally],
) -> Claims:
    """Add the boxes (N, 4) of one scene, each for the characters of its phrase (N,), to the tallies; what they claim.

    A tally's name is one of CLASSES or one of the values of `tier`.
    """
    named = named_spans(Characters.of_one_row(texts), Characters.of_one_row(scene.spans))  # (N,)
    gold_boxes = box_array([box.corners for box in scene.boxes])
    gold_span = np.asarray([box.span for box in scene.boxes], int)
    may_match = np.nonzero((named[:, None] == gold_span) & (named[:, None] >= 0))
    claims = claim(boxes, scores, gold_boxes, may_match)
    span_tier = [tier[noun] for noun in scene.span_nouns]
    box_tier = [span_tier[span] if span >= 0 else "" for span in named.tolist()]
    for name, tally in tallies.items():
        tiers = CLASSES.get(name, (name,))
        mask = np.asarray([one in tiers for one in box_tier], dtype=bool)
        tally.add(scores, claims, mask, sum(span_tier[span] in tiers for span in gold_span.tolist()))
    return claims


def chunks(split: str, seed: int, count: int) -> Iterator[list[Scene]]:
    from stages.synthetic import draw_scene

    for start in range(0, count, CHUNK):
        yield [draw_scene(split, seed, index) for index in range(start, min(start + CHUNK, count))]
