"""Training: draw a batch, detect, judge, step; and a command line that can be interrupted at any moment.

`python -m detr_tutorial.training --data shapes --config shapes --out runs/shapes` trains on two cores;
`torchrun --nproc-per-node=N -m detr_tutorial.training ...` does the same with N processes. The images of a
step, and the dropout in it, depend on the seed and on the number of the step alone: a run that is stopped and
started again goes on as if nothing had happened. Taught in notebooks/18_training.ipynb.
"""

import argparse
import copy
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from detr_tutorial._run_folder import (
    Row,
    TrainingLog,
    load_checkpoint,
    save_checkpoint,
    write_json,
)
from detr_tutorial._validation import require_int, require_number
from detr_tutorial.checkpoints import make_model, save_pretrained
from detr_tutorial.data.coco import CocoDetection
from detr_tutorial.data.shapes import CLASSES, ShapesDataset, collate
from detr_tutorial.data.transforms import evaluation_transforms, training_transforms
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detr import DETR, DETRConfig
from detr_tutorial.evaluation import evaluate
from detr_tutorial.losses import SetCriterion
from detr_tutorial.padding import PaddedBatch

ModelConfig = DeformableDETRConfig | DETRConfig

MODELS: dict[str, Callable[..., ModelConfig]] = {
    "shapes": DeformableDETRConfig.shapes,
    "detr_shapes": DETRConfig.shapes,
    "base": DeformableDETRConfig.base,
    "refined": DeformableDETRConfig.refined,
    "two_stage_refined": DeformableDETRConfig.two_stage_refined,
    "single_scale": DeformableDETRConfig.single_scale,
    "single_scale_dc5": DeformableDETRConfig.single_scale_dc5,
    "detr": DETRConfig,
}

SLOW = ("sampling_offsets", "reference_points")  # modules that learn at a tenth of the rate
SLOW_MULTIPLIER = 0.1
PRETRAINED_MULTIPLIER = 0.1  # of a backbone with ImageNet weights
DROP_AT, DROP = 0.8, 0.1  # the step schedule: from this part of the run on, so much of the rate
HELD_OUT_SEED = 1_000_000  # of the shapes that no run trains on

CHECKPOINT, LOG, WEIGHTS, METRICS = "checkpoint.pt", "log.csv", "model.safetensors", "metrics.json"
LOSSES = ("labels", "boxes", "giou", "cardinality_error")  # of the last layer
APS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
COLUMNS = ("step", "loss", *LOSSES, "learning_rate", "grad_norm", "seconds", "data_wait", *APS)
NOT_THE_RESULT = ("workers", "checkpoint_every", "evaluate_every")  # a resumed run may change these


