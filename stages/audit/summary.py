"""The summary of one part: counters, histograms, term tables and the worst rows. Made once; merging adds them up."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.records import OTHER_LABELS
from schemas.tables import (
    CurationTable,
    GoldTable,
    LabelTable,
    MaskTable,
    PairTable,
    PhraseTable,
    PseudoTable,
    RejectTable,
    ScoreTable,
)
from stages.audit import agreement, boxes, curation, masks, second_opinion, teachers, terms
from stages.audit.side_tables import Tables, side_tables
from stages.flat import Flags, FlatBoxes, FlatGold, FlatPhrases, asked_phrases
from stages.hashes import hash_texts
from stages.ingest.categories import read_categories
from stages.phrases.identify import count_languages

WORST = 12  # rows of each worst-of gallery
OTHER_SCRIPT = r"[^\p{Latin}\p{Common}\p{Inherited}]"  # a letter of another script than the Latin one


def summarise(tables: Tables, min_score: float) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Counters (JSON-able, integers only) and tables: `copies`; where the part has phrases, `terms`; where there are
    further teachers, `teachers`; where true boxes are named by categories, `waiting` (stages/audit/agreement.py); and
    where pairs are curated, `curation` (stages/audit/curation.py).

    Works with whatever datasets the part has. The first three hold several kinds of terms, told apart by their `kind`,
    which is a teacher's name in `teachers`. These are compared phrase by phrase above `min_score`.
    """
    part = Part(tables)
    counters: dict[str, Any] = {"datasets": part.present(), **pair_figures(part.pairs), **reasons(tables, part)}
    if beside := side_tables(tables):
        counters["side_tables"] = beside
    worst: dict[str, list[list[float]]] = {}
    counted = {"copies": terms.joined(copies(part.pairs))}
    if part.curation is not None:
        counters["curation"] = curation.count_decisions(part.curation, part.pairs)
        counted["curation"] = curation.replaced(part.curation)
    if part.phrases is not None:
        phrases = FlatPhrases.of(part.phrases)
        labels = None if part.labels is None else FlatBoxes.of(part.labels, phrases)
        kept = None if part.pseudo is None else FlatBoxes.of(part.pseudo, phrases)
        asked = asked_phrases(phrases, part.labels)
        counters |= {"languages": languages(part.phrases), **phrase_figures(phrases, asked)}
        if labels is not None and part.labels is not None:
            counters |= boxes.label_figures(labels)
            compared = compare_teachers(tables, phrases, asked, labels)
            counters |= second_opinion.count_opinions(part.labels, part.scores, compared)
            if compared:
                by_phrase = {name: teachers.count_by_phrase(phrases, own, min_score) for name, own in compared.items()}
                counted["teachers"] = terms.joined(by_phrase)
                against = teachers.disagreements(phrases, labels.rows, compared.values())
                worst["teachers_disagree"] = _top(against, labels.rows, against > 0)
            if part.gold is not None:
                judgement = agreement.judge(phrases, labels, FlatGold.of(part.gold, read_categories(tables)))
                counters["gold"] = agreement.figures(labels, judgement)
                if judgement.waits.any():
                    counted["waiting"] = agreement.waiting(phrases, labels, judgement)
                errors = agreement.best_errors(phrases, labels, judgement)
                worst["confident_errors"] = _top(errors, labels.rows, errors > 0)
        if kept is not None:
            counters |= boxes.kept_figures(kept, asked)
            near, crowded = boxes.overlaps(kept)
            counters["near_duplicate_boxes"] = int(near.sum())
            worst |= worst_rows(phrases, asked, kept, crowded)
            if part.masks is not None and part.pseudo is not None:
                measures, row, size = masks.measured(part.pseudo, part.masks)
                counters["masks"] = masks.mask_figures(measures, size)
                gaps = masks.worst_gaps(measures, row, kept.rows)
                worst["mask_gap"] = _top(gaps, kept.rows, gaps > 0)
        texts = {"phrases": phrases.norm, "heads": phrases.head}
        counts = {kind: terms.count_terms(texts[kind], phrases, asked, labels, kept) for kind in texts}
        counted["terms"] = terms.joined(counts)
    return counters | {"worst": worst}, counted


class Part:
    """The datasets of a part, each read once; None where the run does not have it."""

    def __init__(self, tables: Tables) -> None:
        self.pairs = PairTable.read(tables, PairTable.caption, PairTable.image, PairTable.sha256)
        self.curation = CurationTable.read(tables) if tables.has(CurationTable.dataset) else None
        self.gold = GoldTable.read(tables) if tables.has(GoldTable.dataset) else None
        of_phrases = (PhraseTable.key, PhraseTable.caption, PhraseTable.phrases, PhraseTable.dropped)
        self.phrases = PhraseTable.read(tables, *of_phrases) if tables.has(PhraseTable.dataset) else None
        self.labels = LabelTable.read(tables) if tables.has(LabelTable.dataset) else None
        self.scores = ScoreTable.read(tables) if tables.has(ScoreTable.dataset) else None
        self.pseudo = PseudoTable.read(tables) if tables.has(PseudoTable.dataset) else None
        self.masks = MaskTable.read(tables) if tables.has(MaskTable.dataset) else None

    def present(self) -> dict[str, int]:
        return {
            PairTable.dataset: 1,
            GoldTable.dataset: int(self.gold is not None),
            PhraseTable.dataset: int(self.phrases is not None),
            LabelTable.dataset: int(self.labels is not None),
            PseudoTable.dataset: int(self.pseudo is not None),
        }


