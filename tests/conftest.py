"""For all tests: Triton's kernels run in its interpreter, which it decides once, when it is first imported."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
