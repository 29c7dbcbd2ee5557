"""The files of a training run: a checkpoint that is never half written, a log that no crash spoils."""

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch

FORMAT = "detr_tutorial training checkpoint 1"

Row = dict[str, Any]  # numbers by name; None where nothing was measured


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file so that, whenever the process dies, `path` holds either the old or the new content.

    When writing fails, nothing of the attempt is left.

    Args:
        path: the file; what it held before is replaced.
        write: gets the open file.
    """
    temporary = path.with_name(path.name + ".unfinished")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the new name is on the disk only when the folder is
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, lambda file: file.write((json.dumps(content, indent=2) + "\n").encode()))


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write everything that a run needs to go on, atomically."""
    write_atomically(path, lambda file: torch.save({"format": FORMAT, **state}, file))


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote; nothing in the file is executed.

    Raises:
        ValueError: if the file is damaged, or not a checkpoint of a training run.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and torch each raise their own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(
            f"{path} is not a checkpoint that can be read ({reason}): remove it to start anew"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of a training run of this version: name another folder")
    return state


class TrainingLog:
    """A CSV file with one row a step; a resumed run first drops the rows after its checkpoint.

    Args:
        path: the file; None keeps the rows in memory only.
        columns: names of the columns; the first is "step".
        last_step: rows after this step are dropped.
    """

    def __init__(self, path: Path | None, columns: Sequence[str], last_step: int) -> None:
        self.columns = list(columns)
        self.rows: list[Row] = []
        self._file: IO[str] | None = None
        if path is None:
            return
        self.rows = _read_rows(path, self.columns, last_step)
        write_atomically(
            path, lambda file: file.write(self._lines([self.columns, *map(self._cells, self.rows)]))
        )
        self._file = path.open("a", encoding="utf-8", newline="")

    def write(self, row: Row) -> Row:
        """Append a row, rounded to six digits, and return it as a later run would read it."""
        rounded: Row = {name: _rounded(row.get(name)) for name in self.columns}
        self.rows.append(rounded)
        if self._file is not None:
            self._file.write(self._lines([self._cells(rounded)]).decode())
            self._file.flush()
        return rounded

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _cells(self, row: Row) -> list[str]:
        return ["" if (value := row[name]) is None else f"{value:.12g}" for name in self.columns]

    @staticmethod
    def _lines(rows: Sequence[Sequence[str]]) -> bytes:
        return "".join(",".join(cells) + "\n" for cells in rows).encode()


def _read_rows(path: Path, columns: list[str], last_step: int) -> list[Row]:
    """Read the rows up to a step; a last line that was cut off by a crash belongs to no complete step."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    reader = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    if last_step > 0 and next(reader, None) != columns:
        raise ValueError(f"{path} does not have the columns {', '.join(columns)}: move it away to go on")
    rows: list[Row] = []
    for cells in reader if last_step > 0 else ():
        if len(cells) != len(columns) or not cells[0].isdigit() or int(cells[0]) > last_step:
            break
        values = (None if cell == "" else float(cell) for cell in cells)
        rows.append(dict(zip(columns, values, strict=True)))
    return rows


def _rounded(value: float | int | None) -> float | int | None:
    return None if value is None else value if isinstance(value, int) else float(f"{value:.6g}")
