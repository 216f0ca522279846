"""The key `curation` of stats.json once more: plain Python over the rows of a run's Parquet files, with nothing of the
audit's code. The likeness of images is counted for vectors; signatures are held to new runs by test_duplicates.py.

Written for being read beside docs/audit.md, not for speed.
"""

from __future__ import annotations

import math
import struct
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Row = dict[str, Any]
COPIES = ("exact_duplicate", "near_duplicate")


class Recount:
    def __init__(self, run: Path, config: Any) -> None:
        self.config = config.curate
        self.rows = {
            name: [
                row for path in sorted((run / name).glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()
            ]
            for name in ("pairs", "curation", "phrases", "summaries/curate")
        }
        centres = run / "summaries/clusters/centres.parquet"
        self.centres = [halves(row["centre"]) for row in pq.read_table(centres).to_pylist()] if centres.exists() else []
        self.copies = [row for row in self.rows["curation"] if row["reason"] in COPIES]

    def figures(self) -> Row:
        rows = self.rows["curation"]
        return {
            "pairs": len(rows),
            "kept": sum(row["keep"] for row in rows),
            "set_aside": dict(Counter(row["reason"] for row in rows if not row["keep"])),
            "sources": self.sources(),
            **self.groups(),
            "leaks": self.leaks(),
            "similarity": self.similarity(),
            "clusters": self.clusters(),
        }

    def sources(self) -> list[Row]:
        """For at most 40 files, all below one folder that others are not in; each image is in a tar."""
        uris = [row["image"]["uri"].split("/") for row in self.rows["pairs"]]
        shared = max(i for i in range(len(uris[0])) if len({tuple(uri[:i]) for uri in uris}) == 1)
        shared = min(shared, *(len(uri) - 1 for uri in uris))
        found: dict[str, list[Row]] = defaultdict(list)
        source = {row["key"]: "/".join(uri[shared:]) for row, uri in zip(self.rows["pairs"], uris, strict=True)}
        for row in self.rows["curation"]:
            found[source[row["key"]]].append(row)
        listed = [
            {
                "source": name,
                "pairs": len(own),
                "set_aside": dict(Counter(row["reason"] for row in own if not row["keep"])),
            }
            for name, own in found.items()
        ]
        return sorted(listed, key=lambda row: (-sum(row["set_aside"].values()), row["source"]))

    def groups(self) -> Row:
        groups: dict[str, list[Row]] = defaultdict(list)
        for row in self.copies:
            groups[row["duplicate_of"]].append(row)
        largest = sorted(groups, key=lambda key: (-len(groups[key]), key))[:12]
        sizes = Counter(min(len(group) + 1, 20) for group in groups.values())
        return {
            "groups": len(groups),
            "in_groups": len(self.copies) + len(groups),
            "group_sizes": [sizes[size] for size in range(2, 21)],
            "largest_groups": [
                {"kept": key, "pairs": len(groups[key]) + 1, "copies": [self.copy(row) for row in groups[key][:5]]}
                for key in largest
            ],
            "threshold": self.threshold(),
        }

    def copy(self, row: Row) -> Row:
        likeness = self.likeness(row) if row["reason"] == "near_duplicate" else None
        return {
            "pair": row["key"],
            "reason": row["reason"],
            "likeness": None if likeness is None else round(likeness, 4),
        }

    def likeness(self, row: Row) -> float | None:
        """Of vectors."""
        if self.config.duplicates != "embedding":
            return None
        one, other = (halves(self.signature(key)["embedding"]) for key in (row["key"], row["duplicate_of"]))
        return dot(one, other) / math.sqrt(dot(one, one) * dot(other, other))

    def signature(self, key: str) -> Row:
        return next(row for row in self.rows["summaries/curate"] if row["key"] == key)

    def threshold(self) -> Row | None:
        if self.config.duplicates != "embedding":
            return None
        near = [row for row in self.copies if row["reason"] == "near_duplicate"]
        found = {row["key"]: self.likeness(row) or 0 for row in near}
        least = self.config.min_cosine
        return {
            "setting": "min_cosine",
            "value": least,
            "near_duplicates": len(near),
            "measured": len(near),
            "by_threshold": [
                {"threshold": t, "pairs": sum(likeness >= t for likeness in found.values())}
                for t in [least, *(i / 100 for i in range(101) if i / 100 > least)]
            ],
            "least_alike": [
                {"kept": row["duplicate_of"], **self.copy(row)}
                for row in sorted(near, key=lambda row: (found[row["key"]], row["key"]))[:8]
            ],
        }

    def leaks(self) -> Row | None:
        leaks: dict[str, list[str]] = defaultdict(list)
        for row in self.rows["curation"]:
            if row["reason"] == "benchmark_leak":
                leaks[row["duplicate_of"]].append(row["key"])
        if not leaks:
            return None
        named = {entry.name for entry in self.config.against}
        of = {image: next(name for name in named if image.startswith(name)) for image in leaks}
        most = sorted(leaks, key=lambda image: (-len(leaks[image]), image))[:8]
        return {
            "benchmarks": [
                {
                    "benchmark": name,
                    "pairs": sum(len(keys) for image, keys in leaks.items() if of[image] == name),
                    "images": sum(own == name for own in of.values()),
                }
                for name in sorted(set(of.values()))
            ],
            "most": [{"image": image, "pairs": len(leaks[image]), "copies": leaks[image][:3]} for image in most],
        }

    def similarity(self) -> Row | None:
        values = [row["similarity"] for row in self.rows["curation"] if row["similarity"] is not None]
        if not values:
            return None
        grid = [i / 100 for i in range(-100, 101)]
        left = [sum(value >= struct.unpack("f", struct.pack("f", t))[0] for value in values) for t in grid]
        first = max(i for i, count in enumerate(left) if count == len(values))
        last = min((i for i, count in enumerate(left) if not count), default=len(grid) - 1)
        return {
            "pairs": len(values),
            "value": self.config.min_similarity,
            "by_threshold": [{"threshold": grid[i], "pairs": left[i]} for i in range(first, last + 1)],
        }

    def clusters(self) -> Row | None:
        rows = [row for row in self.rows["curation"] if row["cluster"] is not None]
        if not rows:
            return None
        sizes = Counter(row["cluster"] for row in rows)
        ranked = sorted(sizes, key=lambda number: (-sizes[number], number))
        kept = {row["key"]: row["cluster"] for row in rows if row["keep"]}
        norms = {row["key"]: {phrase["norm"] for phrase in row["phrases"]} for row in self.rows["phrases"]}
        norms = {key: own for key, own in norms.items() if key in kept}
        return {
            "clusters": len(sizes),
            "pairs": len(rows),
            "by_rank": [[rank + 1, sizes[number]] for rank, number in enumerate(ranked)],
            "looked_at": len(norms),
            "largest": [
                {
                    "cluster": number,
                    "pairs": sizes[number],
                    "kept": sum(own == number for own in kept.values()),
                    "typical": self.nearest(number, [key for key, own in kept.items() if own == number]),
                    "phrases": typical(
                        [own for key, own in norms.items() if kept[key] == number], list(norms.values())
                    ),
                }
                for number in ranked[:16]
            ],
        }

    def nearest(self, number: int, keys: list[str]) -> list[str]:
        close = {key: dot(halves(self.signature(key)["embedding"]), self.centres[number]) for key in keys}
        return sorted(keys, key=lambda key: (-close[key], key))[:5]


def typical(own: list[set[str]], all_of_them: list[set[str]]) -> list[Row]:
    found = []
    for phrase in set().union(*own):
        pairs, share = sum(phrase in norms for norms in own), sum(phrase in norms for norms in own) / len(own)
        lift = share / (sum(phrase in norms for norms in all_of_them) / len(all_of_them))
        if pairs >= 2 and lift > 1:
            found.append({"phrase": phrase, "pairs": pairs, "share": share, "lift": lift})
    return sorted(found, key=lambda row: (-row["share"] * math.log(row["lift"]), row["phrase"]))[:6]


def halves(data: bytes) -> tuple[float, ...]:
    """Numbers of 16 bits."""
    return struct.unpack(f"<{len(data) // 2}e", data)


def dot(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))
