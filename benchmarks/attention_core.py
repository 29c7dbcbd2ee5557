"""Deformable attention against transformers' own: time, peak memory and differences, in one process.

    python benchmarks/attention_core.py [--quick] [--json PATH]

Prints one table and writes it as JSON. "core" compares `ms_deform_attn` with the module that transformers
calls for the same step; "layer" compares the whole layers, whose linear projections cost the same on both
sides. Calls of all contestants are interleaved, so that whatever disturbs the machine disturbs all; times are
medians.
Memory is the peak of what PyTorch allocates during one forward call, without the inputs.
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
from torch import Tensor
from transformers import DeformableDetrConfig
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrMultiscaleDeformableAttention,
    MultiScaleDeformableAttention,
)

from detr_tutorial.deformable_attention import MSDeformAttn, ms_deform_attn
from detr_tutorial.measure import measure
from detr_tutorial.reference_points import encoder_reference_points

Call = Callable[..., Tensor]
REAL = ((134, 134), (67, 67), (34, 34), (17, 17))  # 23,890 tokens
TOY = ((16, 16), (8, 8), (4, 4))
RATIO_BARS = {  # case: (forward, forward and backward), how many times faster than transformers
    "(a) encoder, B=1": (5.0, 2.0),
    "(a) encoder, B=4": (None, 2.0),
    "(b) decoder, B=4": (6.0, 2.0),
    "(c) toy, B=8": (1.0, 1.0),
}


def reference_points(batch: int, shapes: tuple, queries: int | None, seed: int) -> Tensor:
    """Every token's own center (encoder), or random points (decoder)."""
    if queries is None:
        return encoder_reference_points(shapes, torch.ones(batch, len(shapes), 2))
    points = torch.rand(batch, queries, 1, 2, generator=torch.Generator().manual_seed(seed))
    return points.expand(-1, -1, len(shapes), -1)


def core_inputs(batch: int, shapes: tuple, queries: int | None, heads: int, head_dim: int) -> dict[str, Any]:
    """Random values, points a few cells around their references, and softmax weights."""
    generator = torch.Generator().manual_seed(0)
    tokens, levels, points = sum(h * w for h, w in shapes), len(shapes), 4
    reference = reference_points(batch, shapes, queries, seed=1)
    sizes = torch.tensor([(w, h) for h, w in shapes])[:, None]
    offsets = 3 * torch.randn(batch, reference.shape[1], heads, levels, points, 2, generator=generator)
    logits = torch.randn(batch, reference.shape[1], heads, levels * points, generator=generator)
    return {
        "value": torch.randn(batch, tokens, heads, head_dim, generator=generator),
        "locations": (reference[:, :, None, :, None] + offsets / sizes).contiguous(),
        "weights": logits.softmax(-1).unflatten(-1, (levels, points)),
    }


