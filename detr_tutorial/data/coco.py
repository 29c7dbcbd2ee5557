"""Detection data in the COCO format: a folder of images and a json file.

Files of the real world have gaps in their category ids, crowds, boxes without area and boxes that leave the
image. What the field handles in one way is handled in that way; anything else is reported with the file's
name and the id. Taught in notebooks/18_training.ipynb.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as transform

from detr_tutorial._validation import require_list
from detr_tutorial.boxes import to_relative, xyxy_to_cxcywh, xyxy_to_xywh
from detr_tutorial.data.photos import _to_rgb
from detr_tutorial.data.transforms import drop_boxes_without_area

HIGHEST_RAW_ID = 10_000  # a model has one output for every id up to the highest


class ImageEntry(NamedTuple):
    """One image of the file, and what is annotated on it."""

    id: int
    file_name: str
    size: tuple[int, int]  # (height, width) in pixels
    labels: list[int]
    boxes: list[tuple[float, float, float, float]]  # (x1, y1, x2, y2) in pixels, inside the image
    areas: list[float]  # in square pixels, as in the file: of the object's outline, often less than its box
    crowds: list[bool]


class CocoDetection(Dataset):
    """Images with boxes in the COCO format.

    - Category ids may have gaps: labels are 0, 1, ... in the order of the ids. With `raw_ids` a label is the
      id itself, as in the official models for COCO: 91 classes, of which 80 occur.
    - Crowds are left out for training, and kept with "iscrowd" for evaluation.
    - Boxes are clipped to their image; those without area are left out, and listed in `left_out`.
    - Images without objects stay.

    Everything else is an error that names file and id: a file that is missing or is no image, broken json, a
    box that is not four finite numbers, an annotation of an unknown image or category, an id given twice, an
    image whose size is not the one in the json file.

    Args:
        folder: of the images; without `annotations`, a folder with `images/` and `annotations.json`.
        annotations: the json file.
        train: leave crowds out.
        transforms: takes and returns (image, target), see `data.transforms`; None leaves images as they are.
        raw_ids: labels are category ids.
    Raises:
        TypeError: if a path is none, or `transforms` cannot be called.
        FileNotFoundError, ValueError: if folder, json file or an image is missing or not as described.
    Source: the COCO data format, and DETR (arXiv 2005.12872), `ConvertCocoPolysToMask`; taught in
    notebooks/18_training.ipynb.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        annotations: str | os.PathLike[str] | None = None,
        train: bool = False,
        transforms: Callable[..., Any] | None = None,
        raw_ids: bool = False,
    ) -> None:
        for name, path in (("folder", folder), ("annotations", annotations)):
            value: Any = path
            if not isinstance(value, (str, os.PathLike)) and not (name == "annotations" and value is None):
                raise TypeError(f"{name} must be a string or a path, got {type(value).__name__}")
        if transforms is not None and not callable(transforms):
            raise TypeError(f"transforms must take (image, target), got {type(transforms).__name__}")
        root = Path(folder).expanduser()
        self.folder = root if annotations is not None else root / "images"
        self.file = Path(annotations).expanduser() if annotations is not None else root / "annotations.json"
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder}: no such folder of images")
        self.transforms = transforms
        content = _read_json(self.file)
        names = _categories(self.file, content)
        if raw_ids and max(names) >= HIGHEST_RAW_ID:
            raise ValueError(
                f"{self.file}: category id {max(names)} makes raw_ids ask for {max(names) + 1} classes; "
                "leave raw_ids out"
            )
        self.category_ids = tuple(range(max(names) + 1)) if raw_ids else tuple(names)
        self.classes = tuple(names.get(category, str(category)) for category in self.category_ids)
        labels = {category: label for label, category in enumerate(self.category_ids) if category in names}
        self.images, self.left_out = _entries(self.file, self.folder, content, labels, train)

    @property
    def num_classes(self) -> int:
        """How many outputs a sigmoid head needs; with raw ids the highest id + 1."""
        return len(self.category_ids)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "3 H W"], dict[str, Any]]:
        """Read and transform one image.

        Returns:
            RGB in [0, 1], and a target: "labels" (n,) int64, "boxes" (n, 4) as (cx, cy, w, h) in [0, 1] of
            the transformed image; "area" (n,) in square pixels of the original image, "iscrowd" (n,) bool,
            "image_id" of the file, and "original_size" (height, width).
        Raises:
            ValueError: if the file is no image, or not of the size in the json file.
        """
        entry = self.images[index]
        boxes = torch.tensor(entry.boxes, dtype=torch.float32).reshape(-1, 4)
        target: dict[str, Any] = {
            "labels": torch.tensor(entry.labels, dtype=torch.int64),
            "boxes": tv_tensors.BoundingBoxes(
                boxes,  # type: ignore[call-arg]
                format=tv_tensors.BoundingBoxFormat.XYXY,
                canvas_size=entry.size,
            ),
            "area": torch.tensor(entry.areas, dtype=torch.float32),
            "iscrowd": torch.tensor(entry.crowds, dtype=torch.bool),
            "image_id": entry.id,
            "original_size": entry.size,
        }
        image: Any = tv_tensors.Image(_read_image(self.folder, entry))
        if self.transforms is not None:
            image, target = self.transforms(image, target)
        if not isinstance(target["boxes"], tv_tensors.BoundingBoxes):
            raise TypeError(
                "transforms must return boxes as tv_tensors.BoundingBoxes, "
                f"got {type(target['boxes']).__name__}"
            )
        corners: Any = transform.convert_bounding_box_format(
            target["boxes"], new_format=tv_tensors.BoundingBoxFormat.XYXY
        )
        target = drop_boxes_without_area({**target, "boxes": corners})
        corners = target["boxes"].as_subclass(Tensor)
        height, width = image.shape[-2:]
        target["boxes"] = xyxy_to_cxcywh(to_relative(corners, (height, width)))
        return image.as_subclass(Tensor), target

    def results(self, predictions: Sequence[dict[str, Tensor]]) -> list[dict[str, Any]]:
        """Turn detections into what COCO's result files hold: category ids, and (x, y, w, h) in pixels.

        Args:
            predictions: for every image, in order, "scores" (k,), "labels" (k,) and "boxes" (k, 4) as
                (x1, y1, x2, y2) in pixels of the original image.
        Returns:
            One dict a detection, with "image_id", "category_id", "bbox" and "score"; `json.dump` writes it.
        Raises:
            TypeError, ValueError: if there is not one prediction an image, or a label is no category.
        Source: the COCO result format; taught in notebooks/19_inference_and_evaluation.ipynb.
        """
        listed = require_list("predictions", predictions, "dicts with scores, labels and boxes", minimum=0)
        if len(listed) != len(self):
            raise ValueError(
                f"predictions must hold one dict an image: expected {len(self)}, got {len(listed)}"
            )
        rows = []
        for image, (entry, prediction) in enumerate(zip(self.images, listed, strict=True)):
            boxes = xyxy_to_xywh(prediction["boxes"]).tolist()
            columns = (prediction["labels"].tolist(), boxes, prediction["scores"].tolist())
            for label, box, score in zip(*columns, strict=True):
                if not 0 <= label < self.num_classes:
                    raise ValueError(
                        f"predictions[{image}]['labels'] must lie in [0, {self.num_classes}), got {label}"
                    )
                rows.append(
                    {
                        "image_id": entry.id,
                        "category_id": self.category_ids[label],
                        "bbox": box,
                        "score": score,
                    }
                )
        return rows


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file of annotations")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: not valid json ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: must hold one object, got {_kind(content)}")
    for key in ("images", "annotations", "categories"):
        if key not in content:
            raise ValueError(f"{file}: has no {key!r}")
        if not isinstance(content[key], list) or not all(isinstance(row, dict) for row in content[key]):
            raise ValueError(f"{file}: {key!r} must be a list of objects")
    return content


