"""The summary of one part: counters, histograms, term tables and the worst rows. Made once; merging adds them up."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.audit import agreement, boxes, terms
from stages.audit.flat import (
    Boxes,
    Flags,
    Phrases,
    Tables,
    combined,
    list_lengths,
    read_boxes,
    read_phrases,
    rows_of,
)
from stages.phrases.identify import count_languages

STAGES_WITH_REJECTS = ("ingest", "phrases", "label", "filter", "shard")
WORST = 12  # rows of each worst-of gallery
OTHER_SCRIPT = r"[^\p{Latin}\p{Common}\p{Inherited}]"  # a letter of another script than the Latin one


def summarise(tables: Tables) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """Counters (JSON-able, integers only) and two tables: `copies` and, where the part has phrases, `terms`.

    Works with whatever datasets the part has. Tables hold several kinds of terms, told apart by the column `kind`.
    """
    pairs = tables.read("pairs", ["key", "caption", "image", "sha256", "license"])
    counters: dict[str, Any] = {"datasets": _present(tables), **pair_figures(pairs), **reasons(tables)}
    worst: dict[str, list[list[float]]] = {}
    counted = {"copies": terms.joined(copies(pairs))}
    if tables.has("phrases"):
        phrases = read_phrases(tables)
        labels = read_boxes(tables, "labels", phrases) if tables.has("labels") else None
        kept = read_boxes(tables, "pseudo", phrases) if tables.has("pseudo") else None
        asked = asked_phrases(tables, phrases, labels)
        counters |= {"languages": languages(tables), **phrase_figures(phrases, asked)}
        if labels is not None:
            counters |= boxes.label_figures(labels)
            if tables.has("gold"):
                judgement = agreement.judge(tables, phrases, labels)
                counters["gold"] = agreement.figures(labels, judgement)
                errors = agreement.best_errors(labels, judgement)
                worst["confident_errors"] = _top(errors, labels.rows, errors > 0)
        if kept is not None:
            counters |= boxes.kept_figures(kept, asked)
            near, crowded = boxes.overlaps(kept)
            counters["near_duplicate_boxes"] = int(near.sum())
            worst |= worst_rows(phrases, asked, kept, crowded)
        texts = {"phrases": phrases.norm, "heads": phrases.head}
        counts = {kind: terms.count_terms(texts[kind], phrases, asked, labels, kept) for kind in texts}
        counted["terms"] = terms.joined(counts)
    return counters | {"worst": worst}, counted


def _present(tables: Tables) -> dict[str, int]:
    return {name: int(tables.has(name)) for name in ("pairs", "gold", "phrases", "labels", "pseudo")}


def pair_figures(pairs: pa.Table) -> dict[str, Any]:
    captions = pairs["caption"]
    return {
        "pairs": len(pairs),
        "pairs_with_image": len(pairs) - pairs["image"].null_count,
        "other_script": int(pc.sum(pc.match_substring_regex(captions, OTHER_SCRIPT)).as_py() or 0),
        "caption_chars": int(pc.sum(pc.utf8_length(captions)).as_py() or 0),
    }


def copies(pairs: pa.Table) -> dict[str, pa.Table]:
    """The distinct captions, images (by the sha256 of their bytes) and pairs of both, hashed."""
    captions = terms.hash_texts(pairs["caption"].to_pylist())
    has_image = combined(pc.is_valid(pairs["image"])).to_numpy(zero_copy_only=False)
    shas = combined(pairs["sha256"]).filter(pa.array(has_image)).to_pylist()
    images = np.array([int((sha or "0")[:16], 16) for sha in shas], np.uint64)
    both = images * np.uint64(0x9E3779B97F4A7C15) ^ captions[has_image]
    return {
        "captions": terms.distinct_hashes(captions),
        "images": terms.distinct_hashes(images),
        "image_captions": terms.distinct_hashes(both),
    }


def reasons(tables: Tables) -> dict[str, Any]:
    """Rejects of every stage by reason, and what phrases, label and filter dropped inside their rows, by reason."""
    rejected = {}
    for stage in STAGES_WITH_REJECTS:
        if tables.has(f"rejects/{stage}"):
            rejected[stage] = _value_counts(tables.read(f"rejects/{stage}", ["reason"])["reason"])
    dropped = {}
    for dataset in ("phrases", "labels", "pseudo"):
        if tables.has(dataset):
            lists = combined(tables.read(dataset, ["dropped"])["dropped"])
            dropped[dataset] = _value_counts(lists.flatten().field("reason"))
    return {"rejected": rejected, "dropped": dropped}


def languages(tables: Tables) -> dict[str, dict[str, int]]:
    """Captions by script and language, as the phrases stage read them."""
    table = tables.read("phrases", ["caption", "dropped"])
    lists = combined(table["dropped"])
    reasons = lists.flatten().field("reason")
    others = pc.list_parent_indices(lists).filter(pc.equal(reasons, "not_english"))
    without_words = pc.sum(pc.equal(reasons, "unparsable")).as_py() or 0
    return count_languages(len(table), table["caption"].take(others).to_pylist(), without_words)


def _value_counts(column: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(column).to_pylist()}


def asked_phrases(tables: Tables, phrases: Phrases, labels: Boxes | None) -> Flags:
    """Which phrases (P,) the teacher was asked for: those of labelled rows, less what the label stage dropped."""
    asked = np.zeros(len(phrases.row), np.bool_)
    if labels is None:
        return asked
    labelled = np.zeros(len(phrases.first), np.bool_)
    labelled[labels.rows] = True
    asked = labelled[phrases.row]
    table = tables.read("labels", ["key", "dropped"])
    lists = combined(table["dropped"])
    row = np.repeat(rows_of(table["key"]), list_lengths(lists))
    phrase = lists.flatten().field("phrase").to_numpy(zero_copy_only=False).astype(np.int64)
    asked[phrases.index(row, phrase, f"labels, part {tables.part}")] = False
    return asked


def phrase_figures(phrases: Phrases, asked: Flags) -> dict[str, Any]:
    per_row = phrases.count[phrases.rows]
    return {
        "pairs_with_phrases": int((per_row > 0).sum()),
        "phrases": len(phrases.row),
        "phrases_asked": int(asked.sum()),
        "phrases_per_pair": np.bincount(np.minimum(per_row, 50), minlength=51).tolist(),
    }


def worst_rows(phrases: Phrases, asked: Flags, kept: Boxes, crowded: Any) -> dict[str, list[list[float]]]:
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
