"""Data sets, transforms and evaluation: one line that names the argument, or the file and the id."""

# pyright: reportArgumentType=false

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from detr_tutorial.data import shapes
from detr_tutorial.data.coco import CocoDetection
from detr_tutorial.data.shapes import ShapesDataset
from detr_tutorial.data.transforms import (
    RandomSizeCrop,
    ResizeShortSide,
    evaluation_transforms,
    resized_size,
    training_transforms,
)
from detr_tutorial.evaluation import choose_area_ranges, class_table, coco_metrics, evaluate


def error_of(call, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


# Shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((0,), ValueError, "num_images must be at least 1, got 0"),
        ((2.0,), TypeError, "num_images must be an int, got float"),
        ((2, -1), ValueError, "seed must be at least 0, got -1"),
        ((2, 2**64), ValueError, r"seed must be below 2\*\*64"),
        ((2, "a"), TypeError, "seed must be an int, got str"),
        ((2, 0, 128), TypeError, r"size must be a \(height, width\) pair"),
        ((2, 0, (128, 15)), ValueError, r"size must be at least 16 in height and width, got \(128, 15\)"),
    ],
)
def test_a_set_of_shapes_that_cannot_be(arguments, kind, message):
    error_of(lambda: ShapesDataset(*arguments), kind, message)


def test_an_index_below_zero_has_no_picture():
    error_of(lambda: shapes.draw(-1), ValueError, "index must be at least 0, got -1")


def test_a_batch_of_nothing():
    error_of(lambda: shapes.collate([]), ValueError, "items must hold at least 1 of")