@dataclass(frozen=True)
class TrainingConfig:
    """What a run does; together with the package, it decides every weight of the result.

    Args:
        model: sizes of the model.
        data: "shapes" draws images on the fly; "coco:DIR" reads a folder in COCO format.
        steps: steps of the whole run; None where `max_seconds` alone ends it.
        max_seconds: end the run after so much time, evaluations within it included; the schedule follows the
            clock when it is ahead of the steps. Such a run can not be repeated bit for bit.
        batch_size: images a step, over all processes.
        learning_rate: of everything but the slow modules. The published 2e-4 belongs to 32 images a step;
            small models take more, 4e-4 to 1e-3.
        weight_decay: of AdamW, on all parameters.
        clip_norm: the gradient is shortened to this length.
        schedule: "step" takes a tenth of the rate in the last fifth of the run; "cosine" falls to 0.
        warmup_steps: the rate rises linearly over the first steps; 0 for none.
        precision: "bfloat16" computes most of the model in it; weights and losses stay float32.
        ema_decay: evaluate and keep a running average of the weights, which moves by 1 - ema_decay each step
            (faster in the beginning); 0 for none.
        seed: of weights, images and dropout.
        evaluate_every: measure AP on held-out images every so many steps; 0 for the end only.
        evaluate_images: number of held-out images; of a COCO folder, the first ones.
        checkpoint_every: save everything every so many steps.
        workers: processes that prepare batches ahead; 0 prepares them between the steps.
    Raises:
        TypeError, ValueError: if a value is of another type or outside its range.
    Source: Deformable DETR (arXiv 2010.04159), section 5, and the official `main.py`; taught in
    notebooks/18_training.ipynb.
    """

    model: ModelConfig = field(default_factory=DeformableDETRConfig.shapes)
    data: str = "shapes"
    steps: int | None = 5000
    max_seconds: float | None = None
    batch_size: int = 16
    learning_rate: float = 4e-4
    weight_decay: float = 1e-4
    clip_norm: float = 0.1
    schedule: Literal["step", "cosine"] = "step"
    warmup_steps: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    ema_decay: float = 0.0
    seed: int = 0
    evaluate_every: int = 0
    evaluate_images: int = 200
    checkpoint_every: int = 200
    workers: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.model, DeformableDETRConfig | DETRConfig):
            raise TypeError(
                f"model must be a DeformableDETRConfig or a DETRConfig, got {type(self.model).__name__}"
            )
        if self.data != "shapes" and (not self.data.startswith("coco:") or self.data == "coco:"):
            raise ValueError(f'data must be "shapes" or "coco:DIR", got {self.data!r}')
        if self.steps is None and self.max_seconds is None:
            raise ValueError("steps and max_seconds are both None: give one of them")
        if self.steps is not None:
            require_int("steps", self.steps)
        if self.max_seconds is not None:
            require_number("max_seconds", self.max_seconds, above=0)
        for name in ("batch_size", "evaluate_images", "checkpoint_every"):
            require_int(name, getattr(self, name))
        for name in ("warmup_steps", "seed", "evaluate_every", "workers"):
            require_int(name, getattr(self, name), minimum=0)
        for name in ("learning_rate", "clip_norm"):
            require_number(name, getattr(self, name), above=0)
        if require_number("weight_decay", self.weight_decay) < 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}")
        if not 0 <= require_number("ema_decay", self.ema_decay) < 1:
            raise ValueError(f"ema_decay must be in [0, 1), got {self.ema_decay}")
        if self.schedule not in ("step", "cosine"):
            raise ValueError(f'schedule must be "step" or "cosine", got {self.schedule!r}')
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f'precision must be "float32" or "bfloat16", got {self.precision!r}')
        if self.seed == HELD_OUT_SEED:
            raise ValueError(f"seed {HELD_OUT_SEED} belongs to the held-out images: take another")
        if self.data == "shapes" and self.model.num_classes < len(CLASSES):
            raise ValueError(f"shapes have {len(CLASSES)} classes, the model has {self.model.num_classes}")


class TrainingResult(NamedTuple):
    """What a run leaves behind."""

    model: DETR | DeformableDETR  # in evaluation mode; the running average where there is one
    metrics: dict[str, Any]  # AP and the like on held-out images, steps, seconds
    history: list[Row]  # one row a step, as in log.csv


class Processes(NamedTuple):
    """Who trains: this process is number `rank` of `count`."""

    rank: int
    count: int
    device: torch.device


@dataclass
class State:
    """What training changes; all of it is in a checkpoint (see notebooks/18_training.ipynb)."""

    model: DETR | DeformableDETR
    optimizer: torch.optim.Optimizer
    average: DETR | DeformableDETR | None  # of the weights
    step: int = 0  # steps done
    seconds: float = 0.0  # time they took


