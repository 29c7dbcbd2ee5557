"""Learning rates, steps, batches, and runs that are stopped, killed and taken up again."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from detr_tutorial import training
from detr_tutorial._run_folder import TrainingLog, load_checkpoint, save_checkpoint, write_atomically
from detr_tutorial.checkpoints import load_pretrained
from detr_tutorial.data.shapes import CLASSES, ShapesDataset, collate, export
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detr import DETR, DETRConfig
from detr_tutorial.training import (
    MODELS,
    Positions,
    Processes,
    Stream,
    TrainingConfig,
    learning_rate_factor,
    make_batches,
    make_criterion,
    make_datasets,
    make_model,
    parameter_groups,
    part_done,
    resume,
    set_learning_rate,
    start,
    to_checkpoint,
    train,
    train_step,
    update_average,
)

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
ALONE = Processes(0, 1, CPU)
SIZES: dict[str, Any] = {
    "small_channels": (8, 16, 24),
    "num_queries": 7,
    "d_model": 32,
    "num_heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "ffn_dim": 16,
}
TINY = DeformableDETRConfig.shapes(**SIZES, num_points=3, dropout=0.1, two_stage=False)
TINY_DETR = DETRConfig.shapes(**SIZES, dropout=0.1)
VARIANTS = {
    "refined": TINY,
    "base": replace(TINY, refine_boxes=False),
    "two-stage": replace(TINY, two_stage=True),
    "single scale": replace(TINY, num_levels=1),
    "DETR with sigmoids": TINY_DETR,
    "DETR with a background class": replace(TINY_DETR, background_class=True),
}
CONFIG = TrainingConfig(model=TINY, steps=6, batch_size=3, evaluate_images=5, workers=0, checkpoint_every=3)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def coco_folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    for part, images, seed in (("train", 7, 1), ("val", 5, 2)):
        export(root / part, images, seed, (40, 56))
    return root


def batch_of(dataset: Any, *positions: int):
    return collate([dataset[position] for position in positions])


def assert_same_state(got: nn.Module, expected: nn.Module) -> None:
    for (name, tensor), other in zip(got.state_dict().items(), expected.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name


def without_clock(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "data_wait")} for row in rows]


class StopError(Exception):
    """Stands for whatever may end a run."""


def stop_after(step: int):
    def callback(row: dict[str, Any]) -> None:
        if row["step"] == step:
            raise StopError

    return callback


# Which parameter learns how fast


@pytest.mark.parametrize("name", MODELS)
def test_every_trainable_parameter_is_in_exactly_one_group(name):
    with torch.device("meta"):
        model = make_model(MODELS[name]())
    groups = parameter_groups(model, 2e-4, 0.1)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    trainable = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == set(trainable)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("detr")])
def test_sampling_offsets_and_reference_points_learn_at_a_tenth_of_the_rate(name):
    with torch.device("meta"):
        model = make_model(MODELS[name]())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in parameter_groups(model, 2e-4, 0.1)
        for parameter in group["params"]
    }
    slow = {name for name in rates if "sampling_offsets" in name or "reference_points" in name}
    config: Any = MODELS[name]()
    attentions = config.encoder_layers + config.decoder_layers
    assert len(slow) == 2 * attentions + (0 if config.two_stage else 2)
    for parameter, rate in rates.items():
        expected = 2e-5 if parameter in slow or parameter.startswith("backbone.") else 2e-4
        assert rate == pytest.approx(expected), parameter


def test_frozen_parameters_are_in_no_group():
    model: Any = make_model(TINY)
    model.backbone.stem.requires_grad_(False)
    grouped = {id(p) for group in parameter_groups(model, 1e-3, 1.0) for p in group["params"]}
    assert not grouped & {id(p) for p in model.backbone.stem.parameters()}


def test_only_a_backbone_with_imagenet_weights_learns_slowly():
    groups = {group["name"]: group["lr"] for group in start(CONFIG, CPU).optimizer.param_groups}
    assert groups == pytest.approx({"main": 4e-4, "backbone": 4e-4, "slow": 4e-5})


@pytest.mark.parametrize("schedule", ["step", "cosine"])
def test_the_schedules_are_those_of_torch(schedule):
    config = replace(CONFIG, steps=20, schedule=schedule)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    if schedule == "step":
        oracle: Any = torch.optim.lr_scheduler.StepLR(optimizer, step_size=16)
    else:
        oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        factor = learning_rate_factor(config, step, part_done(config, step, 1e9))
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"]), step
        optimizer.step()
        oracle.step()


def test_warmup_rises_to_the_full_rate():
    config = replace(CONFIG, steps=100, warmup_steps=4)
    assert [learning_rate_factor(config, step, 0.0) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_every_group_follows_the_schedule_from_its_own_rate():
    optimizer = start(CONFIG, CPU).optimizer
    for factor in (0.5, 0.1):
        set_learning_rate(optimizer, factor)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx({"main": 4e-5, "backbone": 4e-5, "slow": 4e-6})


def test_the_run_ends_by_steps_or_by_the_clock_whichever_is_ahead():
    config = replace(CONFIG, steps=10, max_seconds=20.0)
    assert part_done(config, 4, 2.0) == pytest.approx(0.4)
    assert part_done(config, 4, 15.0) == pytest.approx(0.75)
    assert part_done(replace(config, steps=None), 4, 5.0) == pytest.approx(0.25)


# One step


def test_a_step_does_what_plain_adamw_does_by_hand():
    config = replace(CONFIG, model=replace(TINY, dropout=0.0))
    torch.manual_seed(3)
    state = start(config, CPU)
    by_hand: Any = make_model(config.model)
    by_hand.load_state_dict(state.model.state_dict())
    criterion = make_criterion(config.model)
    slow = [p for n, p in by_hand.named_parameters() if "sampling_offsets" in n or "reference_points" in n]
    others = [p for p in by_hand.parameters() if all(p is not other for other in slow)]
    groups: list[dict[str, Any]] = [{"params": others}, {"params": slow, "lr": 4e-5}]
    plain = torch.optim.AdamW(groups, lr=4e-4, weight_decay=1e-4, foreach=False)
    shapes = ShapesDataset(20, seed=5)
    for first in (0, 3, 6):
        batch, targets = batch_of(shapes, first, first + 1, first + 2)
        row = train_step(state.model, criterion, state.optimizer, batch, targets, config)
        plain.zero_grad()
        loss = criterion.total(criterion(by_hand(batch), targets))
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in by_hand.parameters() if p.grad is not None]).norm()
        for parameter in by_hand.parameters():
            assert parameter.grad is not None
            parameter.grad *= min(1.0, 0.1 / float(norm))
        plain.step()
        assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert row["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
        assert row["learning_rate"] == pytest.approx(4e-4)
    for (name, got), expected in zip(state.model.named_parameters(), by_hand.parameters(), strict=True):
        assert_close(got, expected, rtol=1e-4, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("images", [(0, 1), "empty"])
def test_every_parameter_gets_a_gradient(name, images):
    """DistributedDataParallel waits forever, or complains, where one gets none."""
    torch.manual_seed(0)
    config = replace(CONFIG, model=VARIANTS[name])
    state = start(config, CPU)
    batch, targets = batch_of(ShapesDataset(20, seed=5), 0, 1)
    if images == "empty":
        targets = [{"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}] * 2
    train_step(state.model, make_criterion(config.model), state.optimizer, batch, targets, config)
    missing = [n for n, p in state.model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


@pytest.mark.parametrize("name", VARIANTS)
def test_a_step_in_bfloat16_keeps_weights_and_losses_in_float32(name):
    torch.manual_seed(0)
    exact_config = replace(CONFIG, model=replace(VARIANTS[name], dropout=0.0))
    half_config = replace(exact_config, precision="bfloat16")
    batch, targets = batch_of(ShapesDataset(20, seed=5), 0, 1)
    rows = []
    for config in (exact_config, half_config):
        torch.manual_seed(0)
        state = start(config, CPU)
        criterion = make_criterion(config.model)
        rows.append(train_step(state.model, criterion, state.optimizer, batch, targets, config))
        assert all(p.dtype == torch.float32 for p in state.model.parameters())
    assert rows[0]["loss"] != rows[1]["loss"]
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=0.03)


def test_a_gradient_that_is_not_finite_is_named_and_changes_no_weight():
    state = start(CONFIG, CPU)
    before = make_model(TINY)
    before.load_state_dict(state.model.state_dict())
    name = "decoder.layers.1.ffn.expand.weight"
    state.model.get_parameter(name).register_hook(lambda gradient: gradient * float("nan"))
    batch, targets = batch_of(ShapesDataset(20, seed=5), 0, 1)
    with pytest.raises(ValueError, match=r"gradient of decoder\.layers\.1\.ffn\.expand\.weight is not"):
        train_step(state.model, make_criterion(TINY), state.optimizer, batch, targets, CONFIG)
    assert_same_state(state.model, before)


def test_detections_that_are_not_finite_name_the_layer_and_the_step_and_spare_the_checkpoint(
    tmp_path, monkeypatch
):
    def spoil(row: dict[str, Any]) -> None:
        if row["step"] == 4:
            models[0].decoder.class_heads[1].bias.data.fill_(float("nan"))

    models: list[Any] = []
    make = training.make_model
    monkeypatch.setattr(training, "make_model", lambda config: models.append(make(config)) or models[-1])
    with pytest.raises(ValueError, match=r"^step 5: decoder layer 1: logits hold NaN"):
        train(CONFIG, tmp_path, callback=spoil, progress=False)
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt", CPU)
    assert checkpoint["step"] == 3
    assert all(tensor.isfinite().all() for tensor in checkpoint["model"].values())


def test_the_running_average_follows_the_weights():
    torch.manual_seed(0)
    average, model = nn.Linear(3, 2), nn.Linear(3, 2)
    expected = average.weight.detach().clone()
    for step in (1, 2, 90, 5000):
        model.weight.data += 1
        decay = min(0.99, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
        update_average(average, model, 0.99, step)
    assert_close(average.weight.detach(), expected)


# Batches


def test_an_endless_stream_gives_every_item_once_in_each_round_and_each_round_in_another_order():
    stream = Stream([(torch.tensor(index), {}) for index in range(11)], seed=4, shuffled=True)
    rounds = [[int(stream[11 * epoch + place][0]) for place in range(11)] for epoch in range(3)]
    assert all(sorted(order) == list(range(11)) for order in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    again = Stream(stream.dataset, seed=4, shuffled=True)
    assert [int(again[place][0]) for place in range(22)] == rounds[0] + rounds[1]
    other = Stream(stream.dataset, seed=5, shuffled=True)
    assert [int(other[place][0]) for place in range(11)] != rounds[0]


def test_random_numbers_of_an_item_depend_on_its_position_alone():
    class Augmented:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int):
            return torch.rand(2) + index, {}

    stream = Stream(Augmented(), seed=4, shuffled=False)
    first = [stream[position][0] for position in range(10)]
    torch.manual_seed(123)
    assert all(torch.equal(stream[position][0], first[position]) for position in (7, 2, 9))
    assert not torch.equal(first[2] - 2, first[7] - 2)
    state = torch.get_rng_state()
    stream[3]
    assert torch.equal(torch.get_rng_state(), state)


def test_processes_share_a_batch_without_gap_or_overlap():
    alone = iter(Positions(6, 5, ALONE))
    shared = [iter(Positions(6, 5, Processes(rank, 3, CPU))) for rank in range(3)]
    for _ in range(4):
        assert next(alone) == [position for share in shared for position in next(share)]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_the_same_however_they_are_prepared(workers):
    config = replace(CONFIG, workers=workers, seed=2)
    batches = make_batches(make_datasets(config)[0], config, 4, ALONE)
    for step in (4, 5, 6):
        batch, targets = next(batches)
        images = ShapesDataset(100, seed=2)
        expected, expected_targets = batch_of(images, 3 * step, 3 * step + 1, 3 * step + 2)
        assert torch.equal(batch.pixels, expected.pixels)
        for target, other in zip(targets, expected_targets, strict=True):
            assert torch.equal(target["boxes"], other["boxes"])


def test_no_run_trains_on_held_out_images():
    train_set, held_out = make_datasets(CONFIG)
    assert not torch.equal(train_set[0][0], held_out[0][0])
    with pytest.raises(ValueError, match="held-out"):
        TrainingConfig(seed=training.HELD_OUT_SEED)


def test_a_folder_in_coco_format_is_trained_on_and_measured_on(coco_folder):
    sizes = replace(TINY, short_side=80, max_side=128)
    config = replace(CONFIG, model=sizes, data=f"coco:{coco_folder}", evaluate_images=4, steps=3)
    train_set, held_out = make_datasets(config)
    assert len(held_out) == 4
    assert held_out.classes == CLASSES
    images = [train_set[position][1]["image_id"] for position in range(14)]
    assert sorted(images) == sorted(2 * list(range(1, 8)))
    sizes_seen = {tuple(train_set[position][0].shape[1:]) for position in range(14)}
    assert len(sizes_seen) > 1, "no augmentation"
    result = train(config, progress=False)
    assert result.metrics["held_out_images"] == 4
    assert_same_state(train(replace(config, workers=2), progress=False).model, result.model)


def test_a_folder_laid_out_as_coco_keeps_the_official_category_ids(coco_folder, tmp_path):
    (tmp_path / "annotations").mkdir()
    for part in ("train", "val"):
        (tmp_path / f"{part}2017").symlink_to(coco_folder / part / "images")
        written = (coco_folder / part / "annotations.json").read_text()
        (tmp_path / "annotations" / f"instances_{part}2017.json").write_text(written)
    config = replace(CONFIG, data=f"coco:{tmp_path}", model=replace(TINY, num_classes=7))
    train_set, held_out = make_datasets(config)
    assert held_out.classes == ("0", *CLASSES)
    assert {label for p in range(7) for label in train_set[p][1]["labels"].tolist()} <= set(range(1, 7))


# Runs


def test_training_lowers_the_loss():
    config = replace(CONFIG, steps=25, learning_rate=2e-3, model=replace(TINY, dropout=0.0), batch_size=4)
    history = train(config, progress=False).history
    losses = [row["loss"] for row in history]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("model", [TINY, TINY_DETR], ids=["deformable", "DETR"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, model, ema_decay):
    config = replace(CONFIG, model=model, ema_decay=ema_decay, evaluate_every=4, schedule="cosine")
    straight = train(config, tmp_path / "straight", progress=False)
    with pytest.raises(StopError):
        train(config, tmp_path / "stopped", callback=stop_after(5), progress=False)
    assert load_checkpoint(tmp_path / "stopped/checkpoint.pt", CPU)["step"] == 3
    torch.manual_seed(99)  # what happens in between does not matter
    resumed = train(config, tmp_path / "stopped", progress=False)
    assert_same_state(resumed.model, straight.model)
    assert without_clock(resumed.history) == without_clock(straight.history)
    assert [row["step"] for row in resumed.history] == [1, 2, 3, 4, 5, 6]
    files = [load_checkpoint(tmp_path / name / "checkpoint.pt", CPU) for name in ("straight", "stopped")]
    assert_close(files[0]["model"], files[1]["model"], rtol=0, atol=0)
    for moments in zip(*(file["optimizer"]["state"].values() for file in files), strict=True):
        assert_close(*moments, rtol=0, atol=0)
    for name in ("log.csv", "model.safetensors", "metrics.json"):
        assert (tmp_path / "stopped" / name).exists()


def test_a_run_may_become_longer_before_its_rate_has_fallen(tmp_path):
    straight = train(CONFIG, progress=False)
    with pytest.raises(StopError):
        train(replace(CONFIG, steps=4), tmp_path, callback=stop_after(4), progress=False)
    longer = train(CONFIG, tmp_path, progress=False)
    assert_same_state(longer.model, straight.model)
    assert without_clock(longer.history) == without_clock(straight.history)


@pytest.mark.parametrize(
    ("step", "changes"), [(81, {}), (20, {"schedule": "cosine"}), (20, {"max_seconds": 1e6})]
)
def test_a_run_may_not_become_longer_after_its_rate_has_fallen(tmp_path, step, changes):
    config = replace(CONFIG, steps=100, **changes)
    state = start(config, CPU)
    state.step = step
    save_checkpoint(tmp_path / "checkpoint.pt", to_checkpoint(state, config))
    resume(state, config, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="a run with steps=100, not 200"):
        resume(state, replace(config, steps=200), tmp_path / "checkpoint.pt")


def test_a_finished_run_that_becomes_longer_measures_again(tmp_path):
    config = replace(CONFIG, steps=4)  # its rate falls after the fourth step
    train(config, tmp_path, progress=False)
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt", CPU)
    with pytest.raises(StopError):
        train(config, tmp_path / "stopped", callback=stop_after(4), progress=False)
    assert load_checkpoint(tmp_path / "stopped/checkpoint.pt", CPU)["step"] == 3 < checkpoint["step"]
    (tmp_path / "stopped/checkpoint.pt").rename(tmp_path / "checkpoint.pt")
    longer = train(CONFIG, tmp_path, progress=False)
    assert longer.metrics["steps"] == 6
    assert json.loads((tmp_path / "metrics.json").read_text())["steps"] == 6


def test_dropout_differs_from_step_to_step():
    """Else the test above could not tell a forgotten random state."""
    config = replace(CONFIG, steps=2)
    with_dropout = train(config, progress=False)
    without = train(replace(config, model=replace(TINY, dropout=0.0)), progress=False)
    assert with_dropout.history[0]["loss"] != without.history[0]["loss"]
    assert training._number(0, 1, 0) != training._number(0, 2, 0)


def test_the_result_is_the_running_average_and_its_file_holds_it(tmp_path):
    config = replace(CONFIG, ema_decay=0.9, steps=3)
    result = train(config, tmp_path, progress=False)
    checkpoint = load_checkpoint(tmp_path / "checkpoint.pt", CPU)
    weight = "decoder.layers.0.ffn.expand.weight"
    assert torch.equal(result.model.state_dict()[weight], checkpoint["average"][weight])
    assert not torch.equal(checkpoint["average"][weight], checkpoint["model"][weight])
    assert not result.model.training
    assert_same_state(load_pretrained(tmp_path / "model.safetensors"), result.model)


def test_a_finished_run_says_so_and_gives_its_result_again(tmp_path, capsys):
    result = train(replace(CONFIG, steps=3), tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = train(replace(CONFIG, steps=3), tmp_path)
    assert "holds a finished run of 3 steps: nothing is left to do" in capsys.readouterr().err
    assert again.metrics == result.metrics
    assert again.history == result.history
    assert_same_state(again.model, result.model)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_run_that_was_killed_between_the_last_step_and_the_result_measures_again(tmp_path):
    result = train(replace(CONFIG, steps=3), tmp_path, progress=False)
    for name in ("metrics.json", "model.safetensors"):
        (tmp_path / name).unlink()
    again = train(replace(CONFIG, steps=3), tmp_path, progress=False)
    assert again.metrics == result.metrics
    assert (tmp_path / "model.safetensors").exists()


def test_a_run_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(replace(CONFIG, steps=1), progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_the_log_holds_ap_at_intervals_and_metrics_hold_it_at_the_end(tmp_path):
    result = train(replace(CONFIG, steps=5, evaluate_every=2), tmp_path, progress=False)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["AP"]] == ["2", "4"]
    assert [row["AP50"] is not None for row in result.history] == [False, True, False, True, False]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == result.metrics
    assert metrics["steps"] == 5
    assert metrics["config"]["model"]["d_model"] == 32
    assert 0 <= metrics["data_wait"] <= 1


def test_a_run_on_the_clock_ends_on_time_at_the_end_of_its_schedule():
    config = replace(CONFIG, steps=None, max_seconds=1.5, schedule="cosine")
    history = train(config, progress=False).history
    assert len(history) > 3
    assert history[-2]["seconds"] < 1.5 <= history[-1]["seconds"]
    rates = [row["learning_rate"] for row in history]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.3 * rates[0]


# Whatever happens to the process


def test_a_process_killed_in_the_middle_of_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))
    child = os.fork()
    if child == 0:

        def write_half(file):
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

        write_atomically(path, write_half)
    os.waitpid(child, 0)
    assert path.read_bytes() == b"old"
    write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


KILLED_AGAIN_AND_AGAIN = """
    import os, random, signal, sys, time
    from dataclasses import replace
    from pathlib import Path
    import torch
    from detr_tutorial.deformable_detr import DeformableDETRConfig
    from detr_tutorial.training import TrainingConfig, train
    from detr_tutorial._run_folder import load_checkpoint

    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    model = DeformableDETRConfig.shapes(
        small_channels=(8, 16, 24), num_queries=7, d_model=32, num_heads=2, encoder_layers=1,
        decoder_layers=2, ffn_dim=16, dropout=0.1,
    )
    config = TrainingConfig(
        model=model, steps=20, batch_size=2, evaluate_images=4, workers=0, checkpoint_every=1
    )
    moments, kills, last = random.Random(1), 0, 0

    def written():
        try:
            return os.stat(folder / "killed/checkpoint.pt").st_mtime_ns
        except FileNotFoundError:
            return None

    while True:
        child = os.fork()
        if child == 0:
            train(config, folder / "killed", progress=False)
            os._exit(0)
        # Killed after one to three checkpoints, or while it starts, and then a little later, in the middle of
        # whatever it does.
        wanted, before = moments.choice([0, 1, 2, 3]), written()
        seen = set()
        while len(seen) < wanted and os.waitpid(child, os.WNOHANG) == (0, 0):
            seen |= {written()} - {before}
            time.sleep(0.0005)
        time.sleep(moments.uniform(0, 0.03))
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills += 1
        except (ProcessLookupError, ChildProcessError):
            break
        if (folder / "killed/checkpoint.pt").exists():
            step = load_checkpoint(folder / "killed/checkpoint.pt", torch.device("cpu"))["step"]
            assert step >= last, (step, last)
            last = step
        assert kills < 200
    train(config, folder / "straight", progress=False)
    print(kills)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    script = textwrap.dedent(KILLED_AGAIN_AND_AGAIN)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    weights = [load_pretrained(tmp_path / name / "model.safetensors") for name in ("killed", "straight")]
    assert_same_state(weights[0], weights[1])
    logs = []
    for name in ("killed", "straight"):
        with TrainingLog(tmp_path / name / "log.csv", training.COLUMNS, 20) as log:
            logs.append(without_clock(log.rows))
    assert logs[0] == logs[1]
    assert [row["step"] for row in logs[0]] == list(range(1, 21))


