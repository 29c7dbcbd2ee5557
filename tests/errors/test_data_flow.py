"""Bad arguments of padding, boxes, position, backbone, features and the running example.

One line, of the right type, that names the argument and says what came.
"""

# pyright: reportArgumentType=false

import re
import socket
import urllib.error
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision

from detr_tutorial import boxes
from detr_tutorial.backbone import ResNet50Backbone, SmallBackbone
from detr_tutorial.features import FeatureProjection, flatten_levels, unflatten_levels
from detr_tutorial.padding import PaddedBatch, normalize_image, pad_images, resize_mask, valid_ratios
from detr_tutorial.position import LearnedPositionEncoding, SinePositionEncoding
from detr_tutorial.running_example import fingerprint, running_example

NAN, INF = float("nan"), float("inf")
IMAGE = torch.zeros(3, 4, 6)
MASK = torch.zeros(2, 5, 7, dtype=torch.bool)
XYXY = torch.tensor([[0.0, 0.0, 2.0, 3.0]])
LETTERBOX = MASK.clone()
LETTERBOX[1, 0] = True
ALL_PADDING = MASK.clone()
ALL_PADDING[1] = True
HOLE = MASK.clone()
HOLE[1, 2, 3] = True
BATCH = PaddedBatch(torch.zeros(2, 3, 5, 7), MASK)
LEVEL, LEVEL_2 = torch.zeros(2, 32, 5, 7), torch.zeros(2, 32, 3, 4)
MASK_2 = MASK[:, :3, :4]
EMBEDDING = torch.zeros(2, 32)


def filled(tensor: torch.Tensor, value: float) -> torch.Tensor:
    changed = tensor.clone()
    changed.view(-1)[1] = value
    return changed


def flatten(features=(LEVEL, LEVEL_2), positions=(LEVEL, LEVEL_2), masks=(MASK, MASK_2), embedding=EMBEDDING):
    return flatten_levels(features, positions, masks, embedding)


project = partial(FeatureProjection((5, 7), 32, 3))


