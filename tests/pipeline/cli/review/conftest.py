from tests.stages.audit.conftest import browser
from tests.stages.audit_run import make_run, shapes

__all__ = ["browser", "make_run", "shapes"]
