"""How exercises are checked: compare with a slow, plain reference, and say what is wrong in a sentence.

A `Check` holds the reference, a hypothesis strategy that draws its inputs, and the mistakes that people make,
each as a sentence and a function that makes it. When an answer is wrong, the check looks for the mistake that
gives the same wrong numbers on every input, and for the smallest input on which the answer fails. The same
answer gets the same message every time.
"""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import HypothesisException
from matplotlib.figure import Figure
from torch import Tensor

Number = int | float  # the tests check types exactly as they are written
Inputs = Mapping[str, Any]  # the arguments in order; their names appear in messages


@dataclass(frozen=True, eq=False)
class CheckResult:
    """What a check found out.

    Fields:
        passed: True when the answer agrees with the reference on every input.
        message: what to tell the reader.
        mistake: the sentence of the known mistake that the answer makes, if it makes one.
        figure: the answer drawn against the target, when it is wrong and a picture helps.
    """

    passed: bool
    message: str
    mistake: str | None = None
    figure: Figure | None = None

    def __repr__(self) -> str:
        return self.message

    def __bool__(self) -> bool:
        return self.passed

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for line in self.message.splitlines():
            print(
                textwrap.fill(
                    line, 92, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
                )
            )
        if self.figure is not None:
            display(self.figure)


@dataclass(frozen=True, eq=False)
class Check:
    """One exercise's check; calling it with a function gives a `CheckResult`.

    Args:
        name: name of the check, the first word of every message.
        reference: the obvious way to the right answer, loops rather than clever code; its arguments in order
            are the arguments of the reader's function.
        inputs: hypothesis strategy of dicts, argument name to value.
        mistakes: pairs of a sentence for the reader ("you divided x by H") and a function that does that.
        example: one readable input, tried first and used for the picture; all its sizes should be distinct.
        letters: the axes of the answer, such as "(B, Q, M, L, K, 2)", shown when its shape is wrong.
        draw: `draw(inputs, yours, target)` gives a figure for an answer of the right shape with wrong values.
        tolerance: largest absolute or relative difference that passes.
        num_inputs: how many random inputs are tried.
    """

    name: str
    reference: Callable
    inputs: st.SearchStrategy
    mistakes: Sequence[tuple[str, Callable]]
    example: Inputs | None = None
    letters: str = ""
    draw: Callable[[Inputs, Any, Any], Figure] | None = None
    tolerance: float = 1e-4
    num_inputs: int = 30

    def __call__(self, your_function: Any) -> CheckResult:
        if your_function is None or your_function is ...:
            return self._not_written()
        if not callable(your_function):
            raise TypeError(f"{self.name} checks a function, got {type(your_function).__name__}")

        first_wrong = None
        for inputs, target in self._cases:
            answer = _run(your_function, inputs)
            if answer is None or answer is ...:
                return self._not_written()
            if self._differs(answer, target):
                first_wrong = inputs
                break
        if first_wrong is None:
            return CheckResult(True, f"{self.name}: passed on {len(self._cases)} inputs.")

        sentence = self._name_mistake(your_function)
        smallest = self._smallest(your_function, first_wrong)
        message = self._explain(your_function, smallest, sentence)
        return CheckResult(False, message, sentence, self._picture(your_function, first_wrong))

    @cached_property
    def _cases(self) -> list[tuple[Inputs, Any]]:
        """The inputs that every answer is tried on, each with its target."""
        drawn: list[Inputs] = [] if self.example is None else [self._in_order(self.example)]

        @settings(_SETTINGS, max_examples=self.num_inputs, phases=[Phase.generate])
        @given(self.inputs)
        def collect(inputs):
            drawn.append(self._in_order(inputs))

        with _no_files():
            collect()
        return [(inputs, self.reference(**_copy(inputs))) for inputs in drawn]

    def _in_order(self, inputs: Inputs) -> Inputs:
        return {name: inputs[name] for name in signature(self.reference).parameters}

    def _differs(self, answer: Any, target: Any) -> bool:
        return _difference(answer, target, self.tolerance, self.letters) is not None

    def _name_mistake(self, your_function: Callable) -> str | None:
        """The sentence of the first known mistake that does what `your_function` does, on every input."""
        answers = [_run(your_function, inputs) for inputs, _ in self._cases]
        for sentence, wrong_function in self.mistakes:
            same = (
                not self._differs(answer, _run(wrong_function, inputs))
                for answer, (inputs, _) in zip(answers, self._cases, strict=True)
            )
            if all(same):
                return sentence
        return None

    def _smallest(self, your_function: Callable, fallback: Inputs) -> Inputs:
        """The simplest input on which `your_function` is wrong."""

        def is_wrong(inputs: Inputs) -> bool:
            return self._differs(_run(your_function, inputs), self.reference(**_copy(inputs)))

        try:
            with _no_files():
                return find(self.inputs.map(self._in_order), is_wrong, settings=_SETTINGS, random=Random(0))
        except HypothesisException:  # wrong on the example only, or different from call to call
            return fallback

    def _explain(self, your_function: Callable, inputs: Inputs, sentence: str | None) -> str:
        answer, target = _run(your_function, inputs), self.reference(**_copy(inputs))
        start = f"{self.name}: not right yet." + (f" It looks as if {sentence}." if sentence else "")
        if isinstance(answer, Exception):
            shapes = ", ".join(f"{name} {_shape(value) or _digits(value)}" for name, value in inputs.items())
            reason = (str(answer).strip().splitlines() or ["no message"])[0]
            return f"{start} Your function raised {type(answer).__name__}: {reason} (inputs: {shapes})"
        lines = [start, "  smallest input that shows it:"]
        lines += [
            f"    {f'{name} {_shape(value)}'.strip()} = {_digits(value)}" for name, value in inputs.items()
        ]
        difference = _difference(answer, target, self.tolerance, self.letters)
        lines += [f"  {difference}" if difference else "  on another call the same input was right"]
        if _same_layout(answer, target):
            lines += [f"    yours:  {_digits(answer)}", f"    target: {_digits(target)}"]
        return "\n".join(lines)

    def _picture(self, your_function: Callable, inputs: Inputs) -> Figure | None:
        answer, target = _run(your_function, inputs), self.reference(**_copy(inputs))
        if self.draw is None or not _same_layout(answer, target) or not _is_finite(answer):
            return None
        return self.draw(inputs, answer, target)

    def _not_written(self) -> CheckResult:
        return CheckResult(False, f"{self.name}: not written yet.")


