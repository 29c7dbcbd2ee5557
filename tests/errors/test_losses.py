"""Bad arguments of matching, losses and inference.

One line, of the right type, that names the argument and says what came; for a detection the layer, for a
target the image.
"""

# pyright: reportArgumentType=false

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from detr_tutorial import boxes, losses
from detr_tutorial.detections import Detections, LayerDetections, Proposals
from detr_tutorial.inference import postprocess, predict
from detr_tutorial.losses import LossWeights, SetCriterion, sigmoid_focal_loss
from detr_tutorial.matching import MatchCost, hungarian_match, matching_cost

NAN, INF = float("nan"), float("inf")
LOGITS, BOXES = torch.zeros(2, 7, 5), torch.full((2, 7, 4), 0.5)
TARGET = {"labels": torch.tensor([0, 4, 2]), "boxes": torch.full((3, 4), 0.5)}
EMPTY = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
TARGETS = [EMPTY, TARGET]
VALID = torch.ones(2, 11, dtype=torch.bool)
PROPOSALS = Proposals(torch.zeros(2, 11, 5), torch.full((2, 11, 4), 0.5), VALID)
DETECTIONS = Detections(LOGITS, BOXES, [LayerDetections(LOGITS, BOXES)] * 2, PROPOSALS)
BACKGROUND = Detections(torch.zeros(2, 7, 6), BOXES, [], background_class=True)
IMAGE = torch.full((3, 4, 6), 0.5)
XYXY = torch.tensor([[0.0, 0.0, 2.0, 3.0]])


def filled(tensor: torch.Tensor, value: float, index: int = 1) -> torch.Tensor:
    changed = tensor.clone()
    changed.view(-1)[index] = value
    return changed


def match(logits=LOGITS, found=BOXES, targets=TARGETS, **options):
    return hungarian_match(logits, found, targets, **options)


def price(logits=LOGITS[0], found=BOXES[0], target=TARGET, **options):
    return matching_cost(logits, found, target, **options)


def judge(detections=DETECTIONS, targets=TARGETS, num_classes=5, loss="focal"):
    return SetCriterion(num_classes, loss)(detections, targets)


def with_target(**changes):
    return judge(targets=[EMPTY, {**TARGET, **changes}])


def with_layer(index: int, logits=LOGITS, found=BOXES) -> Detections:
    auxiliary = list(DETECTIONS.auxiliary)
    auxiliary[index] = LayerDetections(logits, found)
    return DETECTIONS._replace(auxiliary=auxiliary)


def with_proposals(**changes) -> Detections:
    return DETECTIONS._replace(encoder=PROPOSALS._replace(**changes))


class Model(nn.Module):
    def forward(self, batch):
        return DETECTIONS._replace(logits=LOGITS[: len(batch.pixels)], boxes=BOXES[: len(batch.pixels)])


def detect(images=(IMAGE,), **options):
    return predict(Model(), images, **{"short_side": 8, "max_side": 16, **options})