def train(
    config: TrainingConfig,
    out: str | Path | None = None,
    callback: Callable[[Row], object] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a model from its random start, or go on where an interrupted run stopped.

    Under `torchrun`, every process calls it, each takes its part of every batch, and the first one evaluates
    and writes.

    Args:
        config: what to do.
        out: folder for checkpoint.pt, log.csv, and at the end model.safetensors and metrics.json; None writes
            nothing. A checkpoint in it is taken up, bit for bit on a CPU.
        callback: gets each row of the log.
        device: "cpu", "cuda", ...; None takes a GPU where there is one.
        progress: show a progress bar and messages.
    Returns:
        The model, its metrics on held-out images, and the log.
    Raises:
        ValueError: if `out` holds a run with another configuration or something else, or losses or gradients
            are not finite (the line names the layer); the last checkpoint stays as it is.
    Source: DETR's and Deformable DETR's official `main.py` and `engine.py`; taught in
    notebooks/18_training.ipynb.
    """
    folder = None if out is None else _open_folder(Path(out))
    with join_processes(device) as processes, _own_randomness(processes.device):
        torch.manual_seed(config.seed)
        first, say = processes.rank == 0, _say if progress and processes.rank == 0 else _say_nothing
        state = start(config, processes.device)
        if folder is not None and (folder / CHECKPOINT).exists():
            resume(state, config, folder / CHECKPOINT)
            say(f"{folder / CHECKPOINT} holds {state.step} steps: going on from there")
        train_set, held_out_set = make_datasets(config)
        batches = make_batches(train_set, config, state.step, processes)
        model = DistributedDataParallel(state.model) if processes.count > 1 else state.model
        criterion = make_criterion(config.model)
        log = TrainingLog(folder / LOG if folder is not None and first else None, COLUMNS, state.step)
        bar = tqdm(total=config.steps, initial=state.step, unit="step", disable=not (progress and first))
        started = time.perf_counter() - state.seconds
        saved = begun = state.step
        with log, bar:
            while (done := _agree(part_done(config, state.step, state.seconds), config, processes)) < 1:
                set_learning_rate(state.optimizer, learning_rate_factor(config, state.step, done))
                asked = time.perf_counter()
                batch, targets = to_device(*next(batches), processes.device)
                data_wait = time.perf_counter() - asked
                torch.manual_seed(_number(config.seed, state.step, processes.rank))  # of dropout
                try:
                    row = train_step(model, criterion, state.optimizer, batch, targets, config)
                except ValueError as error:
                    raise ValueError(f"step {state.step + 1}: {error}") from error
                state.step += 1
                if state.average is not None:
                    update_average(state.average, state.model, config.ema_decay, state.step)
                if first and _due(config.evaluate_every, state.step):
                    row |= _measure(state, held_out_set, config)
                state.seconds = time.perf_counter() - started
                row |= {"step": state.step, "seconds": state.seconds, "data_wait": data_wait}
                row = log.write(row)
                _show(bar, row)
                if callback is not None:
                    callback(row)
                if first and folder is not None and _due(config.checkpoint_every, state.step):
                    save_checkpoint(folder / CHECKPOINT, to_checkpoint(state, config))
                    saved = state.step
            if first and folder is not None and saved != state.step:
                save_checkpoint(folder / CHECKPOINT, to_checkpoint(state, config))
        del batches  # ends its worker processes
        metrics: dict[str, Any] = {}
        if first and folder is not None and state.step == begun and (folder / METRICS).exists():
            say(f"{folder} holds a finished run of {state.step} steps: nothing is left to do")
            metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        elif first:
            metrics = summarize(state, held_out_set, config, log.rows)
            say(", ".join(f"{name} {metrics[name]:.3f}" for name in APS if metrics[name] is not None))
            if folder is not None:
                save_pretrained(_kept(state), folder / WEIGHTS)
                write_json(folder / METRICS, metrics)
        return TrainingResult(_kept(state).eval(), _from_first(metrics, processes), log.rows)


def train_step(
    model: nn.Module,
    criterion: SetCriterion,
    optimizer: torch.optim.Optimizer,
    batch: PaddedBatch,
    targets: Sequence[Mapping[str, Any]],
    config: TrainingConfig,
) -> Row:
    """Detect, judge, and move the weights a little.

    Args:
        model: in training mode; weights and gradients are changed.
        criterion: the losses.
        optimizer: of the model's parameters, with the learning rate of this step.
        batch: images.
        targets: one an image.
        config: `clip_norm` and `precision` are used.
    Returns:
        "loss" (the weighted sum of all layers), the losses of the last layer by name, "learning_rate", and
        "grad_norm" before clipping.
    Raises:
        ValueError: if a loss or a gradient is not finite; the line names the layer, and the weights are as
            they were.
    Source: DETR's official `engine.train_one_epoch`; taught in notebooks/18_training.ipynb.
    """
    with torch.autocast(batch.pixels.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        detections = model(batch)
    losses = criterion(detections, targets)
    loss = criterion.total(losses)
    optimizer.zero_grad()
    loss.backward()
    try:
        grad_norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm, error_if_nonfinite=True)
    except RuntimeError as error:
        raise ValueError(_not_finite(model)) from error
    shown = {"loss": loss, **{name: losses[name] for name in LOSSES}, "grad_norm": grad_norm}
    numbers = _mean_over_processes(torch.stack([number.detach().float() for number in shown.values()]))
    optimizer.step()
    learning_rate = max(group["lr"] for group in optimizer.param_groups)
    return {**dict(zip(shown, numbers.tolist(), strict=True)), "learning_rate": learning_rate}


def parameter_groups(
    model: nn.Module, learning_rate: float, backbone_multiplier: float
) -> list[dict[str, Any]]:
    """Sort the trainable parameters by their learning rate; each is in one group.

    The layers that say where to look learn at a tenth of the rate.

    Args:
        model: a DETR or a DeformableDETR.
        learning_rate: of the first group.
        backbone_multiplier: of the rate of everything in `model.backbone`.
    Returns:
        Groups for an optimizer: "main", "backbone" and "slow"; "full_rate" is the rate before the schedule.
    Source: the official `main.py`; taught in notebooks/18_training.ipynb.
    """
    multipliers = {"main": 1.0, "backbone": backbone_multiplier, "slow": SLOW_MULTIPLIER}
    members: dict[str, list[nn.Parameter]] = {name: [] for name in multipliers}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        modules = name.split(".")
        group = "backbone" if modules[0] == "backbone" else "slow" if set(SLOW) & set(modules) else "main"
        members[group].append(parameter)
    return [
        {"name": name, "params": members[name], "lr": learning_rate * multiplier}
        | {"full_rate": learning_rate * multiplier}
        for name, multiplier in multipliers.items()
        if members[name]
    ]


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Make AdamW over the parameter groups; a backbone with ImageNet weights learns at a tenth of the rate.

    Args:
        model: a DETR or a DeformableDETR.
        config: `learning_rate` and `weight_decay` are used.
    Source: the official `main.py`; taught in notebooks/18_training.ipynb.
    """
    pretrained = config.model.backbone_weights is not None
    groups = parameter_groups(model, config.learning_rate, PRETRAINED_MULTIPLIER if pretrained else 1.0)
    return torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)


