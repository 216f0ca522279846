"""The fixtures of runs with everything in them."""

from tests.stages.audit_run import make_run, shapes

__all__ = ["make_run", "shapes"]
