"""The whole detector against transformers' own: time, peak memory and differences, in one process.

    python benchmarks/model.py [--quick] [--json PATH]

Prints one table and writes it as JSON. "forward" is one image of 480 x 640 through ResNet-50 models with the
same random weights on both sides. "training step" is forward, loss and backward of the small model for
shapes, 16 images of 128 x 128; transformers' model gets the same small backbone. Calls of both are
interleaved, so that whatever disturbs the machine disturbs both; times are medians. Memory is the peak of
what PyTorch allocates during one call, without inputs and weights.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn
from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection, ResNetConfig

from detr_tutorial.checkpoints import to_transformers
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.losses import LossWeights, MatchCost, SetCriterion
from detr_tutorial.measure import measure
from detr_tutorial.padding import PaddedBatch, pad_images

Call = Callable[[], Any]
FORWARD_BAR, TRAINING_BAR = 1.6, 1.3  # times faster than transformers
SIZE = (480, 640)


def transformers_config(config: DeformableDETRConfig, **backbone: Any) -> Any:
    """The same sizes in transformers' words; its default backbone is the ResNet-50 of timm."""
    sizes: dict[str, Any] = {
        "num_labels": config.num_classes,
        "num_queries": config.num_queries,
        "two_stage_num_proposals": config.num_queries,
        "d_model": config.d_model,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.num_heads,
        "encoder_ffn_dim": config.ffn_dim,
        "decoder_ffn_dim": config.ffn_dim,
        "num_feature_levels": config.num_levels,
        "encoder_n_points": config.num_points,
        "decoder_n_points": config.num_points,
        "with_box_refine": config.refine_boxes,
        "two_stage": config.two_stage,
        "dilation": config.dilated,
        "dropout": config.dropout,
        "auxiliary_loss": True,
        "use_pretrained_backbone": False,
    }
    return DeformableDetrConfig(**sizes, **backbone)


class ImagesAndMasks(nn.Module):
    """Our small backbone with the interface of transformers': maps with masks that are True where valid."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor) -> list[Any]:
        features, masks = self.backbone(PaddedBatch(pixel_values, pixel_mask == 0))
        return [(feature, ~mask) for feature, mask in zip(features, masks, strict=True)]


def forward_case(name: str) -> tuple[dict[str, Call], float]:
    """One image through a published variant on both sides, and the largest difference of logits and boxes."""
    torch.manual_seed(0)
    config = getattr(DeformableDETRConfig, name)()
    ours = DeformableDETR(config).eval()
    theirs = DeformableDetrForObjectDetection(transformers_config(config)).eval()
    theirs.load_state_dict(to_transformers(ours), strict=True)
    batch = pad_images([torch.randn(3, *SIZE)])
    pixel_mask = (~batch.mask).long()

    @torch.no_grad()
    def run_ours() -> Any:
        return ours(batch)

    @torch.no_grad()
    def run_theirs() -> Any:
        return theirs(batch.pixels, pixel_mask)

    mine, other = run_ours(), run_theirs()
    difference = max(
        float((mine.logits - other.logits).abs().max()), float((mine.boxes - other.pred_boxes).abs().max())
    )
    return {"ours": run_ours, "transformers": run_theirs}, difference


def training_case() -> dict[str, Call]:
    """One step without the optimizer on 16 images with a few random objects each."""
    torch.manual_seed(0)
    config = DeformableDETRConfig.shapes()
    ours = DeformableDETR(config)
    widths: Any = {
        "hidden_sizes": [256, *config.small_channels],
        "out_features": ["stage2", "stage3", "stage4"],
    }
    theirs = DeformableDetrForObjectDetection(
        transformers_config(config, backbone_config=ResNetConfig(**widths))
    )
    backbone: Any = ImagesAndMasks(DeformableDETR(config).backbone)
    theirs.model.backbone = backbone
    criterion = SetCriterion(
        config.num_classes, "focal", weights=LossWeights(labels=1), match_cost=MatchCost(label=1)
    )
    batch = pad_images(list(torch.randn(16, 3, 128, 128)))
    targets = [
        {"labels": torch.randint(config.num_classes, (n,)), "boxes": 0.1 + 0.2 * torch.rand(n, 4)}
        for n in torch.randint(1, 8, (16,)).tolist()
    ]
    labels = [{"class_labels": target["labels"], "boxes": target["boxes"]} for target in targets]
    pixel_mask = (~batch.mask).long()

    def run_ours() -> None:
        ours.zero_grad()
        criterion.total(criterion(ours(batch), targets)).backward()

    def run_theirs() -> None:
        theirs.zero_grad()
        theirs(batch.pixels, pixel_mask, labels=labels).loss.backward()

    return {"ours": run_ours, "transformers": run_theirs}


def interleaved(contestants: dict[str, Call], repeats: int) -> dict[str, float]:
    """Median seconds of each, taking turns, after one call that warms up."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(repeats + 1):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("_build/benchmarks/model.json"))
    parser.add_argument("--quick", action="store_true", help="one repeat of everything")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))

    rows = []
    print(f"{'case':<28} {'ours':>9} {'theirs':>9} {'ratio':>6} {'bar':>5}  {'peak MB':>14}  difference")
    for variant in ("base", "refined", "two_stage_refined", "single_scale", "single_scale_dc5", "shapes"):
        training = variant == "shapes"
        contestants, difference = (training_case(), None) if training else forward_case(variant)
        seconds = interleaved(contestants, 1 if options.quick else 9)
        peaks = {name: measure(run, repeats=1).peak_bytes for name, run in contestants.items()}
        ratio = seconds["transformers"] / seconds["ours"]
        bar = TRAINING_BAR if training else FORWARD_BAR if variant == "base" else None
        row = {
            "case": f"{'training step' if training else 'forward'} {variant}",
            "seconds": seconds,
            "ratio": ratio,
            "bar": bar,
            "peak_bytes": peaks,
            "difference": difference,
            "met": bar is None or (ratio >= bar and (training or peaks["ours"] <= peaks["transformers"])),
        }
        rows.append(row)
        megabytes = "{:.0f} / {:.0f}".format(*(peak / 1e6 for peak in peaks.values()))
        print(
            f"{row['case']:<28} {seconds['ours']:>8.3f}s {seconds['transformers']:>8.3f}s {ratio:>6.2f} "
            f"{bar or '':>5}  {megabytes:>14}  {'' if difference is None else format(difference, '.1e')}"
            f"{'' if row['met'] else '  MISSED'}",
            flush=True,
        )
    options.json.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    options.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1))
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