def part_done(config: TrainingConfig, step: int, seconds: float) -> float:
    """Say which part of the run is over, by steps or by the clock, whichever is ahead.

    Args:
        config: `steps` and `max_seconds` are used.
        step: steps done.
        seconds: time they took.
    Returns:
        0 at the start, 1 or more at the end.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    by_steps = 0.0 if config.steps is None else step / config.steps
    by_clock = 0.0 if config.max_seconds is None else seconds / config.max_seconds
    return max(by_steps, by_clock)


def learning_rate_factor(config: TrainingConfig, step: int, done: float) -> float:
    """Say by what the learning rate of a step is multiplied.

    Args:
        config: `schedule` and `warmup_steps` are used.
        step: steps done before this one.
        done: part of the run that is over, in [0, 1].
    Returns:
        A factor in [0, 1].
    Source: the official `main.py` drops at 40 of 50 epochs; taught in notebooks/18_training.ipynb.
    """
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "cosine":
        return warmup * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return warmup * (1.0 if done < DROP_AT else DROP)


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the rate of every group to a part of its full rate.

    Args:
        optimizer: over `parameter_groups`.
        factor: of the full rates.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the running average of the weights towards the weights.

    Args:
        average: a copy of the model; its parameters are changed.
        model: after the step.
        decay: part of the average that stays; less in the first steps, which would otherwise keep the random
            start in it.
        step: steps done.
    Source: exponential moving average of weights, warmed up as in TensorFlow's
    `ExponentialMovingAverage(num_updates)`; taught in notebooks/18_training.ipynb.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    for kept, current in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(current, weight)


class Stream(Dataset):
    """A data set without an end: what stands at a position depends on the seed and the position alone.

    Args:
        dataset: has a length, and items (image, target), which may use torch's random numbers.
        seed: of the order and of the items' random numbers.
        shuffled: go through the set in a new order each time; otherwise in its own order.
    Source: ours; taught in notebooks/18_training.ipynb.
    """

    def __init__(self, dataset: Any, seed: int, shuffled: bool) -> None:
        self.dataset, self.seed, self.shuffled = dataset, seed, shuffled

    def __getitem__(self, position: int) -> tuple[Tensor, dict[str, Any]]:
        epoch, index = divmod(position, len(self.dataset))
        if self.shuffled:
            index = _order(self.seed, epoch, len(self.dataset))[index]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_number(self.seed, position))
            return self.dataset[index]


class Positions:
    """For every step from the first on, the positions in the stream that this process takes.

    Args:
        batch_size: over all processes.
        first_step: steps that are done already.
        processes: who shares the batch.
    Raises:
        ValueError: if the processes can not share a batch evenly.
    Source: ours; taught in notebooks/18_training.ipynb.
    """

    def __init__(self, batch_size: int, first_step: int, processes: Processes) -> None:
        if batch_size % processes.count:
            raise ValueError(f"batch_size={batch_size} is not divisible by {processes.count} processes")
        self.batch_size, self.first_step, self.processes = batch_size, first_step, processes

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch_size // self.processes.count
        for step in count(self.first_step):
            begin = step * self.batch_size + self.processes.rank * share
            yield list(range(begin, begin + share))


def make_batches(
    dataset: Stream, config: TrainingConfig, first_step: int, processes: Processes
) -> Iterator[tuple[PaddedBatch, list[dict[str, Any]]]]:
    """Give the batches of all steps from the first on, prepared ahead in other processes.

    Args:
        dataset: what to train on.
        config: `batch_size` and `workers` are used.
        first_step: steps that are done already.
        processes: who shares the batch.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    positions: Any = Positions(config.batch_size, first_step, processes)
    return iter(
        DataLoader(
            dataset,
            batch_sampler=positions,
            collate_fn=collate,
            num_workers=config.workers,
            pin_memory=processes.device.type == "cuda",
            generator=torch.Generator().manual_seed(0),  # leaves the global random numbers alone
        )
    )