def test_export_writes_only_into_an_empty_folder(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    error_of(lambda: shapes.export(tmp_path, 2), FileExistsError, f"{tmp_path} is not an empty folder")
    error_of(lambda: shapes.export(tmp_path / "kept.txt", 2), FileExistsError, "is not an empty folder")
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    error_of(lambda: shapes.export(tmp_path / "new", 0), ValueError, "num_images must be at least 1")
    assert not (tmp_path / "new").exists()


def run_shapes(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "detr_tutorial.data.shapes", *arguments]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_the_command_says_in_one_line_what_it_wrote_or_why_not(tmp_path):
    folder = str(tmp_path / "set")
    done = run_shapes("--out", folder, "--images", "2", "--height", "20", "--width", "31")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"2 images and annotations.json in {folder}\n"
    assert CocoDetection(folder)[1][0].shape == (3, 20, 31)
    again = run_shapes("--out", folder, "--images", "2")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.endswith(f"shapes: {folder} is not an empty folder: name a new one\n")
    assert again.stderr.count("\n") == 1


# COCO ------------------------------------------------------------------------------------------------------


def content() -> dict[str, Any]:
    return {
        "images": [{"id": 5, "file_name": "a.png", "height": 20, "width": 30}],
        "annotations": [{"id": 9, "image_id": 5, "category_id": 2, "bbox": [1, 2, 3, 4], "area": 12}],
        "categories": [{"id": 2, "name": "cat"}],
    }


def write(folder: Path, what: Any) -> Path:
    (folder / "images").mkdir()
    Image.new("RGB", (30, 20)).save(folder / "images" / "a.png")
    file = folder / "annotations.json"
    file.write_text(what if isinstance(what, str) else json.dumps(what))
    return file


BROKEN = {
    "an empty file": ("", "not valid json"),
    "half a file": (json.dumps(content())[:50], "not valid json .*line 1 column"),
    "a list": ("[]", "must hold one object, got a list"),
    "null": ("null", "must hold one object, got null"),
    "brackets without end": ("[" * 100_000, "not valid json"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json_is_reported_with_the_name_of_the_file(tmp_path, name):
    text, message = BROKEN[name]
    file = write(tmp_path, text)
    error_of(lambda: CocoDetection(tmp_path), ValueError, f"{file}: {message}")


def test_json_that_is_no_text(tmp_path):
    file = write(tmp_path, "")
    file.write_bytes(b"\xff\xfe\x00{")
    error_of(lambda: CocoDetection(tmp_path), ValueError, f"{file}: not valid json")


CHANGES = {
    "no images": (lambda c: c.pop("images"), ValueError, "has no 'images'"),
    "no annotations": (lambda c: c.pop("annotations"), ValueError, "has no 'annotations'"),
    "images is a dict": (lambda c: c.update(images={}), ValueError, "'images' must be a list of objects"),
    "empty images": (lambda c: c.update(images=[]), ValueError, "'images' is empty"),
    "a number among annotations": (
        lambda c: c["annotations"].append(3),
        ValueError,
        "'annotations' must be a list of objects",
    ),
    "empty categories": (lambda c: c.update(categories=[]), ValueError, "'categories' is empty"),
    "a category twice": (
        lambda c: c["categories"].append({"id": 2}),
        ValueError,
        "category id 2 is given twice",
    ),
    "a negative category": (
        lambda c: c["categories"].append({"id": -2}),
        ValueError,
        "category id -2 is negative",
    ),
    "a category without id": (
        lambda c: c["categories"].append({"name": "dog"}),
        ValueError,
        r"categories\[1\]: 'id' must be a whole number, got None",
    ),
    "an image twice": (
        lambda c: c["images"].append(c["images"][0]),
        ValueError,
        "image id 5 is given twice, for a.png too",
    ),
    "an image without file name": (
        lambda c: c["images"][0].pop("file_name"),
        ValueError,
        "image 5 has no 'file_name'",
    ),
    "an image without height": (
        lambda c: c["images"][0].pop("height"),
        ValueError,
        r"image 5 \(a.png\): 'height' must be a whole number, got None",
    ),
    "an image of no width": (
        lambda c: c["images"][0].update(width=0),
        ValueError,
        r"image 5 \(a.png\): height and width must be at least 1, got 20 and 0",
    ),
    "a missing image": (
        lambda c: c["images"].append({"id": 6, "file_name": "b.png", "height": 2, "width": 2}),
        FileNotFoundError,
        "b.png: no such file, of image 6 in ",
    ),
    "an annotation twice": (
        lambda c: c["annotations"].append(c["annotations"][0]),
        ValueError,
        "annotation id 9 is given twice",
    ),
    "an annotation of an unknown image": (
        lambda c: c["annotations"][0].update(image_id=6),
        ValueError,
        "annotation 9 is of image 6, which is not listed",
    ),
    "an unknown category": (
        lambda c: c["annotations"][0].update(category_id=3),
        ValueError,
        "annotation 9 of a.png has category 3, which is not listed",
    ),
    "a category in words": (
        lambda c: c["annotations"][0].update(category_id="cat"),
        ValueError,
        "annotation 9 of a.png: 'category_id' must be a whole number, got 'cat'",
    ),
    "no box": (
        lambda c: c["annotations"][0].pop("bbox"),
        ValueError,
        "annotation 9 of a.png: 'bbox' must be",
    ),
    "a box of three numbers": (
        lambda c: c["annotations"][0].update(bbox=[1, 2, 3]),
        ValueError,
        r"annotation 9 of a.png: 'bbox' must be four finite numbers .*got \[1, 2, 3\]",
    ),
    "a box with NaN": (
        lambda c: c["annotations"][0].update(bbox=[1, 2, float("nan"), 3]),
        ValueError,
        r"annotation 9 of a.png: 'bbox' must be four finite numbers .*nan",
    ),
    "a box without bounds": (
        lambda c: c["annotations"][0].update(bbox=[1, 2, float("inf"), 3]),
        ValueError,
        "annotation 9 of a.png: 'bbox' must be four finite numbers .*inf",
    ),
    "a box of a huge whole number": (
        lambda c: c["annotations"][0].update(bbox=[1, 2, 10**400, 3]),
        ValueError,
        "annotation 9 of a.png: 'bbox' must be four finite numbers",
    ),
    "an area in words": (
        lambda c: c["annotations"][0].update(area="12"),
        ValueError,
        "annotation 9 of a.png: 'area' must be a finite number, got '12'",
    ),
    "half a crowd": (
        lambda c: c["annotations"][0].update(iscrowd=0.5),
        ValueError,
        "annotation 9 of a.png: 'iscrowd' must be 0 or 1, got 0.5",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_the_file_says_wrongly_is_reported_with_file_and_id(tmp_path, name):
    change, kind, message = CHANGES[name]
    changed = content()
    change(changed)
    file = write(tmp_path, changed)
    error_of(lambda: CocoDetection(tmp_path), kind, message)
    with pytest.raises(kind) as caught:
        CocoDetection(tmp_path)
    assert str(file) in str(caught.value)


def test_missing_folders_and_files(tmp_path):
    error_of(lambda: CocoDetection(tmp_path), FileNotFoundError, "images: no such folder of images")
    (tmp_path / "images").mkdir()
    error_of(lambda: CocoDetection(tmp_path), FileNotFoundError, "annotations.json: no such file")
    error_of(
        lambda: CocoDetection(tmp_path / "images", tmp_path / "b.json"),
        FileNotFoundError,
        "b.json: no such file",
    )
    error_of(lambda: CocoDetection(3), TypeError, "folder must be a string or a path, got int")
    error_of(lambda: CocoDetection(None), TypeError, "folder must be a string or a path, got NoneType")


def test_transforms_that_cannot_be_called_or_lose_the_kind_of_the_boxes(tmp_path):
    write(tmp_path, content())
    error_of(lambda: CocoDetection(tmp_path, transforms=3), TypeError, "transforms must take .*, got int")

    def forget(image, target):
        return image, {**target, "boxes": target["boxes"].as_subclass(torch.Tensor)}

    data = CocoDetection(tmp_path, transforms=forget)
    error_of(
        lambda: data[0], TypeError, "transforms must return boxes as tv_tensors.BoundingBoxes, got Tensor"
    )


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(path.read_bytes()[:45]), lambda p: p.write_text("")]
)
def test_an_image_that_is_none_is_reported_with_file_and_id(tmp_path, damage):
    write(tmp_path, content())
    damage(tmp_path / "images" / "a.png")
    data = CocoDetection(tmp_path)
    error_of(lambda: data[0], ValueError, r"images/a\.png: image 5 is not a readable picture")


def test_an_image_of_another_size_is_reported_with_both_sizes(tmp_path):
    write(tmp_path, content())
    Image.new("RGB", (30, 25)).save(tmp_path / "images" / "a.png")
    data = CocoDetection(tmp_path)
    error_of(
        lambda: data[0], ValueError, "image 5 is 25 pixels high and 30 wide, the json file says 20 and 30"
    )


def test_raw_ids_of_a_huge_id(tmp_path):
    changed = content()
    changed["categories"].append({"id": 10**9})
    write(tmp_path, changed)
    assert CocoDetection(tmp_path).num_classes == 2
    error_of(
        lambda: CocoDetection(tmp_path, raw_ids=True), ValueError, "category id 1000000000 makes raw_ids"
    )


def test_results_for_other_images_or_classes(tmp_path):
    write(tmp_path, content())
    data = CocoDetection(tmp_path)
    one = {"scores": torch.ones(1), "labels": torch.tensor([1]), "boxes": torch.ones(1, 4)}
    error_of(
        lambda: data.results([]), ValueError, "predictions must hold one dict an image: expected 1, got 0"
    )
    error_of(
        lambda: data.results([one]), ValueError, r"predictions\[0\]\['labels'\] must lie in \[0, 1\), got 1"
    )


# Transforms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: training_transforms(0), ValueError, "short_side must be at least 1, got 0"),
        (lambda: training_transforms(800.0), TypeError, "short_side must be an int, got float"),
        (
            lambda: training_transforms(800, 799),
            ValueError,
            "max_side must be at least short_side=800, got 799",
        ),
        (lambda: training_transforms(flip=1.5), ValueError, r"flip must lie in \[0, 1\], got 1.5"),
        (lambda: training_transforms(flip="no"), TypeError, "flip must be a number, got str"),
        (
            lambda: evaluation_transforms(100, 99),
            ValueError,
            "max_side must be at least short_side=100, got 99",
        ),
        (lambda: ResizeShortSide(-3), ValueError, "short_side must be at least 1, got -3"),
        (lambda: ResizeShortSide(3, 0), ValueError, "max_side must be at least 1, got 0"),
        (lambda: RandomSizeCrop(9, 8), ValueError, "largest must be at least 9, got 8"),
        (lambda: resized_size((0, 3), 4), ValueError, r"size\[0\] \(height\) must be at least 1, got 0"),
    ],
)
def test_transforms_that_cannot_be(call, kind, message):
    error_of(call, kind, message)


# Evaluation ------------------------------------------------------------------------------------------------


def metrics(**changes) -> dict[str, Any]:
    one = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}
    found = {"labels": torch.tensor([0]), "boxes": torch.tensor([[1.0, 1, 2, 2]]), "scores": torch.ones(1)}
    arguments = {"predictions": [found], "targets": [one], "image_sizes": [(20, 30)]}
    for key, change in changes.items():
        is_row = key in ("predictions", "targets") and isinstance(change, dict)
        arguments[key] = [{**arguments[key][0], **change}] if is_row else change
    return coco_metrics(**arguments)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"predictions": []}, ValueError, "predictions must hold one dict an image: expected 1, got 0"),
        ({"targets": [1, 2]}, ValueError, "targets must hold one dict an image: expected 1, got 2"),
        ({"targets": [1]}, TypeError, r"targets\[0\] must be a dict with labels and boxes, got int"),
        (
            {"targets": [{}]},
            ValueError,
            r"targets\[0\] must hold labels and boxes, got no labels and no boxes",
        ),
        ({"image_sizes": []}, ValueError, "image_sizes must hold at least 1"),
        ({"image_sizes": [3]}, TypeError, r"image_sizes\[0\] must be a \(height, width\) pair"),
        ({"targets": {"boxes": torch.ones(1, 5)}}, ValueError, r"targets\[0\]\['boxes'\] must have shape"),
        ({"targets": {"labels": torch.ones(1)}}, TypeError, r"targets\[0\]\['labels'\] must be a integer"),
        ({"targets": {"labels": torch.ones(2).long()}}, ValueError, "as many labels as boxes, got 2 and 1"),
        (
            {"targets": {"area": torch.ones(3)}},
            ValueError,
            r"targets\[0\]\['area'\] must hold 1 values, got 3",
        ),
        ({"targets": {"iscrowd": [0]}}, TypeError, r"targets\[0\]\['iscrowd'\] must be a tensor"),
        ({"predictions": {"scores": torch.ones(2)}}, ValueError, "as many scores as labels, got 2 and 1"),
        (
            {"predictions": {"scores": torch.tensor([float("nan")])}},
            ValueError,
            r"\['scores'\] must be finite",
        ),
        (
            {"predictions": {"boxes": torch.full((1, 4), float("inf"))}},
            ValueError,
            r"\['boxes'\] must be finite",
        ),
        (
            {"predictions": [{"labels": torch.zeros(0).long(), "boxes": torch.zeros(0, 4)}]},
            ValueError,
            "no scores",
        ),
        ({"area_ranges": (3,)}, ValueError, "area_ranges must hold two sides in pixels, got 1"),
        ({"area_ranges": (30, 16)}, ValueError, "area_ranges must not fall, got 30 before 16"),
        ({"area_ranges": (0, 16)}, ValueError, r"area_ranges\[0\] must be greater than 0, got 0"),
        ({"max_detections": 0}, ValueError, "max_detections must be at least 1, got 0"),
        ({"class_names": "abc"}, TypeError, "class_names must be a list or tuple of strings, got str"),
    ],
)
def test_metrics_of_something_else(changes, kind, message):
    error_of(lambda: metrics(**changes), kind, message)


