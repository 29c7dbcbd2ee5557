"""The chapter that a test module is about, run once for all its tests."""

from typing import Any

import pytest

from tests.checks.notebook import run_chapter


@pytest.fixture(scope="module")
def chapter(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `run_chapter` gives for the module's NOTEBOOK without the cells of its SKIP, if it has one."""
    return run_chapter(request.module.NOTEBOOK, getattr(request.module, "SKIP", None))
