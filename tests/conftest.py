"""Runtime checks of shapes in every test, and no skip without a reason.

DETR_TUTORIAL_TYPECHECK=0 leaves the shape checks out: the tests in tests/errors look at the package's own
messages, which the checks would forestall.
"""

import os
from pathlib import Path

import pytest

if os.environ.get("DETR_TUTORIAL_TYPECHECK", "1") != "0":
    from jaxtyping import install_import_hook

    install_import_hook("detr_tutorial", "beartype.beartype")

# These hold assertions for many test modules: a failure shows the values here too.
pytest.register_assert_rewrite("tests.checks.notebook", "tests.widgets.pages")

ERRORS = Path(__file__).parent / "errors"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests/errors to its own run, without the shape checks."""
    if os.environ.get("DETR_TUTORIAL_TYPECHECK", "1") == "0":
        return
    errors = [item for item in items if ERRORS in item.path.parents]
    if errors:
        config.hook.pytest_deselected(items=errors)
        items[:] = [item for item in items if item not in errors]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped").strip(": ")
        if reason in ("", "unconditional skip"):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped without a reason"
    return report