def test_no_sizes_to_choose_from():
    error_of(lambda: choose_area_ranges([]), ValueError, "image_sizes must hold at least 1")


def test_a_table_of_something_else():
    error_of(lambda: class_table([]), TypeError, "metrics must be a dict from coco_metrics, got list")
    error_of(lambda: class_table({"AP": 1.0}), ValueError, "it has no 'AP50'")


def test_a_model_that_is_none_and_a_data_set_that_is_none():
    model, data = nn.Linear(2, 3), ShapesDataset(2, size=(16, 16))
    error_of(
        lambda: evaluate(print, data), TypeError, "model must be a torch.nn.Module, got builtin_function"
    )
    error_of(lambda: evaluate(model, 3), TypeError, "dataset must have a length and items, got int")
    error_of(lambda: evaluate(model, []), ValueError, "dataset is empty")
    error_of(lambda: evaluate(model, data, batch_size=0), ValueError, "batch_size must be at least 1, got 0")
    error_of(
        lambda: evaluate(model, data, num_workers=-1), ValueError, "num_workers must be at least 0, got -1"
    )


def test_a_model_that_fails_gets_its_mode_back():
    model = nn.Linear(2, 3).train()
    with pytest.raises(Exception):  # noqa: B017 - whatever a model raises
        evaluate(model, ShapesDataset(2, size=(16, 16)))
    assert model.training