def command(out: Path, *more: str) -> list[str]:
    sizes = [f"--set={name}={list(v) if isinstance(v, tuple) else v}" for name, v in SIZES.items()]
    options = ["--out", str(out), "--batch-size=2", "--evaluate-images=4", *more]
    return [sys.executable, "-m", "detr_tutorial.training", *options, *sizes]


def test_ctrl_c_ends_with_one_clear_line_and_the_same_command_goes_on(tmp_path):
    out = tmp_path / "run"
    arguments = command(out, "--steps=100000", "--checkpoint-every=2")
    pipes: dict[str, Any] = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # A shell starts its background jobs deaf to Ctrl-C, and their children inherit that.
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(arguments, cwd=ROOT, start_new_session=True, preexec_fn=listen, **pipes)
    try:
        deadline = time.monotonic() + 120
        while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(random.Random(0).uniform(0, 0.3))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        printed, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130, errors
    last = errors.strip().splitlines()[-1]
    assert last.endswith(f"training: interrupted; run it again to go on from {out}/checkpoint.pt")
    assert "Traceback" not in errors + printed
    assert load_checkpoint(out / "checkpoint.pt", CPU)["step"] >= 2


def test_the_command_line_sets_every_field_of_the_configuration(monkeypatch, tmp_path):
    seen: list[Any] = []
    monkeypatch.setattr(training, "train", lambda config, out, device: seen.append((config, out, device)))
    options = "--config detr_shapes --set num_queries=9 --set small_channels=[8,16,24] --set backbone=small"
    options += " --max-seconds 5 --schedule cosine --precision bfloat16 --learning-rate 1e-3 --seed 3"
    training.main([*options.split(), "--out", str(tmp_path), "--device", "cpu"])
    model = DETRConfig.shapes(num_queries=9, small_channels=(8, 16, 24))
    expected = TrainingConfig(
        model=model, steps=None, max_seconds=5.0, schedule="cosine", precision="bfloat16"
    )
    assert seen == [(replace(expected, learning_rate=1e-3, seed=3), tmp_path, "cpu")]
    training.main(["--out", str(tmp_path)])
    assert seen[1] == (TrainingConfig(), tmp_path, None)


