"""What every committed notebook keeps to."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools.repository import address_in, bootstrap_cell, bootstrap_source
from tools.run_notebooks import tidy

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXEMPT = "nbval-ignore-output"

# The sections of a chapter, in this order; other sections may stand between them.
SECTIONS = [
    "What you will build",
    "What to know before",
    "The same thing in the package",
    "What goes wrong in practice",
    "Exercises",
    "Summary",
    "References",
]
FORBIDDEN_IN_OUTPUTS = {
    "a path on the machine": re.compile(
        r"(?<![\w.:/])/(?:home|root|Users|tmp|work|usr|var|opt|mnt)/\w|[A-Z]:\\\\?Users"
    ),
    "a date": re.compile(r"\b(?:19|20)\d\d-[01]\d-[0-3]\d\b"),
    "an address in memory": re.compile(r"\b0x[0-9a-fA-F]{6,}\b"),
}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def texts(output: NotebookNode) -> Iterator[str]:
    """Yield what a reader sees of an output as text; pictures and widgets' bundles are not text."""
    if output.output_type == "stream":
        yield output.text
    for kind, value in output.get("data", {}).items():
        if kind == "text/plain" and len(output.data) > 1:
            continue  # replaced by the picture or the page beside it
        if kind.startswith("text/") and not (kind == "text/html" and "<script" in value):
            yield value


def headings(path: Path, level: int) -> list[str]:
    pattern = re.compile(rf"^{'#' * level} (.+)$", re.M)
    found = []
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            without_code = re.sub(r"^(`{3,}|:{3,}).*?^\1", "", cell.source, flags=re.M | re.S)
            found += [heading.strip() for heading in pattern.findall(without_code)]
    return found


def test_the_file_is_valid_and_at_most_800_kb(path):
    nbformat.validate(read(path))
    assert path.stat().st_size <= 800_000


def test_cells_were_run_once_from_first_to_last(path):
    assert [cell.execution_count for cell in code_cells(path)] == list(range(1, len(code_cells(path)) + 1))


def test_running_it_again_would_leave_no_noise_in_the_diff(path):
    text = nbformat.writes(tidy(read(path), path.stem), version=nbformat.NO_CONVERT) + "\n"
    assert text == path.read_text(encoding="utf-8"), "run: make notebooks"


def test_no_cell_failed_or_warned(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.get("text")


@pytest.mark.parametrize("what", list(FORBIDDEN_IN_OUTPUTS))
def test_no_output_names_the_machine_or_the_day(path, what):
    for cell in code_cells(path):
        for output in cell.outputs:
            for text in texts(output):
                found = FORBIDDEN_IN_OUTPUTS[what].search(text)
                assert found is None, f"{what}: {found}\n{cell.source}"


def test_the_kernel_is_called_python3(path):
    assert read(path).metadata.kernelspec.name == "python3"


def test_no_widget_view_or_state_is_saved(path):
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    for cell in code_cells(path):
        for output in cell.outputs:
            assert not any("widget" in kind for kind in output.get("data", {})), cell.source


def test_every_picture_has_alternative_text_and_a_caption(path):
    for cell in code_cells(path):
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            look = cell.metadata.get("mystnb", {})
            assert len(look.get("image", {}).get("alt", "")) >= 20, f"no alternative text:\n{cell.source}"
            assert look.get("figure", {}).get("caption"), f"no caption:\n{cell.source}"


def test_at_most_a_third_of_the_outputs_is_exempt_from_comparison(path):
    with_output = [cell for cell in code_cells(path) if cell.outputs]
    exempt = [cell for cell in with_output if EXEMPT in tags(cell)]
    assert len(exempt) * 3 <= len(with_output), f"{len(exempt)} of {len(with_output)}"


def test_cells_are_short(path):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lengths) <= 40
    assert sorted(lengths)[len(lengths) // 2] <= 12, "half of the cells are longer than 12 lines"


def test_the_sections_of_a_chapter_are_there_in_order(path):
    assert len(headings(path, 1)) == 1
    found = [heading for heading in headings(path, 2) if heading in SECTIONS]
    assert found == SECTIONS, headings(path, 2)


def test_there_are_three_exercises_with_folded_solutions(path):
    solutions = [cell for cell in code_cells(path) if "solution" in tags(cell)]
    assert len(solutions) >= 3
    for cell in solutions:
        assert "hide-cell" in tags(cell), cell.source


def test_the_chapter_describes_itself_to_who_searches(path):
    description = read(path).metadata.get("description", "")
    assert 50 <= len(description) <= 160, f"{len(description)} characters: {description}"
    assert description.endswith(".")


def test_the_bootstrap_cell_comes_first_as_make_repository_writes_it(path):
    cell = code_cells(path)[0]
    assert cell == nbformat.from_dict(
        {**bootstrap_cell(path.stem[:2], address_in(ROOT)), "source": bootstrap_source(address_in(ROOT))}
    ), "run: make repository REPO=... with the address in _config.yml"


def test_the_setup_comes_next_and_is_folded(path):
    assert "hide-cell" in tags(code_cells(path)[1])


def test_cell_ids_are_readable(path):
    number = path.stem.split("_")[0]
    ids = [cell.id for cell in read(path).cells]
    assert len(set(ids)) == len(ids)
    for identifier in ids:
        assert re.fullmatch(rf"ch{number}-[a-z0-9][a-z0-9-]*", identifier), identifier


def test_nothing_is_fetched_from_the_network(path):
    for cell in code_cells(path)[1:]:  # the first one installs the package where it is missing
        assert not re.search(
            r"https?://|urlopen|requests\.get|hf_hub_download|load_state_dict_from_url", cell.source
        )
