"""A few nouns in the form of WordNet's database files."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

LICENCE = "  1 This software and database is being provided to you, the LICENSEE  \n"
# Each sense: its names, and the numbers of those that it is a kind of. A name's senses stand in order of frequency.
SENSES: list[tuple[list[str], list[int]]] = [
    (["entity"], []),
    (["physical_entity"], [0]),
    (["attribute"], [0]),
    (["person", "individual"], [1]),
    (["animal"], [1]),
    (["artifact"], [1]),
    (["domestic_animal"], [4]),
    (["dog", "domestic_dog"], [6, 4]),
    (["poodle"], [7]),
    (["man"], [3]),
    (["work_force", "men"], [0]),
    (["table", "tabular_array"], [0]),
    (["table"], [5]),
    (["chair"], [5]),
    (["armchair"], [13]),
    (["mouse"], [4]),
    (["mouse", "computer_mouse"], [5]),
    (["hot_dog", "frank"], [1]),
    (["idea"], [0]),
    (["people"], [0]),
    (["mouth"], [1]),
    (["mouth"], [3]),
    (["red"], [2]),
    (["red"], [3]),
    (["traffic_light", "stoplight"], [0]),
]


def wordnet_files(folder: Path) -> Path:
    """Writes index.noun and data.noun; returns the folder."""
    offsets = [1740 + 40 * number for number in range(len(SENSES))]
    data, index = [LICENCE], defaultdict(list)
    for offset, (names, kinds) in zip(offsets, SENSES, strict=True):
        words = " ".join(f"{name} 0" for name in names)
        pointers = "".join(f" @ {offsets[kind]:08d} n 0000" for kind in kinds)
        data.append(f'{offset:08d} 03 n {len(names):02x} {words} {len(kinds):03d}{pointers} | a gloss; "a | bar"  \n')
        for name in names:
            index[name].append(offset)
    rows = [
        f"{name} n {len(own)} 1 @ {len(own)} 0 {' '.join(f'{offset:08d}' for offset in own)}  \n"
        for name, own in sorted(index.items())
    ]
    (folder / "data.noun").write_text("".join(data))
    (folder / "index.noun").write_text("".join([LICENCE, *rows]))
    return folder
