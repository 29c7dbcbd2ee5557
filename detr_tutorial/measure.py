"""What a piece of code costs: seconds, and the memory it asks for beyond its inputs.

Used where the book compares costs, first in notebooks/12_grid_sample_attention.ipynb; no model needs it.
"""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from torch.profiler import ProfilerActivity, profile


class Cost(NamedTuple):
    """What one call costs."""

    seconds: float  # the fastest of several calls
    peak_bytes: int  # tensors held at the worst moment of one call, without the inputs


def measure(function: Callable[[], Any], repeats: int = 3) -> Cost:
    """Measure one call of `function` on the CPU.

    The time is the smallest of several calls after one that warms up, because everything that disturbs a
    measurement makes it longer. The memory is counted from the allocations that PyTorch reports, so it is the
    same on every run.

    Args:
        function: called without arguments, `repeats` + 2 times.
        repeats: number of timed calls, at least 1.
    Returns:
        Seconds of the fastest call, and the peak of the memory it allocated, in bytes.
    Raises:
        ValueError: if `repeats` is smaller than 1.
    Source: ours; taught in notebooks/12_grid_sample_attention.ipynb.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    peak_bytes = _peak(function)  # also warms up
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return Cost(min(times), peak_bytes)


def _peak(function: Callable[[], Any]) -> int:
    """The largest sum of allocations minus releases during one call."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own log lines would land in the notebook
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        function()
    kineto: Any = record.profiler
    changes = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
