"""Running a notebook again leaves nothing in it that changes from run to run."""

import nbformat
from nbformat import NotebookNode

from tools.run_notebooks import tidy, write

nb = nbformat.v4


def noisy_notebook() -> NotebookNode:
    stream = [
        nb.new_output("stream", name="stdout", text="a\n"),
        nb.new_output("stream", name="stdout", text="b\n"),
    ]
    widget = nb.new_output(
        "execute_result",
        data={"text/html": "<p>w</p>", "application/vnd.jupyter.widget-view+json": {"model_id": "0f"}},
        metadata={"text/html": {"isolated": True}, "image/png": {"width": 10, "height": 5}},
        execution_count=7,
    )
    cells = [
        nb.new_markdown_cell("# T", id="ch10-title"),
        nb.new_code_cell("x", outputs=stream, execution_count=5, id="1a2b3c4d"),
        nb.new_code_cell(
            "y",
            outputs=[widget],
            execution_count=7,
            metadata={"execution": {"shell.execute_reply": "1"}, "tags": ["t"]},
        ),
        nb.new_code_cell("", execution_count=None),
    ]
    return nb.new_notebook(
        cells=cells,
        metadata={
            "widgets": {"state": {}},
            "kernelspec": {"name": "other", "display_name": "Other"},
            "language_info": {"name": "python", "version": "3"},
        },
    )


def test_times_ids_and_widget_state_go_and_the_rest_stays():
    notebook = tidy(noisy_notebook(), "10_topic")
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert [cell.id for cell in notebook.cells][:2] == ["ch10-title", "ch10-cell-02"]
    assert notebook.cells[1].outputs == [nb.new_output("stream", name="stdout", text="a\nb\n")]
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, 2, None]
    assert notebook.cells[2].metadata == {"tags": ["t"]}
    output = notebook.cells[2].outputs[0]
    assert list(output.data) == ["text/html"]
    assert output.metadata == {"image/png": {"width": 10, "height": 5}}
    assert output.execution_count == 2


def test_what_came_in_is_not_changed():
    notebook = noisy_notebook()
    before = nbformat.writes(notebook)
    tidy(notebook, "10_topic")
    assert nbformat.writes(notebook) == before


def test_tidying_twice_is_tidying_once_and_writing_twice_changes_nothing(tmp_path):
    once = tidy(noisy_notebook(), "10_topic")
    path = tmp_path / "10_topic.ipynb"
    assert write(once, path)
    assert not write(tidy(nbformat.read(path, as_version=4), "10_topic"), path)
