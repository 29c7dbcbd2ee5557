"""Every message on the page of troubleshooting is one that a reader really gets."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from detr_tutorial.boxes import pairwise_iou
from detr_tutorial.checkpoints import load_pretrained
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.deformable_detr import DeformableDETRConfig
from detr_tutorial.detections import Detections
from detr_tutorial.losses import SetCriterion
from detr_tutorial.padding import normalize_image, valid_ratios
from detr_tutorial.position import LearnedPositionEncoding

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^`(.+)`\n: ", PAGE, flags=re.M)

IMAGE = torch.zeros(3, 4, 6)
BOX = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
ANSWER = Detections(torch.zeros(1, 5, 6), BOX.expand(1, 5, 4), [])
LETTERBOX = torch.ones(1, 4, 6, dtype=torch.bool)
LETTERBOX[:, 1:3] = False


def attend(tokens: int, shapes: Any) -> None:
    attention = MSDeformAttn(64, num_levels=2)
    attention(torch.zeros(1, 3, 64), torch.zeros(1, 3, 2, 2), torch.zeros(1, tokens, 64), shapes)


def judge(label: int = 1, box: torch.Tensor = BOX, num_classes: int = 6, logit: float = 0.0) -> None:
    answer = ANSWER._replace(logits=torch.full((1, 5, 6), logit))
    SetCriterion(num_classes)(answer, [{"labels": torch.tensor([label]), "boxes": box}])


def model() -> Any:
    return load_pretrained("detr_shapes")


MADE_BY: dict[str, Callable[[], object]] = {
    "image must be a floating tensor": lambda: normalize_image(IMAGE.to(torch.uint8)),
    "image must have shape": lambda: normalize_image(torch.zeros(4, 6, 3)),
    "images must be a list": lambda: model().predict(IMAGE),
    "images[0] must lie in": lambda: model().predict([IMAGE + 255]),
    "masks[0] must be a bool": lambda: valid_ratios([LETTERBOX.float()]),
    "padding must be right": lambda: valid_ratios([LETTERBOX]),
    "every cell is padding": lambda: valid_ratios([torch.ones_like(LETTERBOX)]),
    "boxes must be corners": lambda: pairwise_iou(BOX, BOX),
    "targets[0]['boxes']": lambda: judge(box=torch.tensor([[120.0, 80, 40, 30]])),
    "targets[0]['labels']": lambda: judge(label=6),
    "logits have 6 columns": lambda: judge(num_classes=91),
    "d_model=250": lambda: MSDeformAttn(250, num_heads=8),
    "spatial_shapes must be": lambda: attend(30, torch.tensor([[4, 6], [2, 3]])),
    "value has 31 tokens": lambda: attend(31, [(4, 6), (2, 3)]),
    "mask of 100 x 167": lambda: LearnedPositionEncoding()(torch.zeros(1, 100, 167, dtype=torch.bool)),
    "two_stage=True": lambda: DeformableDETRConfig(two_stage=True, refine_boxes=False),
    "decoder layer 0": lambda: judge(logit=float("nan")),
    "there is no file or folder": lambda: load_pretrained("nothing_here"),
}
# Messages of tools, or of a network that is not there: quoted from these files.
QUOTED_FROM = {
    "The book needs Python": "tools/make_venv.sh",
    "Python's venv module": "tools/make_venv.sh",
    "The site tests need a browser": "tools/browser.py",
    "There is no site yet": "tools/serve.py",
    "the ImageNet weights of ResNet-50": "detr_tutorial/backbone.py",
    "could not be had from the Hugging Face hub": "detr_tutorial/checkpoints.py",
}


def starts_with_one_of(message: str, starts: dict[str, Any]) -> list[str]:
    return [start for start in starts if message.startswith(start)]


def test_every_message_is_made_here_or_quoted():
    assert len(MESSAGES) == len(MADE_BY) + len(QUOTED_FROM)
    for message in MESSAGES:
        assert len(starts_with_one_of(message, {**MADE_BY, **QUOTED_FROM})) == 1, message


@pytest.mark.parametrize("start", MADE_BY)
def test_the_package_says_what_the_page_says(start):
    (message,) = (message for message in MESSAGES if message.startswith(start))
    with pytest.raises((TypeError, ValueError, FileNotFoundError)) as raised:
        MADE_BY[start]()
    assert message in str(raised.value)


@pytest.mark.parametrize("start", QUOTED_FROM)
def test_the_tools_say_what_the_page_says(start):
    (message,) = (message for message in MESSAGES if message.startswith(start))
    assert message in (ROOT / QUOTED_FROM[start]).read_text(encoding="utf-8")