def make_datasets(config: TrainingConfig) -> tuple[Stream, Any]:
    """Open what to train on and what to measure on.

    A folder in COCO format holds either `train` and `val`, each with `images/` and `annotations.json` as
    `detr_tutorial.data.shapes` exports them; or, as COCO itself, `train2017`, `val2017` and
    `annotations/instances_train2017.json` and so on, where labels are the official category ids.

    Args:
        config: `data`, `seed`, `evaluate_images`, and the sizes of images and classes in `model` are used.
    Returns:
        An endless stream, and a data set of held-out images.
    Raises:
        FileNotFoundError, ValueError: if the folder is neither, its two sets have other classes, or the model
            has too few.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    if config.data == "shapes":
        held_out = ShapesDataset(config.evaluate_images, HELD_OUT_SEED)
        return Stream(ShapesDataset(2**62, config.seed), config.seed, shuffled=False), held_out
    root = Path(config.data.removeprefix("coco:")).expanduser()
    sides = (config.model.short_side, config.model.max_side)
    train_set = _open_coco(root, "train", training_transforms(*sides))
    held_out_set = _open_coco(root, "val", evaluation_transforms(*sides))
    if train_set.classes != held_out_set.classes:
        raise ValueError(f"{train_set.file} and {held_out_set.file} have other categories")
    if (needed := train_set.num_classes) > (given := config.model.num_classes):
        raise ValueError(f"{train_set.file} needs a model with num_classes={needed}, got {given}")
    return Stream(train_set, config.seed, shuffled=True), FirstImages(held_out_set, config.evaluate_images)


def _open_coco(root: Path, part: str, transforms: Callable[..., Any]) -> CocoDetection:
    official = root / "annotations" / f"instances_{part}2017.json"
    if official.exists():
        return CocoDetection(root / f"{part}2017", official, part == "train", transforms, raw_ids=True)
    if not (root / part).is_dir():
        raise FileNotFoundError(f"{root} holds neither {part}/ nor annotations/{official.name}")
    return CocoDetection(root / part, train=part == "train", transforms=transforms)


class FirstImages(Dataset):
    """The first images of a data set.

    Args:
        dataset: has a length, items and `classes`.
        limit: how many images at most.
    Source: ours; taught in notebooks/18_training.ipynb.
    """

    def __init__(self, dataset: Any, limit: int) -> None:
        self.dataset, self.limit, self.classes = dataset, limit, dataset.classes

    def __len__(self) -> int:
        return min(self.limit, len(self.dataset))

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        return self.dataset[index]


def make_criterion(config: ModelConfig) -> SetCriterion:
    """Make the published losses for a model: cross entropy with a background class, or else focal loss.

    Args:
        config: of the model; its number of classes and its background class count.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    with_background = isinstance(config, DETRConfig) and config.background_class
    return SetCriterion(config.num_classes, "cross_entropy" if with_background else "focal")