def compare_teachers(
    tables: Tables, phrases: FlatPhrases, asked: Flags, labels: FlatBoxes
) -> dict[str, teachers.Compared]:
    """The first teacher with each of the others, by the name of these, on the phrases that both were asked for."""
    found = {}
    for folder in (name for name in tables.datasets if name.startswith(OTHER_LABELS)):
        other = LabelTable(tables.read(folder))
        both = asked & asked_phrases(phrases, other)
        found[folder.removeprefix(OTHER_LABELS)] = teachers.compare(both, labels, FlatBoxes.of(other, phrases))
    return found


def pair_figures(pairs: PairTable) -> dict[str, Any]:
    captions = pairs.caption
    return {
        "pairs": len(pairs),
        "pairs_with_image": int(pairs.image.given.sum()),
        "other_script": int(pc.sum(pc.match_substring_regex(captions, OTHER_SCRIPT)).as_py() or 0),
        "caption_chars": int(pc.sum(pc.utf8_length(captions)).as_py() or 0),
    }


def copies(pairs: PairTable) -> dict[str, pa.Table]:
    """The distinct captions, images (by the sha256 of their bytes) and pairs of both, hashed."""
    captions = hash_texts(pairs.caption.to_pylist())
    has_image = pairs.image.given
    shas = pairs.sha256.filter(pa.array(has_image)).to_pylist()
    images = np.array([int((sha or "0")[:16], 16) for sha in shas], np.uint64)
    both = images * np.uint64(0x9E3779B97F4A7C15) ^ captions[has_image]
    return {
        "captions": terms.distinct_hashes(captions),
        "images": terms.distinct_hashes(images),
        "image_captions": terms.distinct_hashes(both),
    }


def reasons(tables: Tables, part: Part) -> dict[str, Any]:
    """Rejects of every stage by reason, and what phrases, label and filter dropped inside their rows, by reason."""
    rejected = {}
    for name in tables.datasets:
        folder, _, stage = name.partition("/")
        if folder == "rejects":
            rejected[stage] = _value_counts(RejectTable(tables.read(name, [RejectTable.reason])).reason)
    with_dropped = [table for table in (part.phrases, part.labels, part.pseudo) if table is not None]
    dropped = {table.dataset: _value_counts(table.dropped.reason) for table in with_dropped}
    return {"rejected": rejected, "dropped": dropped}


def languages(table: PhraseTable) -> dict[str, dict[str, int]]:
    """Captions by script and language, as the phrases stage read them."""
    dropped = table.dropped
    others = pa.array(dropped.row).filter(pc.equal(dropped.reason, "not_english"))
    without_words = pc.sum(pc.equal(dropped.reason, "unparsable")).as_py() or 0
    return count_languages(len(table), table.caption.take(others).to_pylist(), without_words)


def _value_counts(column: pa.Array) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def phrase_figures(phrases: FlatPhrases, asked: Flags) -> dict[str, Any]:
    per_row = phrases.count[phrases.rows]
    return {
        "pairs_with_phrases": int((per_row > 0).sum()),
        "phrases": len(phrases.row),
        "phrases_asked": int(asked.sum()),
        "phrases_per_pair": np.bincount(np.minimum(per_row, 50), minlength=51).tolist(),
    }


def worst_rows(phrases: FlatPhrases, asked: Flags, kept: FlatBoxes, crowded: Any) -> dict[str, list[list[float]]]:
    """The rows worth looking at first, as [measure, row], the worst first."""
    position = np.searchsorted(kept.rows, kept.row)
    count = np.bincount(position, minlength=len(kept.rows))
    lowest = np.full(len(kept.rows), 2.0)
    np.minimum.at(lowest, position, kept.score)
    largest = np.zeros(len(kept.rows))
    np.maximum.at(largest, position, boxes.area_share(kept))
    wanted = np.bincount(phrases.row[asked], minlength=len(phrases.first))[kept.rows]
    return {
        "lowest_score": _top(-lowest, kept.rows, count > 0),
        "most_boxes": _top(count, kept.rows, count > 0),
        "largest_box": _top(largest, kept.rows, count > 0),
        "most_crowded": _top(crowded, kept.rows, crowded > 0),
        "nothing_found": _top(wanted, kept.rows, (count == 0) & (wanted > 0)),
    }


def _top(measure: Any, rows: Any, where: Flags) -> list[list[float]]:
    chosen = np.flatnonzero(where)
    best = chosen[np.lexsort((rows[chosen], -measure[chosen]))[:WORST]]
    return [[float(measure[i]), int(rows[i])] for i in best]


def counters_bytes(counters: dict[str, Any]) -> bytes:
    return (json.dumps(counters, sort_keys=True, separators=(",", ":")) + "\n").encode()


def terms_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=["kind"])
    return buffer.getvalue()
