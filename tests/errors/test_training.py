"""What training says when it can not go on: one line that names the reason."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from detr_tutorial import training
from detr_tutorial._run_folder import save_checkpoint
from detr_tutorial.data.shapes import export
from detr_tutorial.deformable_detr import DeformableDETRConfig
from detr_tutorial.training import Positions, Processes, TrainingConfig, make_datasets, train

SIZES: dict[str, Any] = {
    "small_channels": (8, 16, 24),
    "num_queries": 7,
    "d_model": 32,
    "num_heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "ffn_dim": 16,
}
TINY = DeformableDETRConfig.shapes(**SIZES)
CONFIG = TrainingConfig(model=TINY, steps=2, batch_size=2, evaluate_images=2, workers=0)


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"model": "shapes"}, TypeError, "model must be a DeformableDETRConfig or a DETRConfig, got str"),
        ({"data": "imagenet"}, ValueError, 'data must be "shapes" or "coco:DIR", got \'imagenet\''),
        ({"data": "coco:"}, ValueError, 'data must be "shapes" or "coco:DIR"'),
        ({"steps": None}, ValueError, "steps and max_seconds are both None"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.5}, TypeError, "steps must be an int, got float"),
        ({"max_seconds": 0.0}, ValueError, "max_seconds must be greater than 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"learning_rate": -1e-3}, ValueError, "learning_rate must be greater than 0"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be finite"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must be at least 0"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be greater than 0"),
        ({"ema_decay": 1.0}, ValueError, r"ema_decay must be in \[0, 1\), got 1.0"),
        ({"schedule": "linear"}, ValueError, 'schedule must be "step" or "cosine"'),
        ({"precision": "float16"}, ValueError, 'precision must be "float32" or "bfloat16"'),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"workers": -1}, ValueError, "workers must be at least 0"),
        ({"model": replace(TINY, num_classes=5)}, ValueError, "shapes have 6 classes, the model has 5"),
    ],
)
def test_a_field_of_the_configuration_that_can_not_be(fields, error, words):
    with pytest.raises(error, match=words):
        replace(CONFIG, **fields)


def test_a_folder_of_another_run_is_left_alone_and_the_field_is_named(tmp_path):
    train(CONFIG, tmp_path, progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for changes, words in (
        ({"learning_rate": 1e-3}, "a run with learning_rate=0.0004, not 0.001"),
        ({"steps": 9}, "a run with steps=2, not 9"),
        ({"model": replace(TINY, num_queries=8)}, "a run with model.num_queries=7, not 8"),
    ):
        with pytest.raises(ValueError, match=words):
            train(replace(CONFIG, **changes), tmp_path, progress=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_does_not_change_the_result_may_change(tmp_path):
    train(CONFIG, tmp_path, progress=False)
    train(replace(CONFIG, workers=2, checkpoint_every=7, evaluate_every=5), tmp_path, progress=False)


@pytest.mark.parametrize("content", [b"", b"\x80\x02nonsense", "half", "foreign", "hostile"])
def test_a_damaged_or_foreign_checkpoint_is_named_and_not_executed(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    if content == "half":
        train(CONFIG, tmp_path, progress=False)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "foreign":
        torch.save({"model": nn.Linear(2, 3).state_dict()}, path)
    elif content == "hostile":

        class Hostile:
            def __reduce__(self):
                return (tmp_path.joinpath("executed").write_text, ("bad",))

        torch.save({"format": Hostile()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"checkpoint\.pt (can not be read as a|is not a) checkpoint"
    ) as error:
        train(CONFIG, tmp_path, progress=False)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_weights_without_a_checkpoint_are_not_written_over(tmp_path):
    train(CONFIG, tmp_path, progress=False)
    (tmp_path / "checkpoint.pt").unlink()
    weights = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"holds model\.safetensors, and no checkpoint\.pt to go on from"):
        train(replace(CONFIG, seed=3), tmp_path, progress=False)
    assert (tmp_path / "model.safetensors").read_bytes() == weights


def test_a_log_with_other_columns_is_left_alone(tmp_path):
    train(CONFIG, tmp_path, progress=False)
    (tmp_path / "log.csv").write_text("time,value\n1,2\n")
    with pytest.raises(ValueError, match=r"log\.csv does not have the columns step, loss"):
        train(CONFIG, tmp_path, progress=False)
    assert (tmp_path / "log.csv").read_text() == "time,value\n1,2\n"


def test_a_checkpoint_that_can_not_be_written_leaves_the_one_before(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1})
    before = path.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, {"step": lambda: 2})
    assert path.read_bytes() == before


def test_a_batch_that_processes_can_not_share():
    with pytest.raises(ValueError, match="batch_size=5 is not divisible by 2 processes"):
        Positions(5, 0, Processes(0, 2, torch.device("cpu")))


def test_a_coco_folder_without_its_parts(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds neither train/ nor annotations/instances_train2017"):
        make_datasets(replace(CONFIG, data=f"coco:{tmp_path}"))
    export(tmp_path / "train", 2, size=(32, 40))
    with pytest.raises(FileNotFoundError, match="holds neither val/ nor"):
        make_datasets(replace(CONFIG, data=f"coco:{tmp_path}"))


def test_a_model_with_fewer_classes_than_the_data(tmp_path):
    for part in ("train", "val"):
        export(tmp_path / part, 2, size=(32, 40))
    config = TrainingConfig(model=replace(TINY, num_classes=4), data=f"coco:{tmp_path}")
    with pytest.raises(ValueError, match="needs a model with num_classes=6, got 4"):
        make_datasets(config)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "queries=9"], "--set takes FIELD=VALUE, got 'queries=9'; fields are backbone"),
        (["--set", "num_queries"], "--set takes FIELD=VALUE, got 'num_queries'"),
        (["--set", "num_queries=many"], "num_queries must be an int, got str"),
        (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["--data", "coco:/no/such/folder"], "/no/such/folder holds neither train/ nor"),
        (["--config", "huge"], "argument --config: invalid choice: 'huge'"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
    ],
)
def test_the_command_line_ends_with_one_line(tmp_path, capsys, options, words):
    with pytest.raises(SystemExit) as end:
        training.main(["--out", str(tmp_path), *options])
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert words in printed.strip().splitlines()[-1]
    assert "Traceback" not in printed


def test_the_command_line_wants_a_folder(capsys):
    with pytest.raises(SystemExit):
        training.main([])
    assert "--out" in capsys.readouterr().err
