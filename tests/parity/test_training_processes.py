"""Training in two real processes, against training in one."""

import csv
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial.checkpoints import load_pretrained
from detr_tutorial.data.shapes import ShapesDataset, collate
from detr_tutorial.deformable_detr import DeformableDETRConfig
from detr_tutorial.training import TrainingConfig, make_criterion, make_model

ROOT = Path(__file__).resolve().parents[2]
SIZES = {
    "small_channels": (8, 16, 24),
    "num_queries": 7,
    "d_model": 32,
    "num_heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "ffn_dim": 16,
}
IMAGES = [0, 1, 2, 3]
ONE_STEP = """
    import sys
    import torch
    from torch.nn.parallel import DistributedDataParallel
    from detr_tutorial.data.shapes import ShapesDataset, collate
    from detr_tutorial.deformable_detr import DeformableDETRConfig
    from detr_tutorial.training import TrainingConfig, join_processes, make_criterion, start, train_step

    with join_processes("cpu") as processes:
        for two_stage in (False, True):
            torch.manual_seed(0)
            model = DeformableDETRConfig.shapes(**{sizes}, two_stage=two_stage)
            config = TrainingConfig(model=model, clip_norm=1e9)
            state = start(config, processes.device)
            share = {images}[processes.rank :: processes.count]
            batch, targets = collate([ShapesDataset(100, seed=5)[image] for image in share])
            criterion = make_criterion(config.model)
            model = DistributedDataParallel(state.model)
            row = train_step(model, criterion, state.optimizer, batch, targets, config)
            gradients = {{name: p.grad for name, p in state.model.named_parameters()}}
            torch.save((row, gradients), f"{{sys.argv[1]}}/{{two_stage}}-{{processes.rank}}.pt")
"""


def run_two(*arguments: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*launcher, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]


def counts_of_objects(images: list[int]) -> list[int]:
    dataset = ShapesDataset(100, seed=5)
    return [len(dataset[image][1]["labels"]) for image in images]


@pytest.fixture(scope="module")
def steps_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left their steps, of both models: to start them takes longer than to step."""
    folder = tmp_path_factory.mktemp("steps")
    script = folder / "one_step.py"
    script.write_text(textwrap.dedent(ONE_STEP.format(sizes=SIZES, images=IMAGES)))
    run_two(str(script), str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("two_stage", [False, True], ids=["refined", "two-stage"])
def test_two_processes_give_the_gradients_of_one_with_twice_the_batch(steps_of_two, two_stage):
    counts = counts_of_objects(IMAGES)
    assert sum(counts[0::2]) != sum(counts[1::2]), "equal numbers of objects would hide a wrong mean"

    torch.manual_seed(0)
    config = TrainingConfig(model=DeformableDETRConfig.shapes(**SIZES, two_stage=two_stage))
    model, criterion = make_model(config.model).train(), make_criterion(config.model)
    batch, targets = collate([ShapesDataset(100, seed=5)[image] for image in IMAGES])
    loss = criterion.total(criterion(model(batch), targets))
    loss.backward()
    for rank in (0, 1):
        row, gradients = torch.load(steps_of_two / f"{two_stage}-{rank}.pt")
        assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            difference = float((gradients[name] - parameter.grad).norm())
            allowed = 1e-4 * float(parameter.grad.norm()) + 1e-7 * row["grad_norm"]
            assert difference < allowed, f"{name}: {difference:.1e}"


@pytest.mark.slow
def test_the_command_line_gives_the_same_run_in_one_process_and_in_two(tmp_path):
    sizes = [f"--set={name}={list(v) if isinstance(v, tuple) else v}" for name, v in SIZES.items()]
    options = ["--steps=4", "--batch-size=4", "--evaluate-images=4", "--evaluate-every=2", "--workers=0"]
    options += sizes
    module = ["-m", "detr_tutorial.training"]
    run_two(*module, "--out", str(tmp_path / "two"), *options)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    alone = [sys.executable, *module, "--out", str(tmp_path / "one"), *options]
    subprocess.run(alone, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=240)
    logs = []
    for name in ("one", "two"):
        with (tmp_path / name / "log.csv").open(newline="") as file:
            logs.append(list(csv.DictReader(file)))
    assert [row["step"] for row in logs[1]] == ["1", "2", "3", "4"]
    for one, two in zip(*logs, strict=True):
        for column in ("loss", "labels", "boxes", "giou", "cardinality_error", "grad_norm", "learning_rate"):
            assert float(two[column]) == pytest.approx(float(one[column]), rel=2e-3), (one["step"], column)
    models = [load_pretrained(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for (name, one), two in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert_close(two, one, rtol=0, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(
        ["checkpoint.pt", "log.csv", "metrics.json", "model.safetensors"]
    )
