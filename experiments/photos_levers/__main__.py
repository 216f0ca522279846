"""What makes `glip-photos` better? Short trainings that differ from one in a single thing, measured on the dev split.

    python -m experiments.photos_levers plan                      # the cells, what is done, and what is left in hours
    python -m experiments.photos_levers run --minutes 50          # continues where it stopped, as long as time allows
    python -m experiments.photos_levers run --only 'base*'        # some cells; one shell a core
    python -m experiments.photos_levers collect                   # benchmarks/results/photos_levers.json, and its table

Every cell is a training in a folder of its own under --work, and leaves one JSON under --cells. cells.py says what the
levers are; README.md what they cost.
"""

from __future__ import annotations

from experiments.photos_levers.cells import Grid, cells_of, seconds
from experiments.photos_levers.runner import Runner
from experiments.photos_levers.summary import result_of, tables
from experiments.study import Study

RATES = {"train": 13.0, "label": 14.0}  # of one CPU core
STUDY = Study("photos_levers", __doc__, Grid, cells_of, seconds, RATES, Runner, result_of, tables)

if __name__ == "__main__":
    STUDY.main()
