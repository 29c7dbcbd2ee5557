"""What holds for the checks of all chapters: each names every mistake it knows, and draws what it can."""

import pytest

from detr_tutorial import checks

CHECKS = [value for value in vars(checks).values() if isinstance(value, checks.Check)]


def test_every_module_of_the_checks_has_one_here():
    modules = {name: module for name, module in vars(checks).items() if name.startswith("chapter_")}
    assert modules
    for name, module in modules.items():
        assert any(value in CHECKS for value in vars(module).values()), name


@pytest.mark.parametrize(
    ("check", "sentence", "wrong_function"),
    [
        pytest.param(check, *mistake, id=f"{check.name}-{number}")
        for check in CHECKS
        for number, mistake in enumerate(check.mistakes)
    ],
)
def test_a_known_mistake_is_named_with_its_own_sentence(check, sentence, wrong_function):
    result = check(wrong_function)
    assert not result.passed
    assert result.mistake == sentence
    assert f"It looks as if {sentence}." in result.message
    has_its_shape = "largest difference" in result.message
    assert (result.figure is not None) == (check.draw is not None and has_its_shape)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_two_mistakes_share_a_sentence(check):
    sentences = [sentence for sentence, _ in check.mistakes]
    assert sentences
    assert len(set(sentences)) == len(sentences)
