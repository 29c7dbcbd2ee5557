"""Where the shipped detector looks: what its sampling points do on held-out pictures of shapes.

    python benchmarks/sampling_statistics.py [--images 500] [--field-images 200] [--json PATH]

Runs the trained weights and the same model with random weights over the same pictures, and writes mean,
standard deviation and quartiles over the pictures of every measure in
detr_tutorial/data/sampling_statistics.py, and the values of the first pictures one by one. The gradients of
`measure_field` are the slow part and are taken on fewer pictures. About two minutes on one free core.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from detr_tutorial._run_folder import write_atomically
from detr_tutorial.checkpoints import load_pretrained, make_model
from detr_tutorial.data.sampling_statistics import PATH, Measures, measure_field, measure_sampling
from detr_tutorial.deformable_detr import DeformableDETR
from detr_tutorial.training import HELD_OUT_SEED

WEIGHTS = "deformable_detr_shapes"
UNTRAINED_SEED = 0
FIRST = 8  # pictures whose own values are kept
DIGITS = 4


def models() -> dict[str, DeformableDETR]:
    """The trained model, and one of the same sizes with random weights."""
    trained = load_pretrained(WEIGHTS)
    assert isinstance(trained, DeformableDETR)
    torch.manual_seed(UNTRAINED_SEED)
    untrained = make_model(trained.config)
    assert isinstance(untrained, DeformableDETR)
    return {
        name: model.eval().requires_grad_(False)
        for name, model in (("trained", trained), ("untrained", untrained))
    }


def summarize(values: Tensor) -> dict[str, Any]:
    """Mean, spread and quartiles over the pictures, (images, ...), without those that have no value."""
    counts = (~values.isnan()).sum(dim=0)
    mean = values.nanmean(dim=0)
    q1, median, q3 = values.nanquantile(torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype), dim=0)
    sd = ((values - mean).pow(2).nansum(dim=0) / (counts - 1)).sqrt()
    rounded = {"mean": mean, "sd": sd, "q1": q1, "median": median, "q3": q3, "first": values[:FIRST]}
    return {name: to_list(table) for name, table in rounded.items()} | {"images": counts.tolist()}


def to_list(values: Tensor) -> Any:
    """Nested lists of numbers in few digits, None for NaN."""
    if values.ndim:
        return [to_list(part) for part in values]
    return None if values.isnan() else float(f"{values.item():.{DIGITS}g}")


def over_images(
    measure: Callable[[DeformableDETR, int, int], Measures], model: DeformableDETR, images: int, name: str
) -> dict[str, Any]:
    """Measure the first held-out pictures and summarize each measure."""
    found = [measure(model, index, HELD_OUT_SEED) for index in tqdm(range(images), desc=name)]
    return {key: summarize(torch.stack([each[key] for each in found]).double()) for key in found[0]}


def to_text(content: dict[str, Any]) -> str:
    """JSON with one line a measure."""
    parts = []
    for name, value in content.items():
        lines = (f"  {json.dumps(key)}: {json.dumps(inner)}" for key, inner in value.items())
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--field-images", type=int, default=200)
    parser.add_argument("--json", type=Path, default=PATH)
    options = parser.parse_args()
    torch.set_num_threads(1)
    content: dict[str, Any] = {
        "settings": {
            "data": "shapes",
            "seed": HELD_OUT_SEED,
            "images": options.images,
            "field_images": options.field_images,
            "weights": WEIGHTS,
            "untrained_seed": UNTRAINED_SEED,
        },
        "machine": {"torch": torch.__version__, "processor": platform.machine(), "cores": os.cpu_count()},
    }
    for name, model in models().items():
        content[name] = over_images(measure_sampling, model, options.images, name)
        content[name] |= over_images(measure_field, model, options.field_images, f"{name}, field")
    write_atomically(options.json, lambda file: file.write(to_text(content).encode()))


if __name__ == "__main__":
    main()
