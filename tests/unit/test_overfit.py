"""The small model can learn: it finds every object of four images."""

import time

import pytest
import torch
from torchvision.ops import box_iou

from detr_tutorial.boxes import cxcywh_to_xyxy
from detr_tutorial.data.shapes import CLASSES, ShapesDataset, collate
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.inference import postprocess
from detr_tutorial.losses import SetCriterion

STEPS = 220


@pytest.mark.timing
def test_shapes_finds_every_object_of_four_images_within_a_minute():
    torch.manual_seed(0)
    batch, targets = collate([ShapesDataset(4, seed=3)[index] for index in range(4)])
    model = DeformableDETR(DeformableDETRConfig.shapes(num_classes=len(CLASSES)))
    criterion = SetCriterion(len(CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=STEPS, pct_start=0.1)
    start = time.perf_counter()
    for _ in range(STEPS):
        loss = criterion.total(criterion(model(batch), targets))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - start

    model.eval()
    found = postprocess(model(batch), [(128, 128)] * 4)
    overlaps = []
    for answer, target in zip(found, targets, strict=True):
        kept = answer["scores"] > 0.5
        overlap = box_iou(128 * cxcywh_to_xyxy(target["boxes"]), answer["boxes"][kept])
        same_class = target["labels"][:, None] == answer["labels"][kept][None]
        overlaps.append((overlap * same_class).amax(dim=1))
        assert int(kept.sum()) == len(target["labels"])  # nothing else, and nothing twice
    print(f"\n{seconds:.0f} s, smallest IoU {torch.cat(overlaps).min():.3f}")
    assert torch.cat(overlaps).min() > 0.9
    assert seconds < 60