def core_contestants(shapes: tuple, with_loops: bool) -> dict[str, Call]:
    """Functions of (value, locations, weights), transformers' first."""
    theirs, sizes = MultiScaleDeformableAttention(), torch.tensor(shapes)

    def transformers_core(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return theirs(value, sizes, list(shapes), None, locations, weights, 64)

    def ours(implementation: Any) -> Call:
        return lambda value, locations, weights: ms_deform_attn(
            value, shapes, locations, weights, implementation=implementation
        )

    names = ["auto", "grid_sample", "embedding_bag"] + ["loops"] * with_loops
    return {"transformers": transformers_core} | {name: ours(name) for name in names}


def layer_case(
    batch: int, shapes: tuple, queries: int | None, heads: int, head_dim: int
) -> tuple[dict[str, Call], dict[str, Tensor]]:
    """The whole layers, with the same weights."""
    channels, levels = heads * head_dim, len(shapes)
    torch.manual_seed(0)
    ours = MSDeformAttn(channels, levels, heads)
    config = DeformableDetrConfig(d_model=channels, num_feature_levels=levels)
    theirs = DeformableDetrMultiscaleDeformableAttention(config, heads, 4)
    torch.nn.init.normal_(
        ours.sampling_offsets.weight, std=0.1
    )  # a trained layer looks elsewhere at every query
    torch.nn.init.normal_(ours.attention_weights.weight, std=0.1)
    theirs.load_state_dict(ours.state_dict())
    reference = reference_points(batch, shapes, queries, seed=1)
    tokens, sizes = sum(h * w for h, w in shapes), torch.tensor(shapes)

    def transformers_layer(query: Tensor, memory: Tensor) -> Tensor:
        return theirs(
            query,
            encoder_hidden_states=memory,
            reference_points=reference,
            spatial_shapes=sizes,
            spatial_shapes_list=list(shapes),
        )[0]

    def our_layer(query: Tensor, memory: Tensor) -> Tensor:
        return ours(query, reference, memory, shapes)[0]

    inputs = {
        "query": torch.randn(batch, reference.shape[1], channels),
        "memory": torch.randn(batch, tokens, channels),
    }
    return {"transformers": transformers_layer, "auto": our_layer}, inputs


def compare(case: str, contestants: dict[str, Call], inputs: dict[str, Tensor], repeats: int) -> list[dict]:
    """One row for every contestant."""
    tensors = [tensor.clone().requires_grad_() for tensor in inputs.values()]
    plain = list(inputs.values())
    rows: dict[str, dict[str, Any]] = {name: {"case": case, "contestant": name} for name in contestants}
    forward: dict[str, list[float]] = {name: [] for name in contestants}
    both: dict[str, list[float]] = {name: [] for name in contestants}
    direction = torch.randn_like(contestants["transformers"](*plain))
    results = {}
    for repeat in range(repeats + 1):  # the first is a warm-up
        for name, function in contestants.items():
            if name == "loops" and repeat > 1:
                continue
            with torch.no_grad():
                start = time.perf_counter()
                function(*plain)
                forward[name].append(time.perf_counter() - start)
            if name == "loops":
                continue
            start = time.perf_counter()
            output = function(*tensors)
            gradients = torch.autograd.grad(output, tensors, direction)
            both[name].append(time.perf_counter() - start)
            results[name] = (output.detach(), gradients)
    expected, expected_gradients = results["transformers"]
    for name, row in rows.items():
        row["forward_ms"] = 1e3 * median(forward[name][1:])
        row["forward_times_faster"] = median(forward["transformers"][1:]) / median(forward[name][1:])
        if name in results:
            output, gradients = results[name]
            row["both_ms"] = 1e3 * median(both[name][1:])
            row["both_times_faster"] = median(both["transformers"][1:]) / median(both[name][1:])
            row["max_difference"] = float((output - expected).abs().max())
            row["gradient_difference"] = max(
                float((mine - theirs).norm() / theirs.norm())
                for mine, theirs in zip(gradients, expected_gradients, strict=True)
            )
            row["gradients_finite"] = all(bool(gradient.isfinite().all()) for gradient in gradients)
            with torch.no_grad():
                peak = measure(lambda call=contestants[name]: call(*plain), repeats=1).peak_bytes
            row["peak_MB"] = peak / 1e6
    return list(rows.values())


def show(rows: list[dict]) -> None:
    """Print the table."""
    columns = {
        "case": "<24",
        "contestant": "<14",
        "forward_ms": ">10.1f",
        "forward_times_faster": ">7.1f",
        "both_ms": ">10.1f",
        "both_times_faster": ">7.1f",
        "peak_MB": ">9.1f",
        "max_difference": ">9.0e",
        "gradient_difference": ">10.0e",
    }
    heads = ["case", "contestant", "fwd ms", "faster", "f+b ms", "faster", "peak MB", "max diff", "rel grad"]
    widths = {key: form.split(".")[0] for key, form in columns.items()}
    print(" ".join(format(head, width) for head, width in zip(heads, widths.values(), strict=True)))
    for row in rows:
        cells = (format(row[k], f) if k in row else format("-", widths[k]) for k, f in columns.items())
        print(" ".join(cells))


def verdicts(rows: list[dict]) -> list[dict]:
    """Hold the core's `auto` against what it has to reach."""
    found = []
    by_name = {(row["case"], row["contestant"]): row for row in rows}
    for case, (forward, both) in RATIO_BARS.items():
        row, theirs = by_name[f"core {case}", "auto"], by_name[f"core {case}", "transformers"]
        checks = [
            ("forward, times faster", row["forward_times_faster"], forward, True),
            ("forward + backward, times faster", row["both_times_faster"], both, True),
            ("largest difference", row["max_difference"], 2e-5, False),
            ("relative difference of gradients", row["gradient_difference"], 1e-3, False),
        ]
        if case.startswith("(a)"):
            checks.append(("peak memory, fraction", row["peak_MB"] / theirs["peak_MB"], 0.5, False))
        for what, value, bar, at_least in checks:
            if bar is not None:
                met = value >= bar if at_least else value <= bar
                found.append({"case": case, "what": what, "value": value, "bar": bar, "met": met})
        finite = row["gradients_finite"]
        found.append({"case": case, "what": "gradients finite", "value": finite, "bar": True, "met": finite})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, default=Path("_build/benchmarks/attention_core.json"))
    parser.add_argument("--quick", action="store_true", help="one repeat of everything")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.manual_seed(0)

    rows = []
    cases = [
        ("(a) encoder, B=1", 1, REAL, None, 32, 7),
        ("(a) encoder, B=4", 4, REAL, None, 32, 3),
        ("(b) decoder, B=4", 4, REAL, 300, 32, 15),
        ("(c) toy, B=8", 8, TOY, None, 16, 40),
    ]
    for case, batch, shapes, queries, head_dim, repeats in cases:
        repeats = 1 if options.quick else repeats
        contestants = core_contestants(shapes, with_loops=case.startswith("(c)") and not options.quick)
        inputs = core_inputs(batch, shapes, queries, heads=8, head_dim=head_dim)
        rows += compare(f"core {case}", contestants, inputs, repeats)
        if batch != 4 or queries:
            rows += compare(f"layer {case}", *layer_case(batch, shapes, queries, 8, head_dim), repeats)
    show(rows)
    found = verdicts(rows)
    print()
    for verdict in found:
        mark = "met" if verdict["met"] else "MISSED"
        value, bar = format(verdict["value"], "<8.2g"), format(verdict["bar"], "<6g")
        print(f"{verdict['case']:<18} {verdict['what']:<34} {value} bar {bar} {mark}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    options.json.write_text(json.dumps({"machine": machine, "rows": rows, "verdicts": found}, indent=1))
    print(f"\nwritten to {options.json}")


if __name__ == "__main__":
    main()
