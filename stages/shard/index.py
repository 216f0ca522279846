"""shards/index.json: the list of a run's shards, for whoever reads them."""

from __future__ import annotations

import json
from typing import BinaryIO

INDEX = "shards/index.json"


def read_index(stream: BinaryIO) -> list[tuple[str, int]]:
    """Name and number of samples of each shard that holds any.

    Raises ValueError, KeyError or TypeError for another file.
    """
    return [(str(entry["file"]), int(entry["samples"])) for entry in json.load(stream)["shards"] if entry["samples"]]
