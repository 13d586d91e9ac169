"""Weighted sums of named losses, and weights that change with the step."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.training.losses.commitment import commitment_schedule
from speechlm.training.losses.terms import (
    LossTerm,
    Schedule,
    evaluate,
    final_total,
    total_loss,
)

numbers = st.floats(-10, 10)
steps = st.integers(0, 1000)


@given(numbers, steps)
def test_a_number_is_the_same_at_all_steps(number, step):
    assert Schedule.parse(number, "loss.mel")(step) == number


@given(numbers, numbers, steps, st.integers(1, 100))
def test_a_ramp_is_linear_between_its_ends(initial, final, start, length):
    end = start + length
    declared = {"from": initial, "to": final, "start": start, "end": end}
    schedule = Schedule.parse(declared, "loss.mel")
    assert schedule(0) == pytest.approx(initial if start else schedule(start))
    assert schedule(start) == pytest.approx(initial)
    assert schedule(end) == schedule(end + 1000) == final
    values = [schedule(step) for step in range(start, end + 1)]
    for one, other in pairwise(values):
        assert other - one == pytest.approx((final - initial) / length, abs=1e-9)


def test_a_jump():
    schedule = Schedule.parse({"from": 1.0, "to": 0.0, "start": 5, "end": 5}, "loss.mel")
    assert [schedule(step) for step in (0, 4, 5, 6)] == [1, 1, 0, 0]


@pytest.mark.parametrize(
    "value",
    [
        "much",
        True,
        None,
        [1],
        float("nan"),
        {"from": 1, "to": 2},
        {"from": 1, "to": 2, "start": 5, "end": 4},
        {"from": 1, "to": 2, "start": -1, "end": 4},
        {"from": 1, "to": 2, "start": 0.5, "end": 4},
        {"from": 1, "to": "two", "start": 0, "end": 4},
        {"from": 1, "to": 2, "start": 0, "end": 4, "middle": 3},
    ],
)
def test_what_is_no_weight_is_one_line(value):
    with pytest.raises(SpeechLMError, match=r"^loss\.mel: is a number or \{from: x") as error:
        Schedule.parse(value, "loss.mel")
    assert "\n" not in str(error.value)


def constant(value: float) -> Schedule:
    return Schedule.parse(value, "weight")


def test_the_total_is_the_weighted_sum_and_values_are_not_weighted():
    calls: list[str] = []

    def of(name, factor):
        def function(x):
            calls.append(name)
            return factor * x

        return function

    terms = [
        LossTerm("a", constant(2.0), of("a", 1.0)),
        LossTerm("b", Schedule(0.0, 3.0, 10, 20), of("b", 10.0)),
        LossTerm("late", constant(1.0), of("late", 100.0), start=18),
        LossTerm("never", constant(0.0), of("never", 1.0)),
        LossTerm("inapplicable", constant(1.0), lambda x: None),
    ]
    x = torch.tensor(1.0, requires_grad=True)
    for step, expected, names in (
        (0, 2.0, ["a"]),
        (15, 2 + 1.5 * 10, ["a", "b"]),
        (18, 2 + 2.4 * 10 + 100, ["a", "b", "late"]),
    ):
        calls.clear()
        total, values = total_loss(terms, x, step)
        assert total.item() == pytest.approx(expected)
        assert list(values) == calls == names  # nothing without a weight is computed
        assert all(values[name].item() == {"a": 1, "b": 10, "late": 100}[name] for name in values)
        (slope,) = torch.autograd.grad(total, x)
        assert slope.item() == pytest.approx(expected)
    every = {name: float(value) for name, value in evaluate(terms, x).items()}
    assert list(every) == ["a", "b", "late", "never"]
    assert final_total(terms[:3], every) == pytest.approx(2 + 30 + 100)


def test_no_weight_at_all_is_one_line():
    with pytest.raises(SpeechLMError, match=r"at step 3 no term has a weight \(of mel, linear\)"):
        total_loss(
            [LossTerm(name, constant(0), lambda x: x) for name in ("mel", "linear")],
            torch.zeros(()),
            3,
        )


def test_a_term_of_a_part():
    term = LossTerm("square", constant(2.0), lambda x: x.square(), start=3)
    of_pair = term.of(lambda pair: pair[1])
    assert (of_pair.name, of_pair.weight, of_pair.start) == (term.name, term.weight, term.start)
    assert of_pair.function((None, torch.tensor(3.0))) == 9
    assert of_pair.function((None, None)) is None


def test_commitment_warms_up_where_its_weight_is_constant():
    schedule = commitment_schedule(constant(0.5), 0.1, 100)
    assert [schedule(step) for step in (0, 99, 100)] == [0.1, 0.1, 0.5]
    assert commitment_schedule(constant(0.5), 0.1, 0)(0) == 0.5
    ramp = Schedule(0.0, 1.0, 10, 20)
    assert commitment_schedule(ramp, 0.1, 100) == ramp