def start(config: TrainingConfig, device: torch.device) -> State:
    """Make the model, its optimizer, and the running average where there is one.

    Args:
        config: of the run.
        device: for the weights.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    model = make_model(config.model).to(device).train()
    average = copy.deepcopy(model).requires_grad_(False) if config.ema_decay else None
    return State(model, make_optimizer(model, config), average)


def to_checkpoint(state: State, config: TrainingConfig) -> dict[str, Any]:
    """Collect everything that a run needs to go on; random numbers follow from seed and step.

    Args:
        state: of the run.
        config: of the run.
    Returns:
        Numbers, text and tensors only, so that reading them back executes nothing.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    return {
        "config": json.dumps(_plain(config)),
        "step": state.step,
        "seconds": state.seconds,
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "average": None if state.average is None else state.average.state_dict(),
    }


def resume(state: State, config: TrainingConfig, path: Path) -> None:
    """Read a checkpoint into a state.

    Args:
        state: of the same configuration; it is overwritten.
        config: of the run now; while the rate of a "step" schedule has not fallen yet, `steps` may be others
            than before.
        path: of the checkpoint.
    Raises:
        ValueError: if the file is damaged, or belongs to a run with another configuration.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    checkpoint = load_checkpoint(path, next(state.model.parameters()).device)
    before, now = _flat(json.loads(checkpoint["config"])), _flat(_plain(config))
    longer = ("steps",) if _rate_never_fell(before, now, checkpoint["step"]) else ()
    may_change = {*NOT_THE_RESULT, *longer}
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name) and name not in may_change:
            raise ValueError(
                f"{path} belongs to a run with {name}={before.get(name)!r}, not {now.get(name)!r}: "
                "name another folder for the new run"
            )
    state.model.load_state_dict(checkpoint["model"])
    state.optimizer.load_state_dict(checkpoint["optimizer"])
    if state.average is not None:
        state.average.load_state_dict(checkpoint["average"])
    state.step, state.seconds = checkpoint["step"], checkpoint["seconds"]


def summarize(state: State, held_out_set: Any, config: TrainingConfig, rows: Sequence[Row]) -> dict[str, Any]:
    """Measure the result on held-out images, and say what it took.

    Args:
        state: at the end of the run.
        held_out_set: images with targets.
        config: of the run.
        rows: of the log, one a step.
    Returns:
        AP and the like, steps, seconds, the part of them spent waiting for data, parameters, versions, and
        the configuration.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    model = _kept(state)
    seconds = [row["seconds"] or 0.0 for row in rows]
    return {
        **_measure(state, held_out_set, config),
        "steps": state.step,
        "seconds": round(state.seconds, 1),
        "data_wait": round(sum(row["data_wait"] or 0.0 for row in rows) / max([1e-9, *seconds]), 4),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "held_out_images": len(held_out_set),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "config": _plain(config),
    }


