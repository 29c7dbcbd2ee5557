"""Put the weights of a finished training run into the package, with a model card of what was measured.

Usage: python tools/ship_weights.py RUN_FOLDER NAME       (e.g. runs/detr_shapes detr_shapes)

Copies the weights to detr_tutorial/weights/NAME.safetensors, measures them on 1,000 held-out images, and
writes what came out to NAME.json and, for people, NAME.md. No number in either is typed by hand.
"""

import argparse
import json
import os
import shutil
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from detr_tutorial._run_folder import write_json
from detr_tutorial.checkpoints import SHIPPED, load_pretrained
from detr_tutorial.data.shapes import CLASSES, ShapesDataset
from detr_tutorial.evaluation import class_table, evaluate
from detr_tutorial.training import APS, HELD_OUT_SEED, METRICS, MODELS, WEIGHTS, TrainingConfig, train

HELD_OUT_IMAGES = 1000
LARGEST_FILE = 10_000_000  # bytes
TIMED_STEPS = 20
NOT_ON_THE_COMMAND_LINE = ("model", "model_class", "workers", "checkpoint_every", "evaluate_every")


def read_config(plain: dict[str, Any]) -> tuple[str, TrainingConfig]:
    """Find the name of the model's configuration, and rebuild that of the run."""
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in plain["model"].items()}
    for name, make in MODELS.items():
        if type(make()).__name__ == plain["model_class"] and make() == make(**fields):
            settings = {k: v for k, v in plain.items() if k not in ("model", "model_class")}
            return name, TrainingConfig(model=make(), **settings)
    raise SystemExit("the model of this run is no named configuration, so no short command repeats it")


def command(model: str, config: TrainingConfig, out: Path) -> str:
    """Write the command that trains the same weights from nothing."""
    default = TrainingConfig()
    parts = [f"python -m detr_tutorial.training --data {config.data} --config {model} --out {out.as_posix()}"]
    for name, value in vars(config).items():
        if name not in (*NOT_ON_THE_COMMAND_LINE, "data") and value != getattr(default, name):
            parts.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(parts)


def cpu_minutes(config: TrainingConfig) -> float:
    """Time some steps of the same run on one thread, and multiply."""
    marks: list[float] = []
    timed = {"steps": TIMED_STEPS, "evaluate_every": 0, "evaluate_images": 1, "workers": 0}
    train(
        TrainingConfig(**{**vars(config), **timed}),
        callback=lambda _: marks.append(time.process_time()),
        progress=False,
    )
    steps = [after - before for before, after in pairwise(marks)]
    return median(steps) * (config.steps or 0) / 60


def card(name: str, facts: dict[str, Any], table: str) -> str:
    """Write the model card."""
    scores = "\n".join(f"| {score} | {facts['metrics'][score]:.3f} |" for score in APS)
    return f"""# {name}

A small {facts["model_class"]} that finds {", ".join(CLASSES[:-1])} and {CLASSES[-1]} in images of 128 x 128
pixels. It was trained on the synthetic shapes of `detr_tutorial/data/shapes.py` for the chapters of this
book, and knows nothing else.

| | |
|---|---|
| load it | `detr_tutorial.checkpoints.load_pretrained("{name}")` |
| parameters | {facts["parameters"]:,} (float32, {facts["bytes"] / 1e6:.1f} MB) |
| training images | {facts["images"]:,}, each seen once: images 0, 1, 2, ... of seed {facts["seed"]} |
| steps | {facts["steps"]:,} of {facts["batch_size"]} images |
| CPU minutes | {facts["cpu_minutes"]:.0f} on one thread, from {TIMED_STEPS} steps that were timed |
| torch | {facts["torch"]} |
| license | MIT |

Trained from a random start by

    {facts["command"]}

and put here by `python tools/ship_weights.py`. Average precision on {facts["held_out_images"]:,} held-out
images (seed {facts["held_out_seed"]:,}); small objects are below 16 x 16 pixels, large ones above 32 x 32:

| | |
|---|---|
{scores}

```
{table.strip()}
```
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("name", help="of the weights in the package")
    options = parser.parse_args()
    torch.set_num_threads(1)

    run = json.loads((options.run / METRICS).read_text(encoding="utf-8"))
    model_name, config = read_config(run["config"])
    target = SHIPPED / f"{options.name}.safetensors"
    size = os.path.getsize(options.run / WEIGHTS)
    if size > LARGEST_FILE:
        raise SystemExit(f"{options.run / WEIGHTS} has {size:,} bytes, more than {LARGEST_FILE:,}")
    SHIPPED.mkdir(exist_ok=True)
    shutil.copyfile(options.run / WEIGHTS, target)
    metrics = evaluate(load_pretrained(target), ShapesDataset(HELD_OUT_IMAGES, HELD_OUT_SEED), 16)
    facts = {
        "model_class": run["config"]["model_class"].removesuffix("Config"),
        "metrics": {name: round(metrics[name], 4) for name in APS},
        "held_out_images": HELD_OUT_IMAGES,
        "held_out_seed": HELD_OUT_SEED,
        "steps": run["steps"],
        "batch_size": config.batch_size,
        "images": run["steps"] * config.batch_size,
        "seed": config.seed,
        "cpu_minutes": round(cpu_minutes(config), 1),
        "parameters": run["parameters"],
        "bytes": size,
        "torch": run["torch"],
        "command": command(model_name, config, Path("runs") / options.name),
    }
    write_json(target.with_suffix(".json"), facts)
    target.with_suffix(".md").write_text(card(options.name, facts, class_table(metrics)), encoding="utf-8")
    print(json.dumps(facts["metrics"]))


if __name__ == "__main__":
    main()
