"""The highest layer: commands, config loading, the runner on Ray, commit records, storage and progress."""

import os

__version__ = "0.2.0"

# Before torch is loaded, here and in the workers, which inherit it: OpenMP threads that wait by spinning take the cores
# from the workers beside them, which made a training of two threads eight times slower beside busy ones.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