def _categories(file: Path, content: dict[str, Any]) -> dict[int, str]:
    """The names of the categories, in the order of their ids."""
    names: dict[int, str] = {}
    for position, row in enumerate(content["categories"]):
        category = _whole(row, "id", f"{file}: categories[{position}]")
        if category in names:
            raise ValueError(f"{file}: category id {category} is given twice")
        if category < 0:
            raise ValueError(f"{file}: category id {category} is negative")
        names[category] = str(row.get("name", category))
    if not names:
        raise ValueError(f"{file}: 'categories' is empty")
    return dict(sorted(names.items()))


def _entries(
    file: Path, folder: Path, content: dict[str, Any], labels: dict[int, int], train: bool
) -> tuple[list[ImageEntry], list[str]]:
    if not content["images"]:
        raise ValueError(f"{file}: 'images' is empty")
    images: dict[int, ImageEntry] = {}
    for position, row in enumerate(content["images"]):
        identity = _whole(row, "id", f"{file}: images[{position}]")
        name = row.get("file_name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{file}: image {identity} has no 'file_name'")
        if identity in images:
            raise ValueError(f"{file}: image id {identity} is given twice, for {name} too")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file, of image {identity} in {file}")
        where = f"{file}: image {identity} ({name})"
        height, width = (_whole(row, side, where) for side in ("height", "width"))
        if height < 1 or width < 1:
            raise ValueError(f"{where}: height and width must be at least 1, got {height} and {width}")
        images[identity] = ImageEntry(identity, name, (height, width), [], [], [], [])

    left_out: list[str] = []
    seen: set[int] = set()
    for position, row in enumerate(content["annotations"]):
        identity = _whole(row, "id", f"{file}: annotations[{position}]")
        if identity in seen:
            raise ValueError(f"{file}: annotation id {identity} is given twice")
        seen.add(identity)
        image_id = _whole(row, "image_id", f"{file}: annotation {identity}")
        if image_id not in images:
            raise ValueError(f"{file}: annotation {identity} is of image {image_id}, which is not listed")
        entry = images[image_id]
        where = f"{file}: annotation {identity} of {entry.file_name}"
        category = _whole(row, "category_id", where)
        if category not in labels:
            raise ValueError(f"{where} has category {category}, which is not listed")
        crowd = row.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise ValueError(f"{where}: 'iscrowd' must be 0 or 1, got {crowd!r}")
        x, y, width, height = _box(row.get("bbox"), where)
        area = row.get("area", width * height)
        if not _is_number(area):
            raise ValueError(f"{where}: 'area' must be a finite number, got {area!r}")
        if crowd and train:
            continue
        right, bottom = min(x + width, entry.size[1]), min(y + height, entry.size[0])
        left, top = max(x, 0.0), max(y, 0.0)
        if right <= left or bottom <= top:
            reason = "has no area" if width <= 0 or height <= 0 else "lies outside of the image"
            left_out.append(f"{entry.file_name}: annotation {identity} {reason}, bbox {row['bbox']}")
            continue
        entry.labels.append(labels[category])
        entry.boxes.append((left, top, right, bottom))
        entry.areas.append(float(area))
        entry.crowds.append(bool(crowd))
    return list(images.values()), left_out