def to_device(
    batch: PaddedBatch, targets: Sequence[Mapping[str, Any]], device: torch.device
) -> tuple[PaddedBatch, list[dict[str, Any]]]:
    """Move a batch and its targets.

    Args:
        batch: images and mask.
        targets: one an image.
        device: where to.
    Returns:
        Both, on the device.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    pixels, mask = (tensor.to(device, non_blocking=True) for tensor in batch)
    moved = [
        {key: value.to(device) if isinstance(value, Tensor) else value for key, value in target.items()}
        for target in targets
    ]
    return PaddedBatch(pixels, mask), moved


@contextmanager
def join_processes(device: str | None = None) -> Iterator[Processes]:
    """Meet the other processes that `torchrun` started; alone, this is the only one.

    Args:
        device: "cpu", "cuda", ...; None takes a GPU where there is one.
    Source: the documentation of torch.distributed; taught in notebooks/18_training.ipynb.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Processes(0, 1, torch.device(kind))
        return
    if kind == "cuda":
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(kind)
    torch.distributed.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
    try:
        rank, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
        yield Processes(rank, count, torch.device(kind))
    finally:
        torch.distributed.destroy_process_group()


def _agree(done: float, config: TrainingConfig, processes: Processes) -> float:
    """Processes with clocks of their own must stop at the same step: the first one's counts."""
    if processes.count == 1 or config.max_seconds is None:
        return done
    shared = torch.tensor(done, dtype=torch.float64, device=processes.device)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


def _mean_over_processes(numbers: Tensor) -> Tensor:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return numbers
    torch.distributed.all_reduce(numbers)
    return numbers / torch.distributed.get_world_size()


def _from_first(metrics: dict[str, Any], processes: Processes) -> dict[str, Any]:
    if processes.count == 1:
        return metrics
    shared = [metrics]
    torch.distributed.broadcast_object_list(shared, 0)
    return shared[0]


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Seed at will inside; outside, random numbers go on as if nothing had happened."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def _number(*key: int) -> int:
    """A seed that belongs to a tuple of numbers."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, length: int) -> list[int]:
    generator = torch.Generator().manual_seed(_number(seed, epoch))
    return torch.randperm(length, generator=generator).tolist()


def _due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0


def _kept(state: State) -> DETR | DeformableDETR:
    return state.model if state.average is None else state.average


def _measure(state: State, held_out_set: Any, config: TrainingConfig) -> Row:
    """AP and the like; None where no held-out object has such a size."""
    metrics = evaluate(_kept(state), held_out_set, config.batch_size)
    return {name: None if math.isnan(metrics[name]) else metrics[name] for name in APS}


def _show(bar: tqdm, row: Row) -> None:
    shown = {name: f"{value:.3g}" for name in ("loss", *LOSSES) if (value := row[name]) is not None}
    bar.set_postfix(shown, refresh=False)
    bar.update()
    if row["AP"] is not None:
        bar.write(f"step {row['step']}: " + ", ".join(f"{n} {row[n]:.3f}" for n in APS if row[n] is not None))


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def _say_nothing(text: str) -> None:
    del text


def _not_finite(model: nn.Module) -> str:
    """Name the first parameter whose gradient holds NaN or infinity."""
    gradients = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    wrong = [name.removeprefix("module.") for name, gradient in gradients if not gradient.isfinite().all()]
    if not wrong:
        return "the length of the gradient is more than a float can hold"
    return f"the gradient of {wrong[0]} is not finite ({len(wrong)} of {len(gradients)} parameters)"


def _rate_never_fell(before: Mapping[str, Any], now: Mapping[str, Any], step: int) -> bool:
    """Say whether a run of another length would have come to the same weights so far."""
    if now["schedule"] != "step" or now["max_seconds"] is not None or None in (before["steps"], now["steps"]):
        return False
    return step <= DROP_AT * min(before["steps"], now["steps"])


def _open_folder(folder: Path) -> Path:
    """Make the folder of a run; finished weights are never written over by a new run."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / WEIGHTS).exists() and not (folder / CHECKPOINT).exists():
        raise ValueError(f"{folder} holds {WEIGHTS}, and no {CHECKPOINT} to go on from: name another folder")
    return folder


