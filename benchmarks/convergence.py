"""Dense against deformable attention while they learn: AP against steps and against CPU minutes.

    python benchmarks/convergence.py [--seeds 0 1 2] [--steps 4800] [--json PATH]

Trains small detectors on the shapes (see detr_tutorial/data/shapes.py) from random starts, each from several
seeds, and measures AP on the same held-out images at equal steps. Backbone, width, heads, layers, queries,
losses, images and schedule are the same; what differs is what the names say. Every finished run is kept in
the JSON file at once, and unfinished ones go on: the study can be stopped and taken up again, and processes
with other seeds can work side by side. The learning rate is one that suits the dense models.
CPU minutes are those of the process on one thread, without the evaluations.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from detr_tutorial._run_folder import write_json
from detr_tutorial.deformable_detr import DeformableDETRConfig
from detr_tutorial.detr import DETRConfig
from detr_tutorial.training import APS, ModelConfig, TrainingConfig, train

MODELS: dict[str, ModelConfig] = {
    "detr_stride_32": DETRConfig.shapes(dilated=False),
    "detr_stride_16": DETRConfig.shapes(),
    "deformable_stride_16": DeformableDETRConfig.shapes(
        two_stage=False, refine_boxes=False, num_levels=1, dilated=True
    ),
    "deformable_base": DeformableDETRConfig.shapes(two_stage=False, refine_boxes=False),
    "deformable_refined": DeformableDETRConfig.shapes(two_stage=False),
}
EVALUATIONS = 8  # of a run, at equal distances
PATH = Path(__file__).parents[1] / "detr_tutorial" / "data" / "convergence.json"
FIELDS = (
    "data",
    "steps",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "precision",
    "evaluate_images",
)


def run(model: str, config: TrainingConfig, out: Path) -> dict[str, Any]:
    """Train one model, or go on where it was stopped, and return its points."""
    step_seconds: list[float] = []
    last = time.process_time()

    def note(row: dict[str, Any]) -> None:
        nonlocal last
        now = time.process_time()
        if row["AP"] is None:
            step_seconds.append(now - last)
        else:
            print(model, config.seed, {name: row[name] for name in ("step", *APS)}, flush=True)
        last = now

    result = train(config, out, callback=note, progress=False)
    points = [
        {
            "step": row["step"],
            "cpu_minutes": round(row["step"] * median(step_seconds) / 60, 2),
            **{name: row[name] and round(row[name], 4) for name in APS},
        }
        for row in map(dict, result.history)
        if row["AP"] is not None
    ]
    return {
        "model": model,
        "seed": config.seed,
        "parameters": result.metrics["parameters"],
        "points": points,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=4800)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--json", type=Path, default=PATH)
    parser.add_argument("--runs", type=Path, default=Path("runs/convergence"), help="where runs can go on")
    options = parser.parse_args()
    torch.set_num_threads(1)

    common = TrainingConfig(
        steps=options.steps,
        batch_size=8,
        learning_rate=options.learning_rate,
        schedule="cosine",
        warmup_steps=100,
        precision="bfloat16",
        evaluate_every=options.steps // EVALUATIONS,
        evaluate_images=500,
        workers=0,
    )
    settings = {name: getattr(common, name) for name in FIELDS}
    machine = {"torch": torch.__version__, "processor": platform.machine(), "cores": os.cpu_count()}

    def read() -> dict[str, Any]:
        if not options.json.exists():
            return {"settings": settings, "machine": machine, "runs": []}
        study = json.loads(options.json.read_text(encoding="utf-8"))
        if study["settings"] != settings:
            parser.error(f"{options.json} holds a study with {study['settings']}: name another file")
        return study

    for seed in options.seeds:
        for model in options.models:
            if (model, seed) not in {(done["model"], done["seed"]) for done in read()["runs"]}:
                config = replace(common, model=MODELS[model], seed=seed)
                finished = run(model, config, options.runs / f"{model}_{seed}")
                study = read()
                study["runs"].append(finished)
                study["runs"].sort(key=lambda done: (list(MODELS).index(done["model"]), done["seed"]))
                write_json(options.json, study)


if __name__ == "__main__":
    main()
