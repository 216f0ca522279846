"""Who is to blame when a worker dies."""

from __future__ import annotations

import pytest

from pipeline.execution import dispatch


@pytest.mark.parametrize(
    ("text", "mine", "blamed"),
    [
        ("The actor died because its node has died. Node Id: 12ab", "aa", False),
        ("The actor is dead because its worker process has died. Worker exit detail: Worker killed.", "aa", True),
        (
            "2 worker(s) were killed due to the node running low on memory.\n"
            "Selected to kill: (Actor(aa): job ID=01, actual memory used=0.06GB, worker ID=1)\n"
            "Selected to kill: (Actor(bb): job ID=01, actual memory used=1.26GB, worker ID=2)\n",
            "aa",
            False,
        ),
        (
            "2 worker(s) were killed due to the node running low on memory.\n"
            "Selected to kill: (Actor(aa): job ID=01, actual memory used=0.06GB, worker ID=1)\n"
            "Selected to kill: (Actor(bb): job ID=01, actual memory used=1.26GB, worker ID=2)\n",
            "bb",
            True,
        ),
    ],
)
def test_who_is_to_blame_for_a_worker_that_died(text: str, mine: str, blamed: bool) -> None:
    class Actor:
        class _actor_id:
            @staticmethod
            def hex() -> str:
                return mine

    assert dispatch.is_to_blame(dispatch.Slot(Actor, None), RuntimeError(text)) is blamed


def test_a_worker_that_cannot_start_is_no_fault_of_its_part() -> None:
    text = (
        "The actor died because of an error raised in its creation task, ray::Host.__init__() (pid=29120)\n"
        '  File "/x/pipeline/execution/worker.py", line 9, in <module>\n'
        "ModuleNotFoundError: No module named 'pyarrow'\n worker_id=1"
    )
    assert dispatch.cannot_start(RuntimeError(text)) == "ModuleNotFoundError: No module named 'pyarrow'"
    assert dispatch.cannot_start(RuntimeError("The actor died unexpectedly")) == ""