CASES = {
    # padding
    "images is a tensor": (lambda: pad_images(torch.zeros(2, 3, 4, 6)), TypeError, "images must be a list"),
    "images is a generator": (lambda: pad_images(i for i in [IMAGE]), TypeError, "images must be a list"),
    "no images": (lambda: pad_images([]), ValueError, "images must hold at least 1"),
    "an image of rank 2": (
        lambda: pad_images([IMAGE, IMAGE[0]]),
        ValueError,
        r"images\[1\] .*\(3, H, W\).*\(4, 6\)",
    ),
    "a batch as image": (lambda: pad_images([IMAGE[None]]), ValueError, r"images\[0\] .*\(1, 3, 4, 6\)"),
    "channels last": (lambda: pad_images([torch.zeros(4, 6, 3)]), ValueError, r"images\[0\] .*\(4, 6, 3\)"),
    "one channel": (lambda: pad_images([IMAGE[:1]]), ValueError, r"images\[0\] .*\(1, 4, 6\)"),
    "an image without rows": (
        lambda: pad_images([torch.zeros(3, 0, 6)]),
        ValueError,
        r"images\[0\] is empty",
    ),
    "integer pixels": (lambda: pad_images([IMAGE.byte()]), TypeError, r"images\[0\] .*floating.*uint8"),
    "a numpy image": (lambda: pad_images([IMAGE.numpy()]), TypeError, r"images\[0\] .*tensor.*ndarray"),
    "NaN in an image": (
        lambda: pad_images([IMAGE, filled(IMAGE, NAN)]),
        ValueError,
        r"images\[1\] .*finite.*1 NaN",
    ),
    "mixed dtypes": (lambda: pad_images([IMAGE, IMAGE.double()]), TypeError, "images must share dtype"),
    "a uint8 image to normalize": (lambda: normalize_image(IMAGE.byte()), TypeError, "image .*uint8"),
    "infinity to normalize": (
        lambda: normalize_image(filled(IMAGE, INF)),
        ValueError,
        "image must be finite",
    ),
    "a gray image to normalize": (lambda: normalize_image(IMAGE[0]), ValueError, r"image .*\(3, H, W\)"),
    "a float mask": (
        lambda: resize_mask(MASK.float(), (2, 3)),
        TypeError,
        "mask must be a bool tensor.*float32",
    ),
    "an integer mask": (
        lambda: resize_mask(MASK.long(), (2, 3)),
        TypeError,
        "mask must be a bool tensor.*int64",
    ),
    "a mask of rank 2": (lambda: resize_mask(MASK[0], (2, 3)), ValueError, r"mask .*\(B, H, W\).*\(5, 7\)"),
    "an empty batch of masks": (lambda: resize_mask(MASK[:0], (2, 3)), ValueError, "mask is empty along B"),
    "a size of zero": (lambda: resize_mask(MASK, (0, 3)), ValueError, r"size\[0\].*at least 1, got 0"),
    "a size of floats": (lambda: resize_mask(MASK, (2.0, 3)), TypeError, r"size\[0\].*int, got float"),
    "a size of one number": (lambda: resize_mask(MASK, 3), TypeError, "size must be a .height, width. pair"),
    "a larger size": (lambda: resize_mask(MASK, (5, 8)), ValueError, r"size \(5, 8\) is larger .*\(5, 7\)"),
    "one mask, not a list": (lambda: valid_ratios(MASK), TypeError, "masks must be a list"),
    "no masks": (lambda: valid_ratios([]), ValueError, "masks must hold at least 1"),
    "a float mask in the list": (lambda: valid_ratios([MASK, MASK.float()]), TypeError, r"masks\[1\] .*bool"),
    "a level without cells": (
        lambda: valid_ratios([MASK[:, :0]]),
        ValueError,
        r"masks\[0\] is empty along H",
    ),
    "batch sizes differ": (
        lambda: valid_ratios([MASK, MASK[:1]]),
        ValueError,
        "share the batch size.* 2.* 1",
    ),
    "a letterbox": (
        lambda: valid_ratios([MASK, LETTERBOX]),
        ValueError,
        r"masks\[1\], image 1: .*right and bottom",
    ),
    "a hole in the mask": (
        lambda: valid_ratios([HOLE]),
        ValueError,
        r"masks\[0\], image 1: .*right and bottom",
    ),
    "padding only": (
        lambda: valid_ratios([ALL_PADDING]),
        ValueError,
        r"masks\[0\], image 1: every cell is padding",
    ),
    "an inverted mask": (
        lambda: valid_ratios([~pad_images([IMAGE, IMAGE[:, :2]]).mask]),
        ValueError,
        "True is padding",
    ),
    # boxes
    "boxes is a list": (lambda: boxes.cxcywh_to_xyxy([[0.0] * 4]), TypeError, "boxes must be a tensor.*list"),
    "integer boxes": (
        lambda: boxes.xyxy_to_cxcywh(XYXY.long()),
        TypeError,
        "boxes must be a floating.*int64",
    ),
    "boxes of 5": (lambda: boxes.xyxy_to_xywh(torch.zeros(2, 5)), ValueError, r"boxes .*4\), got \(2, 5\)"),
    "a box without axes": (
        lambda: boxes.xywh_to_xyxy(torch.tensor(1.0)),
        ValueError,
        r"boxes .*4\), got \(\)",
    ),
    "boxes of 5 to scale": (lambda: boxes.to_absolute(torch.zeros(2, 5), (3, 4)), ValueError, "boxes"),
    "a size of floats to scale": (lambda: boxes.to_relative(XYXY, (3.0, 4)), TypeError, "size"),
    "a size of zero to scale": (lambda: boxes.to_relative(XYXY, (3, 0)), ValueError, "size.*width"),
    "a tensor as size": (lambda: boxes.to_absolute(XYXY, torch.tensor([3, 4])), TypeError, "size"),
    "boxes of rank 1": (lambda: boxes.box_area(XYXY[0]), ValueError, r"boxes .*\(N, 4\), got \(4\)"),
    "NaN in boxes": (
        lambda: boxes.pairwise_iou(XYXY, filled(XYXY, NAN)),
        ValueError,
        "others must be finite",
    ),
    "infinite boxes": (lambda: boxes.box_area(filled(XYXY, -INF)), ValueError, "boxes must be finite"),
    "centers as corners": (
        lambda: boxes.pairwise_giou(torch.tensor([[0.5, 0.5, 0.2, 0.2]]), XYXY),
        ValueError,
        r"boxes must be corners.*\[0.5, 0.5, 0.2, 0.2\] in row 0.*cx, cy, w, h",
    ),
    # position
    "odd features": (lambda: SinePositionEncoding(7), ValueError, "num_features_per_axis=7 .*2"),
    "no features": (lambda: SinePositionEncoding(0), ValueError, "num_features_per_axis .*at least 1"),
    "float features": (lambda: SinePositionEncoding(8.0), TypeError, "num_features_per_axis .*int.*float"),
    "temperature zero": (
        lambda: SinePositionEncoding(8, temperature=0),
        ValueError,
        "temperature .*greater than 0",
    ),
    "temperature NaN": (lambda: SinePositionEncoding(8, temperature=NAN), ValueError, "temperature .*finite"),
    "a word as offset": (lambda: SinePositionEncoding(8, offset="half"), TypeError, "offset .*number.*str"),
    "positions of a float mask": (lambda: SinePositionEncoding(8)(MASK.float()), TypeError, "mask .*bool"),
    "positions of one image": (lambda: SinePositionEncoding(8)(MASK[0]), ValueError, r"mask .*\(B, H, W\)"),
    "positions of no cells": (
        lambda: SinePositionEncoding(8)(MASK[:, :, :0]),
        ValueError,
        "mask is empty along W",
    ),
    "a map that the table lacks": (
        lambda: LearnedPositionEncoding(8, max_size=6)(MASK),
        ValueError,
        "5 x 7 cells is larger than max_size=6",
    ),
    "a table of zero": (lambda: LearnedPositionEncoding(8, max_size=0), ValueError, "max_size .*at least 1"),
    "learned positions of a float mask": (
        lambda: LearnedPositionEncoding(8)(MASK.float()),
        TypeError,
        "mask",
    ),
    # backbone
    "unknown weights": (
        lambda: ResNet50Backbone(weights="IMAGENET1K_V2"),
        ValueError,
        "weights .*IMAGENET1K_V2",
    ),
    "weights=True": (lambda: ResNet50Backbone(weights=True), ValueError, "weights .*True"),
    "levels out of order": (lambda: ResNet50Backbone(levels=(4, 3)), ValueError, r"levels .*\(4, 3\)"),
    "a level that is not there": (lambda: ResNet50Backbone(levels=(2, 3)), ValueError, r"levels .*\(2, 3\)"),
    "no levels": (lambda: ResNet50Backbone(levels=()), ValueError, "levels must hold at least 1"),
    "one level, not a list": (lambda: ResNet50Backbone(levels=5), TypeError, "levels must be a list"),
    "two widths": (lambda: SmallBackbone((32, 64)), ValueError, "channels must hold 3"),
    "a width of 20": (lambda: SmallBackbone((32, 20, 64)), ValueError, r"channels\[1\]=20 .*8"),
    "a float width": (lambda: SmallBackbone((32, 64.0, 64)), TypeError, r"channels\[1\] .*int"),
    "pixels without a mask": (
        lambda: SmallBackbone()(BATCH.pixels),
        TypeError,
        "batch must be a PaddedBatch.*Tensor",
    ),
    "pixels of rank 3": (
        lambda: SmallBackbone()(PaddedBatch(IMAGE, MASK)),
        ValueError,
        r"batch.pixels .*\(B, 3, H, W\)",
    ),
    "a mask of another size": (
        lambda: SmallBackbone()(PaddedBatch(BATCH.pixels, MASK[:, :4])),
        ValueError,
        r"batch.mask .*\(2, 5, 7\).*\(2, 4, 7\)",
    ),
    "a float mask in the batch": (
        lambda: SmallBackbone()(PaddedBatch(BATCH.pixels, MASK.float())),
        TypeError,
        "batch.mask .*bool",
    ),
    "an empty batch": (
        lambda: SmallBackbone()(PaddedBatch(BATCH.pixels[:0], MASK[:0])),
        ValueError,
        "batch.pixels is empty along B",
    ),
    # features
    "d_model that 32 does not divide": (
        lambda: FeatureProjection((5,), 250, 1),
        ValueError,
        "d_model=250 is not divisible by .*=32",
    ),
    "fewer levels than maps": (
        lambda: FeatureProjection((5, 7), 32, 1),
        ValueError,
        "num_levels=1 .* 2 maps",
    ),
    "no maps": (lambda: FeatureProjection((), 32, 1), ValueError, "in_channels must hold at least 1"),
    "a map without channels": (lambda: FeatureProjection((5, 0), 32, 2), ValueError, r"in_channels\[1\]"),
    "d_model as float": (lambda: FeatureProjection((5,), 32.0, 1), TypeError, "d_model .*int"),
    "levels as bool": (lambda: FeatureProjection((5,), 32, True), TypeError, "num_levels .*int.*bool"),
    "one map too few": (
        lambda: project([torch.zeros(1, 5, 4, 6)]),
        ValueError,
        "features must hold 2 maps, got 1",
    ),
    "a tensor instead of maps": (
        lambda: project(torch.zeros(1, 5, 4, 6)),
        TypeError,
        "features must be a list",
    ),
    "maps in the wrong order": (
        lambda: project([torch.zeros(1, 7, 2, 3), torch.zeros(1, 5, 4, 6)]),
        ValueError,
        r"features\[0\] .*\(B, 5, H, W\).*\(1, 7, 2, 3\)",
    ),
    "maps of different batches": (
        lambda: project([torch.zeros(1, 5, 4, 6), torch.zeros(2, 7, 2, 3)]),
        ValueError,
        "features must share the batch size",
    ),
    "integer maps": (
        lambda: project([torch.zeros(1, 5, 4, 6).long(), torch.zeros(1, 7, 2, 3)]),
        TypeError,
        r"features\[0\] .*floating",
    ),
    "one position too few": (
        lambda: flatten(positions=(LEVEL,)),
        ValueError,
        "same number of levels.*'positions': 1",
    ),
    "one mask too many": (
        lambda: flatten(masks=(MASK,) * 3),
        ValueError,
        "same number of levels.*'masks': 3",
    ),
    "level embedding of 3 levels": (
        lambda: flatten(embedding=torch.zeros(3, 32)),
        ValueError,
        "same number of levels.*'level_embedding': 3",
    ),
    "level embedding of 16 channels": (
        lambda: flatten(embedding=torch.zeros(2, 16)),
        ValueError,
        r"features\[0\] must have shape \(2, 16, 5, 7\), got \(2, 32, 5, 7\)",
    ),
    "level embedding of rank 1": (
        lambda: flatten(embedding=EMBEDDING[0]),
        ValueError,
        r"level_embedding .*\(L, C\)",
    ),
    "an uninitialized level embedding": (
        lambda: flatten(embedding=filled(EMBEDDING, NAN)),
        ValueError,
        "level_embedding must be finite",
    ),
    "levels swapped": (
        lambda: flatten(positions=(LEVEL_2, LEVEL)),
        ValueError,
        r"positions\[0\] must have shape \(2, 32, 5, 7\), got \(2, 32, 3, 4\)",
    ),
    "masks of another level": (
        lambda: flatten(masks=(MASK, MASK)),
        ValueError,
        r"masks\[1\] must .*\(2, 3, 4\)",
    ),
    "a letterbox to flatten": (lambda: flatten(masks=(LETTERBOX, MASK_2)), ValueError, "right and bottom"),
    "float masks to flatten": (
        lambda: flatten(masks=(MASK.float(), MASK_2)),
        TypeError,
        r"masks\[0\] .*bool",
    ),
    "a map of rank 3": (
        lambda: flatten(features=(LEVEL[0], LEVEL_2)),
        ValueError,
        r"features\[0\] .*\(B, C, H, W\)",
    ),
    "a tensor to flatten": (lambda: flatten(features=LEVEL), TypeError, "features must be a list"),
    "shapes that do not add up": (
        lambda: unflatten_levels(torch.zeros(2, 47, 5), ((5, 7), (3, 5))),
        ValueError,
        "spatial_shapes add up to 50 cells, got 47 tokens",
    ),
    "shapes as a tensor": (
        lambda: unflatten_levels(torch.zeros(2, 47, 5), torch.tensor([[5, 7], [3, 4]])),
        TypeError,
        "spatial_shapes .*Python ints, got a tensor",
    ),
    "shapes with a zero": (
        lambda: unflatten_levels(torch.zeros(2, 35, 5), ((5, 7), (0, 4))),
        ValueError,
        r"spatial_shapes\[1\].*at least 1, got 0",
    ),
    "tokens of rank 2": (
        lambda: unflatten_levels(torch.zeros(47, 5), ((5, 7),)),
        ValueError,
        r"tokens .*\(B, S, C\)",
    ),
    # running example
    "an unknown stage": (lambda: running_example("heads"), ValueError, "until .*images.*got 'heads'"),
    "no stage": (lambda: running_example(None), ValueError, "until .*got None"),
    "a list's fingerprint": (lambda: fingerprint([1.0]), TypeError, "tensor .*list"),
    "nothing's fingerprint": (lambda: fingerprint(torch.zeros(0, 3)), ValueError, r"tensor .*\(0, 3\)"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_argument_gets_one_clear_line(case):
    call, kind, message = CASES[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert type(caught.value) is kind
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert Path(caught.traceback[-1].path).is_relative_to(Path(boxes.__file__).parent), (
        "raised from outside the package"
    )


REASONS = [
    urllib.error.URLError(socket.gaierror("Name or service not known")),
    urllib.error.HTTPError("https://example.org", 403, "Forbidden", None, None),  # type: ignore[arg-type]
    OSError("No space left on device"),
    RuntimeError('invalid hash value (expected "0676ba61", got "abc")'),
    TimeoutError("timed out"),
]


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: type(reason).__name__)
def test_a_download_that_fails_says_what_to_do(monkeypatch, tmp_path, reason):
    def fail(*_, **__):
        raise reason

    monkeypatch.setattr(torchvision.models.ResNet50_Weights, "get_state_dict", fail)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(RuntimeError) as caught:
        ResNet50Backbone(weights="IMAGENET1K_V1")
    line = str(caught.value)
    assert str(tmp_path / "checkpoints" / "resnet50-0676ba61.pth") in line
    assert "https://download.pytorch.org/models/resnet50-0676ba61.pth" in line
    assert "weights=None" in line
    assert str(reason) in line
    assert "\n" not in line
