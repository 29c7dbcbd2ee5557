"""Chapter 20: its checks find what is wrong, and the code in the notebook is right by them."""

import sys
from typing import Any

import nbformat
import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_20 import offsets_one_by_one, pixels_one_by_one
from detr_tutorial.data.sampling_statistics import inside_masks
from detr_tutorial.reference_points import sampling_locations
from tests.checks.notebook import NOTEBOOKS, Exercises

NOTEBOOK = "20_sampling_points_on_images"
# Cells that take long: models are evaluated, and what tests/unit/test_sampling_statistics.py does is done.
SKIP = ("ch20-heads-reset-run", "ch20-solution-4", "ch20-statistics-live")


class TestExercises(Exercises):
    solutions = 4
    judged = (2, 3)


@pytest.mark.parametrize("kind", [2, 4])
def test_the_check_of_offsets_undoes_what_the_package_does(kind):
    generator = torch.Generator().manual_seed(0)
    offsets = torch.randn(1, 3, 2, 2, 5, 2, generator=generator)
    references = torch.rand(1, 3, 2, kind, generator=generator) * 0.5 + 0.25
    shapes = [(4, 6), (2, 3)]
    locations = sampling_locations(references, offsets, shapes)
    assert_close(offsets_one_by_one(locations[0], references[0], shapes), offsets[0])


def test_pixels_without_padding_and_resizing_are_those_of_chapter_10():
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]])
    pixels = pixels_one_by_one(points, (20, 30), (20, 30), (20, 30))
    assert_close(pixels, torch.tensor([[-0.5, -0.5], [29.5, 19.5], [14.5, 4.5]]))


def test_answers_that_are_off_fail():
    assert not checks.original_pixels(lambda *inputs: pixels_one_by_one(*inputs) + 0.1).passed
    assert not checks.offsets_from_locations(lambda *inputs: offsets_one_by_one(*inputs) * 1.01).passed


def test_the_share_in_the_text_is_that_of_the_package(chapter: dict[str, Any]):
    scene, record = chapter["scene"], chapter["encoder"][0]
    mask, locations, weights = scene.seen[1], record.locations[0, 200], record.weights[0, 200]
    hit = inside_masks(mask[None], locations[None])[0]
    assert_close(chapter["share_on"](mask, locations, weights), (hit * weights).sum() / 4)


def test_both_models_of_transformers_are_recorded(chapter: dict[str, Any]):
    kinds = [[(record.kind, record.layer) for record in chapter[name]] for name in ("others", "real_time")]
    decoder = [("decoder", 0), ("decoder", 1)]
    assert kinds == [[("encoder", 0), ("encoder", 1), *decoder], decoder]


def source_of(identifier: str) -> str:
    cells = nbformat.read(NOTEBOOKS / f"{NOTEBOOK}.ipynb", as_version=4).cells
    (source,) = (cell.source for cell in cells if cell.id == identifier)
    return source


def test_without_transformers_the_cell_says_so(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "transformers", None)
    names: dict[str, Any] = {"torch": torch}
    exec(source_of("ch20-others-figure"), names)
    assert "not installed here" in capsys.readouterr().out
    exec(source_of("ch20-others-real-time"), names)  # and the one after it does nothing
    assert capsys.readouterr().out == ""