def tensors(
    *shape: int, low: Number = -2.0, high: Number = 2.0, denominator: int = 4, simplest: Number = 0.0
) -> st.SearchStrategy:
    """Draw tensors of multiples of 1 / denominator in [low, high]; smallest inputs are near `simplest`."""
    whole = range(round(low * denominator), round(high * denominator) + 1)
    simplest_first = sorted(whole, key=lambda number: (abs(number - simplest * denominator), -number))
    count = math.prod(shape)
    return st.lists(st.sampled_from(simplest_first), min_size=count, max_size=count).map(
        lambda numbers: torch.tensor(numbers, dtype=torch.float32).reshape(shape) / denominator
    )


_ALL_HEALTH_CHECKS: Any = list(HealthCheck)
_SETTINGS = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=_ALL_HEALTH_CHECKS,
)


@contextmanager
def _no_files() -> Iterator[None]:
    """Keep hypothesis from leaving a `.hypothesis` folder next to the reader's notebook."""
    with TemporaryDirectory() as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)


def _copy(value: Any) -> Any:
    """A copy, so that a function that writes into its arguments cannot spoil the next comparison."""
    if isinstance(value, Tensor):
        return value.clone()
    return {name: _copy(item) for name, item in value.items()} if isinstance(value, Mapping) else value


def _run(function: Callable, inputs: Inputs) -> Any:
    """Call by position, as the reader's argument names may differ; an exception is an answer too."""
    try:
        return function(*_copy(inputs).values())
    except Exception as error:
        return error


def _difference(answer: Any, target: Any, tolerance: float, letters: str = "") -> str | None:
    """How `answer` differs from `target`, in one line, or None when they agree."""
    if isinstance(answer, Exception) or isinstance(target, Exception):
        return None if type(answer) is type(target) else "your function raised an error"
    if isinstance(target, tuple):
        if not isinstance(answer, tuple | list) or len(answer) != len(target):
            came = f"{len(answer)} values" if isinstance(answer, tuple | list) else "one value"
            return f"your function returned {came}, expected {len(target)}"
        parts = (_difference(*pair, tolerance, letters) for pair in zip(answer, target, strict=True))
        return next((f"value {i} of {len(target)}: {part}" for i, part in enumerate(parts) if part), None)

    yours, wanted = _as_tensor(answer), _as_tensor(target)
    assert wanted is not None
    if yours is None:
        return f"your function returned {type(answer).__name__}, expected {_kind(wanted)}"
    if yours.shape != wanted.shape:
        wanted_shape = f"{_shape(wanted)} {letters}".strip()
        return f"your answer has shape {_shape(yours)}, the target has {wanted_shape}"
    if yours.numel() == 0 or torch.allclose(yours, wanted, rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    if bool(yours.isnan().any()):
        return "your answer holds NaN"
    return f"largest difference: {(yours - wanted).abs().max().item():.3g}"


def _as_tensor(value: Any) -> Tensor | None:
    try:
        return torch.as_tensor(value).detach().double()
    except (TypeError, ValueError, RuntimeError):
        return None


def _same_layout(answer: Any, target: Any) -> bool:
    if isinstance(target, tuple):
        return (
            isinstance(answer, tuple | list)
            and len(answer) == len(target)
            and all(_same_layout(*pair) for pair in zip(answer, target, strict=True))
        )
    yours, wanted = _as_tensor(answer), _as_tensor(target)
    return yours is not None and wanted is not None and yours.shape == wanted.shape


def _is_finite(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_finite(item) for item in value)
    tensor = _as_tensor(value)
    return tensor is not None and bool(tensor.isfinite().all())


def _kind(target: Tensor) -> str:
    return f"a tensor of shape {_shape(target)}" if target.ndim else "a number"


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else ""


def _digits(value: Any, most: int = 16) -> str:
    """A value in few digits; a large tensor is cut."""
    if isinstance(value, tuple | list):
        opening, closing = "()" if isinstance(value, tuple) else "[]"
        return opening + ", ".join(_digits(item, most) for item in value) + closing
    if isinstance(value, Tensor):
        if value.ndim == 0:
            return _digits(value.item())
        flat = value.detach().flatten().tolist()
        if len(flat) > most:
            return "[" + ", ".join(map(_digits, flat[:most])) + ", ...]"
        return _digits(value.detach().squeeze().tolist())
    return f"{round(value, 6) + 0.0:.4g}" if isinstance(value, float) else str(value)
