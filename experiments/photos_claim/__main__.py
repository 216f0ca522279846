"""Does a student pass its teacher on photographs? The claim of self-training, cell by cell.

    python -m experiments.photos_claim plan                       # the cells, what is done, and what is left in hours
    python -m experiments.photos_claim run --minutes 50           # continues where it stopped, as long as time allows
    python -m experiments.photos_claim run --only '*-s1'          # some cells (and what they need); one shell a core
    python -m experiments.photos_claim collect                    # benchmarks/results/photos_claim.json, and its tables

Every cell is commands in a folder of its own under --work, and leaves one JSON under --cells. A cell that has its JSON
is computed again only where its folder is gone and another cell needs what was in it. cells.py says what the cells are;
README.md what they cost; docs/selftraining.md what came of them.
"""

from __future__ import annotations

from experiments.photos_claim.cells import Grid, cells_of, seconds
from experiments.photos_claim.runner import Runner
from experiments.photos_claim.summary import result_of, tables
from experiments.study import Study

RATES = {"train": 13.0, "label": 14.0, "start": 180.0}  # of one CPU core
STUDY = Study("photos_claim", __doc__, Grid, cells_of, seconds, RATES, Runner, result_of, tables)

if __name__ == "__main__":
    STUDY.main()
