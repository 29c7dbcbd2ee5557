"""The status page: what the runs recorded, and nothing else."""

import importlib
import re
from typing import Any

import pytest
import yaml

from .conftest import ROOT, SITE

CHAPTERS = sorted(path.stem for path in (SITE / "notebooks").glob("*.html"))
VERSIONS = {"Python": "3.12.1", "torch": "2.14.1", "timm": None}


@pytest.fixture
def status(monkeypatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    return importlib.import_module("book_site.status")


def run(status, seconds: float, **known) -> Any:
    facts = {
        "date": "2026-11-22 14:19",
        "peak_bytes": 946_000_000,
        "connections": 0,
        "versions": VERSIONS,
        "machine": "Linux, x86_64, 2 cores",
    }
    return status.Run(seconds, **{**facts, **known})


def test_chapters_share_the_budget_of_their_group(status):
    runs = {number: run(status, 10.0) for number in range(1, 7)} | {
        7: run(status, 40.0),
        8: run(status, 20.5),
    }
    rows = {row.chapters: row for row in status.budget_rows(runs)}
    assert rows["01 to 06"] == ("01 to 06", "60.0 s", "90 s", "yes")
    assert rows["07 to 09"] == ("07 to 09", "60.5 s", "60 s", "no, 0.5 s over")
    assert rows["10 to 12"].within == "not in the book"
    assert rows["all"].taken == "120.5 s"


def test_a_group_of_which_a_chapter_did_not_run_does_not_claim_to_be_within(status):
    runs = {13: run(status, 1.0), 14: None}
    rows = {row.chapters: row for row in status.budget_rows(runs)}
    assert rows["13 to 19"].within == rows["all"].within == "unknown: 1 of 2 did not run"


def test_every_chapter_of_the_book_has_a_budget(status):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    for file in files:
        if number := re.match(r"notebooks/(\d\d)_", file):
            assert sum(first <= int(number[1]) <= last for first, last in status.BUDGETS) == 1, file


def test_a_book_without_runs_says_so_and_claims_nothing(status):
    runs = {1: None, 2: None}
    assert status.summary(runs).startswith("No chapter was run for these pages.")
    assert "Downloads" not in status.summary(runs)
    assert status.environments(runs) == []
    assert status.chapter_cells(None) == ["did not run", "", "", ""]


def test_a_book_with_some_runs_says_how_many_and_when(status):
    runs = {1: run(status, 3.0), 2: None, 3: run(status, 1.0, date="2026-11-20 09:00", connections=2)}
    assert status.summary(runs) == (
        "2 of the 3 chapters were run for these pages, the first on 2026-11-20 09:00, the last on "
        "2026-11-22 14:19 (UTC). The others show the outputs that are stored in their notebooks. "
        "Downloads: 2 connections to other machines."
    )


def test_what_was_not_measured_is_not_made_up(status):
    bare = run(status, 3.0, date=None, peak_bytes=None, connections=None, versions=None, machine=None)
    assert status.chapter_cells(bare) == ["not recorded", "3.0 s", "not recorded", "not recorded"]
    assert "Downloads" not in status.summary({1: bare})
    assert status.environments({1: bare}) == []


def test_chapters_that_ran_with_other_versions_are_told_apart(status):
    newer = {**VERSIONS, "torch": "2.15.0"}
    runs = {1: run(status, 1.0), 2: run(status, 1.0, versions=newer), 3: run(status, 1.0)}
    first, second = status.environments(runs)
    assert first[0] == [1, 3]
    assert second[0] == [2]
    assert first[1] == {
        "Python": "3.12.1",
        "torch": "2.14.1",
        "timm": "not installed",
        "Machine": "Linux, x86_64, 2 cores",
    }
    assert second[1]["torch"] == "2.15.0"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_status_of_a_chapter_is_what_its_own_page_says(chapter):
    page = (SITE / "notebooks" / f"{chapter}.html").read_text(encoding="utf-8")
    status_page = (SITE / "book" / "status.html").read_text(encoding="utf-8")
    (row,) = re.findall(
        rf'<tr[^>]*><td><p><a [^>]*href="../notebooks/{chapter}.html">.*?</tr>', status_page, re.S
    )
    cost = re.search(r"Measured: (\d+\.\d s) to run", page)
    assert (cost[1] if cost else "did not run") in row
