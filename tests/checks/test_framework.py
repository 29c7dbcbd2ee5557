"""The framework behind the exercises, on a small exercise of its own: twice the first minus the second."""

import time

import pytest
import torch
from hypothesis import strategies as st

from detr_tutorial.checks import Check, CheckResult
from detr_tutorial.checks._check import tensors
from detr_tutorial.plots._style import new_figure


def _draw(inputs, yours, target):
    figure, axes = new_figure(3, 2)
    axes[0, 0].plot(yours, target)
    return figure


check = Check(
    name="twice_minus",
    reference=lambda a, b: torch.tensor([2 * x - y for x, y in zip(a.tolist(), b.tolist(), strict=True)]),
    inputs=st.integers(1, 4).flatmap(lambda n: st.fixed_dictionaries({"a": tensors(n), "b": tensors(n)})),
    mistakes=[
        ("you added b instead of subtracting it", lambda a, b: 2 * a + b),
        ("you doubled b too", lambda a, b: 2 * (a - b)),
        ("you put the numbers in a column", lambda a, b: (2 * a - b)[:, None]),
    ],
    example={"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.tensor([0.5, -1.0, 2.0])},
    letters="(N,)",
    draw=_draw,
)


def test_a_right_answer_passes_and_says_on_how_many_inputs():
    result = check(lambda a, b: a + a - b)
    assert result.passed
    assert result
    assert repr(result) == "twice_minus: passed on 31 inputs."
    assert result.figure is None


def test_argument_names_of_the_reader_may_differ():
    assert check(lambda first, second: 2 * first - second).passed


@pytest.mark.parametrize(("sentence", "wrong_function"), check.mistakes)
def test_a_known_mistake_is_named(sentence, wrong_function):
    result = check(wrong_function)
    assert not result.passed
    assert sentence in result.message
    assert result.mistake == sentence


def test_an_unknown_mistake_is_shown_on_its_smallest_input():
    result = check(lambda a, b: 2 * a - b + (a > 1))
    assert result.message.splitlines() == [
        "twice_minus: not right yet.",
        "  smallest input that shows it:",
        "    a (1,) = 1.25",
        "    b (1,) = 0",
        "  largest difference: 1",
        "    yours:  3.5",
        "    target: 2.5",
    ]


def test_the_message_is_the_same_every_time():
    def wrong(a, b):
        return 2 * a - b.abs()

    assert check(wrong).message == check(wrong).message


def test_a_wrong_answer_is_drawn_once_its_shape_is_right():
    assert check(lambda a, b: 2 * a + b).figure is not None
    assert check(lambda a, b: (2 * a - b)[:, None]).figure is None
    assert check(lambda a, b: 2 * a - b + torch.nan).figure is None


@pytest.mark.parametrize("stub", [None, ..., lambda a, b: None, lambda a, b: ...])
def test_a_stub_is_not_written_yet(stub):
    result = check(stub)
    assert not result.passed
    assert result.message == "twice_minus: not written yet."


def test_an_exception_is_one_line_with_the_shapes_of_the_inputs():
    def broken(a, b):
        raise RuntimeError("sizes do not match\nand a second line")

    message = check(broken).message
    assert message.endswith("Your function raised RuntimeError: sizes do not match (inputs: a (1,), b (1,))")
    assert "\n" not in message


def test_a_shape_mismatch_says_both_shapes():
    message = check(lambda a, b: (2 * a - b)[None]).message
    assert "your answer has shape (1, 1), the target has (1,) (N,)" in message


@pytest.mark.parametrize("answer", ["text", {"a": 1}, object()])
def test_an_answer_that_is_no_tensor_is_named(answer):
    assert f"your function returned {type(answer).__name__}" in check(lambda a, b: answer).message


def test_a_nan_is_named():
    assert "your answer holds NaN" in check(lambda a, b: 2 * a - b + torch.nan).message


def test_an_answer_that_writes_into_its_arguments_is_still_compared_fairly():
    def in_place(a, b):
        return a.mul_(2).sub_(b)

    assert check(in_place).passed


def test_an_answer_that_differs_from_call_to_call_is_reported_and_does_not_crash():
    calls = []

    def fickle(a, b):
        calls.append(None)
        return 2 * a - b + len(calls) % 2

    assert not check(fickle).passed


def test_lists_and_integers_count_as_numbers():
    assert check(lambda a, b: [2 * x - y for x, y in zip(a.tolist(), b.tolist(), strict=True)]).passed


def test_something_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match="twice_minus checks a function, got int"):
        check(3)


def test_a_tuple_is_compared_part_by_part():
    pair = Check(
        name="pair",
        reference=lambda a: (a, 2 * a),
        inputs=st.fixed_dictionaries({"a": tensors(2)}),
        mistakes=[("you swapped the two", lambda a: (2 * a, a))],
    )
    assert pair(lambda a: (a, a + a)).passed
    assert "you swapped the two" in pair(lambda a: (2 * a, a)).message
    assert "value 1 of 2" in pair(lambda a: (a, a)).message
    assert "returned one value, expected 2" in pair(lambda a: a).message


def test_a_number_is_an_answer():
    total = Check(
        name="total",
        reference=lambda a: sum(a.tolist()),
        inputs=st.fixed_dictionaries({"a": tensors(3)}),
        mistakes=[],
    )
    assert total(lambda a: a.sum()).passed
    assert "expected a number" in total(lambda a: "text").message


def test_a_long_message_is_wrapped_when_it_is_shown(capsys):
    long_line = "  yours: " + "word " * 40
    CheckResult(False, f"name: not right yet.\n{long_line}")._ipython_display_()
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "name: not right yet."
    assert len(rest) > 1
    assert max(map(len, rest)) <= 92
    assert " ".join(rest).split() == long_line.split()


def test_a_check_leaves_no_files_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check(lambda a, b: a)
    assert list(tmp_path.iterdir()) == []


def test_a_check_takes_less_than_two_seconds():
    start = time.perf_counter()
    check(lambda a, b: 2 * a + b)
    assert time.perf_counter() - start < 2


def test_a_result_shows_its_message_and_its_figure_once(capsys, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    figure, _ = new_figure(3, 2)
    CheckResult(False, "a message", figure=figure)._ipython_display_()
    assert capsys.readouterr().out == "a message\n"
    assert shown == [figure]