def test_help_lists_every_field_of_the_configuration(capsys):
    with pytest.raises(SystemExit) as end:
        training.main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for name in TrainingConfig.__dataclass_fields__:
        if name != "model":
            assert f"--{name.replace('_', '-')}" in text, name


# The log


def test_a_resumed_log_drops_rows_after_the_checkpoint_and_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "log.csv"
    with TrainingLog(path, ("step", "loss", "AP"), 0) as log:
        for step in (1, 2, 3):
            log.write({"step": step, "loss": step / 3, "AP": None})
    with path.open("a") as file:
        file.write("4,0.1")
    with TrainingLog(path, ("step", "loss", "AP"), 2) as log:
        log.write({"step": 3, "loss": 9.0, "AP": 0.5})
        assert [row["loss"] for row in log.rows] == [0.333333, 0.666667, 9.0]
    assert path.read_text() == "step,loss,AP\n1,0.333333,\n2,0.666667,\n3,9,0.5\n"


def test_a_log_without_a_checkpoint_starts_anew(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,2\n")
    with TrainingLog(path, ("step", "AP"), 0):
        pass
    assert path.read_text() == "step,AP\n"


# The clock


@pytest.mark.timing
def test_training_never_waits_for_data():
    config = TrainingConfig(steps=12)
    history = train(replace(config, evaluate_images=1), progress=False).history
    seconds = history[-1]["seconds"] - history[1]["seconds"]
    waits = sum(row["data_wait"] for row in history[2:])
    assert waits < 0.05 * seconds, f"{waits / seconds:.1%} of the time"


def test_configs_name_the_models_of_both_papers():
    assert isinstance(make_model(TINY), DeformableDETR)
    assert isinstance(make_model(TINY_DETR), DETR)