def _plain(config: TrainingConfig) -> dict[str, Any]:
    """The configuration as JSON has it."""
    return json.loads(json.dumps({**asdict(config), "model_class": type(config.model).__name__}))


def _flat(plain: Mapping[str, Any]) -> dict[str, Any]:
    model = {f"model.{name}": value for name, value in plain["model"].items()}
    return {name: value for name, value in plain.items() if name != "model"} | model


def main(arguments: Sequence[str] | None = None) -> None:
    """Train from the command line: what `python -m detr_tutorial.training` does.

    Args:
        arguments: of the command line; None takes the program's own.
    Source: ours; taught in notebooks/18_training.ipynb.
    """
    parser = _parser()
    chosen = vars(parser.parse_args(arguments))
    out, device = chosen.pop("out"), chosen.pop("device")
    try:
        model = _changed(MODELS[chosen.pop("config")], chosen.pop("set"))
        if chosen["steps"] is None and chosen["max_seconds"] is None:
            chosen["steps"] = TrainingConfig.steps
        config = TrainingConfig(model=model, **chosen)
        train(config, out, device=device)
    except KeyboardInterrupt:
        last = out / CHECKPOINT
        advice = f"run it again to go on from {last}" if last.exists() else "there is no checkpoint yet"
        parser.exit(130, f"\n{parser.prog}: interrupted; {advice}\n")
    except (OSError, TypeError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m detr_tutorial.training",
        description="Train a detector. Run the same command again to go on after an interruption.",
    )
    default = TrainingConfig()

    def option(name: str, kind: Callable[[str], Any], text: str, **more: Any) -> None:
        shown = getattr(default, name, None)
        text = f"{text} (default {shown})" if shown is not None else text
        more = {"type": kind, "default": shown, "help": text, **more}
        parser.add_argument(f"--{name.replace('_', '-')}", **more)

    option("out", Path, "folder for checkpoint.pt, log.csv, model.safetensors, metrics.json", required=True)
    option("data", str, "shapes, drawn on the fly, or coco:DIR, a folder in COCO format")
    option("config", str, "sizes of the model (default shapes)", choices=list(MODELS), default="shapes")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="change a field of the model, e.g. num_queries=50 or refine_boxes=false; may be repeated",
    )
    option("steps", int, "steps of the whole run (default 5000)", default=None)
    option("max_seconds", float, "end after so much time; the schedule follows the clock")
    option("batch_size", int, "images a step, over all processes")
    option("learning_rate", float, "full learning rate")
    option("weight_decay", float, "of AdamW")
    option("clip_norm", float, "largest length of the gradient")
    option(
        "schedule",
        str,
        "step: a tenth of the rate in the last fifth; cosine: down to 0",
        choices=["step", "cosine"],
    )
    option("warmup_steps", int, "steps over which the rate rises")
    option("precision", str, "of most of the computation", choices=["float32", "bfloat16"])
    option("ema_decay", float, "keep a running average of the weights, e.g. 0.999")
    option("seed", int, "of weights, images and dropout")
    option("evaluate_every", int, "measure AP every so many steps; 0: at the end only")
    option("evaluate_images", int, "number of held-out images")
    option("checkpoint_every", int, "save every so many steps")
    option("workers", int, "processes that prepare batches ahead")
    option("device", str, "cpu, cuda, ... (default: a GPU where there is one)")
    return parser


def _changed(make: Callable[..., ModelConfig], settings: Sequence[str]) -> ModelConfig:
    """Read FIELD=VALUE, with a value as in JSON; other words are strings."""
    changes: dict[str, Any] = {}
    known = {item.name for item in fields(make())}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            valid = ", ".join(sorted(known))
            raise ValueError(f"--set takes FIELD=VALUE, got {setting!r}; fields are {valid}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        changes[name] = tuple(value) if isinstance(value, list) else value
    return make(**changes)


if __name__ == "__main__":
    main()