CASES = {
    # boxes
    "unequal numbers of boxes": (
        lambda: boxes.paired_giou(XYXY, XYXY.repeat(2, 1)),
        ValueError,
        "as many rows, got 1 and 2",
    ),
    "centers as corners in pairs": (
        lambda: boxes.paired_giou(XYXY, torch.tensor([[0.5, 0.5, 0.2, 0.2]])),
        ValueError,
        "others must be corners",
    ),
    # weights
    "a negative cost": (lambda: MatchCost(boxes=-1.0), ValueError, "MatchCost.boxes .*at least 0, got -1"),
    "no cost at all": (lambda: MatchCost(0, 0, 0), ValueError, "MatchCost must hold a weight above 0"),
    "a cost of NaN": (lambda: MatchCost(label=NAN), ValueError, "MatchCost.label must be finite"),
    "a word as cost": (lambda: MatchCost(giou="2"), TypeError, "MatchCost.giou must be a number, got str"),
    "a negative weight": (lambda: LossWeights(giou=-2), ValueError, "LossWeights.giou .*got -2"),
    "no weight at all": (lambda: LossWeights(0, 0, 0), ValueError, "LossWeights must hold a weight above 0"),
    # the cost of one image
    "a batch of logits": (lambda: price(LOGITS), ValueError, r"logits .*\(Q, classes\), got \(2, 7, 5\)"),
    "one box too few": (lambda: price(found=BOXES[0, :6]), ValueError, r"boxes .*\(7, 4\), got \(6, 4\)"),
    "NaN in the logits": (lambda: price(filled(LOGITS[0], NAN)), ValueError, "logits must be finite.*1 NaN"),
    "a list as target": (lambda: price(target=[TARGET]), TypeError, "target must be a dict.*list"),
    "a label without column": (
        lambda: price(LOGITS[0, :, :4]),
        ValueError,
        r"target\['labels'\] must lie in \[0, 4\), got 4",
    ),
    "a label for the background": (
        lambda: price(background_class=True),
        ValueError,
        r"target\['labels'\] must lie in \[0, 4\), got 4",
    ),
    # matching
    "one image's logits": (lambda: match(LOGITS[0]), ValueError, r"logits .*\(B, Q, classes\)"),
    "no queries": (lambda: match(LOGITS[:, :0], BOXES[:, :0]), ValueError, "logits is empty along Q"),
    "boxes of other queries": (lambda: match(found=BOXES[:, :6]), ValueError, r"boxes .*\(2, 7, 4\)"),
    "boxes of 5 numbers": (lambda: match(found=torch.zeros(2, 7, 5)), ValueError, r"boxes .*\(2, 7, 4\)"),
    "integer logits": (lambda: match(LOGITS.long()), TypeError, "logits must be a floating.*int64"),
    "one target too few": (lambda: match(targets=[TARGET]), ValueError, "targets .*expected 2, got 1"),
    "no list of targets": (lambda: match(targets=TARGET), TypeError, "targets must be a list"),
    "NaN in the logits of an image": (
        lambda: match(filled(LOGITS, NAN, 40)),
        ValueError,
        "logits of image 1 must be finite, got 1 NaN",
    ),
    "infinity in the boxes of an image": (
        lambda: match(found=filled(BOXES, INF, 30)),
        ValueError,
        "boxes of image 1 must be finite",
    ),
    "a cost that overflows": (
        lambda: match(LOGITS + 3e38, weights=MatchCost(label=1e3)),
        ValueError,
        "matching cost of image 1 must be finite",
    ),
    "a float mask of what is allowed": (
        lambda: match(allowed=torch.ones(2, 7)),
        TypeError,
        "allowed must be a bool tensor",
    ),
    "a mask of another size": (
        lambda: match(allowed=torch.ones(2, 6, dtype=torch.bool)),
        ValueError,
        r"allowed .*\(2, 7\), got \(2, 6\)",
    ),
    # the focal loss
    "targets of another shape": (
        lambda: sigmoid_focal_loss(LOGITS, LOGITS[0]),
        ValueError,
        r"targets .*\(2, 7, 5\), got \(7, 5\)",
    ),
    "integer targets": (
        lambda: sigmoid_focal_loss(LOGITS, LOGITS.long()),
        TypeError,
        "targets must be a floating.*int64",
    ),
    "alpha of a percentage": (lambda: SetCriterion(5, alpha=25), ValueError, r"alpha .*\[0, 1\], got 25"),
    "a negative gamma": (lambda: sigmoid_focal_loss(LOGITS, LOGITS, 0.5, -1), ValueError, "gamma .*got -1"),
    # the criterion
    "an unknown loss": (
        lambda: SetCriterion(5, "softmax"),
        ValueError,
        "loss must be 'focal' or .*'softmax'",
    ),
    "no classes": (lambda: SetCriterion(0), ValueError, "num_classes must be at least 1"),
    "classes as float": (lambda: SetCriterion(5.0), TypeError, "num_classes must be an int, got float"),
    "a weight of zero for the background": (lambda: SetCriterion(5, eos_coef=0), ValueError, "eos_coef"),
    "a tensor as detections": (lambda: judge(LOGITS), TypeError, "detections must be a Detections.*Tensor"),
    "a softmax head and the focal loss": (
        lambda: judge(BACKGROUND),
        ValueError,
        "'focal' does not fit detections with background_class=True",
    ),
    "a sigmoid head and the cross entropy": (
        lambda: judge(loss="cross_entropy"),
        ValueError,
        "'cross_entropy' does not fit detections with background_class=False",
    ),
    "proposals and the cross entropy": (
        lambda: judge(BACKGROUND._replace(encoder=PROPOSALS), loss="cross_entropy"),
        ValueError,
        "'cross_entropy' does not fit detections with proposals",
    ),
    "another number of classes": (
        lambda: judge(num_classes=6),
        ValueError,
        "decoder layer 0: logits have 5 columns, expected 6",
    ),
    "no column for the background": (
        lambda: judge(BACKGROUND, num_classes=6, loss="cross_entropy"),
        ValueError,
        "decoder layer 0: logits have 6 columns, expected 7",
    ),
    "a layer of another batch": (
        lambda: judge(with_layer(1, LOGITS[:1])),
        ValueError,
        r"decoder layer 1: logits .*\(2, 7, classes\), got \(1, 7, 5\)",
    ),
    "NaN in the boxes of the last layer": (
        lambda: judge(DETECTIONS._replace(boxes=filled(BOXES, NAN))),
        ValueError,
        r"^decoder layer 2: boxes hold NaN \(1 of 56 values\)$",
    ),
    "NaN in the logits of an earlier layer": (
        lambda: judge(with_layer(1, filled(LOGITS, NAN))),
        ValueError,
        r"^decoder layer 1: logits hold NaN \(1 of 70 values\)$",
    ),
    "infinity in the first layer": (
        lambda: judge(with_layer(0, filled(LOGITS, -INF))),
        ValueError,
        r"^decoder layer 0: logits hold infinity \(1 of 70 values\)$",
    ),
    "infinity in the boxes of half precision": (
        lambda: judge(with_layer(0, found=filled(BOXES.half(), INF))),
        ValueError,
        "^decoder layer 0: boxes hold infinity",
    ),
    "NaN in the proposals": (
        lambda: judge(with_proposals(boxes=filled(PROPOSALS.boxes, NAN))),
        ValueError,
        r"^encoder proposals: boxes hold NaN \(1 of 88 values\)$",
    ),
    "infinity in the proposals": (
        lambda: judge(with_proposals(logits=filled(PROPOSALS.logits, INF))),
        ValueError,
        "^encoder proposals: logits hold infinity",
    ),
    "boxes of negative width": (
        lambda: judge(with_layer(1, found=filled(BOXES, -0.1, 2))),
        ValueError,
        "decoder layer 1: boxes hold a negative width",
    ),
    "a float mask of the proposals": (
        lambda: judge(with_proposals(valid=VALID.float())),
        TypeError,
        "encoder proposals: valid must be a bool",
    ),
    "a mask of fewer proposals": (
        lambda: judge(with_proposals(valid=VALID[:, :9])),
        ValueError,
        r"encoder proposals: logits .*\(2, 9, classes\)",
    ),
    # targets
    "a label too large": (
        lambda: with_target(labels=torch.tensor([0, 5, 2])),
        ValueError,
        r"targets\[1\]\['labels'\] must lie in \[0, 5\), got 5",
    ),
    "a negative label": (
        lambda: with_target(labels=torch.tensor([0, -1, 2])),
        ValueError,
        r"targets\[1\]\['labels'\] must lie in \[0, 5\), got -1",
    ),
    "float labels": (
        lambda: with_target(labels=torch.zeros(3)),
        TypeError,
        r"targets\[1\]\['labels'\] must be an? integer tensor",
    ),
    "int32 labels": (
        lambda: with_target(labels=torch.zeros(3, dtype=torch.int32)),
        TypeError,
        r"targets\[1\]\['labels'\] must be an int64 tensor, got torch.int32",
    ),
    "one label too few": (
        lambda: with_target(labels=torch.tensor([0, 1])),
        ValueError,
        r"targets\[1\] must hold as many labels as boxes, got 2 and 3",
    ),
    "boxes in pixels": (
        lambda: with_target(boxes=TARGET["boxes"] * 100),
        ValueError,
        r"targets\[1\]\['boxes'\] must lie in \[0, 1\], got 50; are they in pixels",
    ),
    "a box of negative height": (
        lambda: with_target(boxes=filled(TARGET["boxes"], -1e-4, 3)),
        ValueError,
        r"targets\[1\]\['boxes'\] must be \(cx, cy, w, h\).*got -0.0001",
    ),
    "NaN in a target": (
        lambda: with_target(boxes=filled(TARGET["boxes"], NAN)),
        ValueError,
        r"targets\[1\]\['boxes'\] must be finite",
    ),
    "boxes of another shape": (
        lambda: with_target(boxes=torch.zeros(4)),
        ValueError,
        r"targets\[1\]\['boxes'\] .*\(N, 4\), got \(4\)",
    ),
    "empty boxes without columns": (
        lambda: judge(targets=[{"labels": EMPTY["labels"], "boxes": torch.zeros(0)}, TARGET]),
        ValueError,
        r"targets\[0\]\['boxes'\] .*\(N, 4\), got \(0\)",
    ),
    "a target on another device": (
        lambda: with_target(boxes=TARGET["boxes"].to("meta")),
        ValueError,
        r"targets\[1\]\['boxes'\] must be on cpu .*got meta",
    ),
    "the names of transformers": (
        lambda: judge(targets=[EMPTY, {"class_labels": TARGET["labels"], "boxes": TARGET["boxes"]}]),
        ValueError,
        r"targets\[1\] must hold labels and boxes, got no labels",
    ),
    "a tuple as target": (
        lambda: judge(targets=[EMPTY, (TARGET["labels"], TARGET["boxes"])]),
        TypeError,
        r"targets\[1\] must be a dict.*tuple",
    ),
    # the total
    "a loss without weight": (
        lambda: SetCriterion(5).total({**judge(), "masks_0": torch.tensor(1.0)}),
        ValueError,
        "'masks_0', which has no weight",
    ),
    "the name of an encoder loss of the official code": (
        lambda: SetCriterion(5).total({"labels": torch.tensor(1.0), "labels_enc": torch.tensor(1.0)}),
        ValueError,
        "'labels_enc', which has no weight",
    ),
    "nothing to add up": (
        lambda: SetCriterion(5).total({"cardinality_error": torch.tensor(1.0)}),
        ValueError,
        "at least one weighted loss, got .'cardinality_error'",
    ),
    # post-processing
    "logits to post-process": (lambda: postprocess(LOGITS, [(4, 6)]), TypeError, "detections .*Tensor"),
    "one size too few": (
        lambda: postprocess(DETECTIONS, [(4, 6)]),
        ValueError,
        "original_sizes must hold 2 pairs.*got 1",
    ),
    "sizes as a tensor": (
        lambda: postprocess(DETECTIONS, torch.ones(2, 2)),
        TypeError,
        "original_sizes must be a list.*Tensor",
    ),
    "a size of zero": (
        lambda: postprocess(DETECTIONS, [(4, 6), (0, 6)]),
        ValueError,
        r"original_sizes\[1\]\[0\] \(height\).*at least 1",
    ),
    "no detections wanted": (
        lambda: postprocess(DETECTIONS, [(4, 6)] * 2, top_k=0),
        ValueError,
        "top_k must be at least 1, got 0",
    ),
    "NaN to post-process": (
        lambda: postprocess(DETECTIONS._replace(logits=filled(LOGITS, NAN)), [(4, 6)] * 2),
        ValueError,
        "detections.logits must be finite",
    ),
    # prediction
    "a function as model": (lambda: predict(len, [IMAGE]), TypeError, "model must be a torch.nn.Module"),
    "one image, not a list": (lambda: detect(IMAGE), TypeError, "images must be a list or tuple"),
    "no images": (lambda: detect([]), ValueError, "images must hold at least 1"),
    "uint8 pixels": (
        lambda: detect([IMAGE, IMAGE.byte()]),
        TypeError,
        r"images\[1\] .*uint8: divide it by 255",
    ),
    "pixels up to 255": (lambda: detect([IMAGE * 255]), ValueError, r"images\[0\] .*\[0, 1\].*128\]; .*255"),
    "a normalized image": (lambda: detect([IMAGE - 1]), ValueError, r"images\[0\] .*before normalization"),
    "a gray image": (lambda: detect([IMAGE[:1]]), ValueError, r"images\[0\] .*\(3, H, W\), got \(1, 4, 6\)"),
    "an image without pixels": (lambda: detect([IMAGE[:, :0]]), ValueError, r"images\[0\] is empty along H"),
    "NaN in an image": (lambda: detect([filled(IMAGE, NAN)]), ValueError, r"images\[0\] must be finite"),
    "a threshold in percent": (lambda: detect(threshold=50), ValueError, r"threshold .*\[0, 1\], got 50"),
    "a short side of zero": (lambda: detect(short_side=0), ValueError, "short_side must be at least 1"),
    "a float as longer side": (lambda: detect(max_side=16.0), TypeError, "max_side must be an int"),
    "a model without sizes": (
        lambda: detect(short_side=None),
        ValueError,
        "short_side is None, and the model has no config.short_side",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_argument_gets_one_clear_line(case):
    call, kind, message = CASES[case]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert type(caught.value) is kind
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert Path(caught.traceback[-1].path).is_relative_to(Path(losses.__file__).parent), (
        "raised from outside the package"
    )