def _read_image(folder: Path, entry: ImageEntry) -> Tensor:
    """Read RGB in [0, 1]; turned as its camera says only where the json file gives the turned size."""
    path = folder / entry.file_name
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            turned = opened.size != entry.size[::-1] and upright.size == entry.size[::-1]
            picture = _to_rgb(upright if turned else opened)
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, struct.error, ...
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: image {entry.id} is not a readable picture ({reason})") from error
    if picture.size != entry.size[::-1]:
        raise ValueError(
            f"{path}: image {entry.id} is {picture.height} pixels high and {picture.width} wide, "
            f"the json file says {entry.size[0]} and {entry.size[1]}"
        )
    return transform.pil_to_tensor(picture).float() / 255


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    if not isinstance(value, list) or len(value) != 4 or not all(_is_number(side) for side in value):
        raise ValueError(f"{where}: 'bbox' must be four finite numbers (x, y, width, height), got {value!r}")
    x, y, width, height = (float(side) for side in value)
    return x, y, width, height


def _whole(row: dict[str, Any], key: str, where: str) -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{where}: {key!r} must be a whole number, got {value!r}")
    return value


def _is_number(value: Any) -> bool:
    """A finite number; also whole numbers too large for a float are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18


def _kind(value: Any) -> str:
    return {list: "a list", type(None): "null"}.get(type(value), f"a {type(value).__name__}")
