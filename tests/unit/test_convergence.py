"""The convergence study that comes with the package: complete, with the outcome that the chapters tell."""

import pytest

from benchmarks.convergence import EVALUATIONS, FIELDS, MODELS
from detr_tutorial.data.convergence import load_convergence
from detr_tutorial.plots.chapter_06 import MODEL_NAMES

STUDY = load_convergence()
DENSE = ("detr_stride_32", "detr_stride_16")


def ap_of(model: str, name: str = "AP") -> list[list[float]]:
    """One list a seed."""
    return [[point[name] for point in run["points"]] for run in STUDY["runs"] if run["model"] == model]


def test_every_model_was_trained_from_three_seeds_and_measured_at_the_same_steps():
    assert {(run["model"], run["seed"]) for run in STUDY["runs"]} == {
        (m, s) for m in MODELS for s in range(3)
    }
    assert len(STUDY["runs"]) == 3 * len(MODELS)
    steps = STUDY["settings"]["steps"]
    wanted = [steps * part // EVALUATIONS for part in range(1, EVALUATIONS + 1)]
    assert all([point["step"] for point in run["points"]] == wanted for run in STUDY["runs"])
    assert set(STUDY["settings"]) == set(FIELDS)
    assert set(MODEL_NAMES) == set(MODELS)


def test_average_precisions_are_parts_of_one_and_minutes_grow_with_the_steps():
    for run in STUDY["runs"]:
        for point in run["points"]:
            assert all(0 <= point[name] <= 1 for name in ("AP", "AP50", "AP75", "APs", "APm", "APl"))
            assert point["AP"] <= point["AP50"]
        minutes = [point["cpu_minutes"] for point in run["points"]]
        assert minutes == sorted(minutes)
        assert minutes[0] > 0


@pytest.mark.parametrize("size", ["AP", "APs", "APm", "APl"])
def test_the_worst_deformable_run_is_ahead_of_the_best_dense_run_at_every_step(size):
    for step in range(EVALUATIONS):
        best_dense = max(run[step] for model in DENSE for run in ap_of(model, size))
        assert min(run[step] for run in ap_of("deformable_base", size)) > best_dense


def test_on_the_dense_models_own_map_deformable_attention_is_ahead_and_finer_maps_bring_more():
    control, dense, finer = (ap_of(m) for m in ("deformable_stride_16", "detr_stride_16", "deformable_base"))
    for step in range(EVALUATIONS):
        assert min(run[step] for run in control) > max(run[step] for run in dense)
        assert min(run[step] for run in finer) > max(run[step] for run in control)
    assert min(run[1] for run in control) > max(run[-1] for model in DENSE for run in ap_of(model))


def test_a_dense_step_is_cheaper_and_the_dense_models_do_learn():
    def minutes(model: str) -> float:
        return max(run["points"][-1]["cpu_minutes"] for run in STUDY["runs"] if run["model"] == model)

    assert max(map(minutes, DENSE)) < minutes("deformable_base")
    assert all(run[-1] > 3 * run[0] for run in ap_of("detr_stride_16"))
