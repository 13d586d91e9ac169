"""Batches beside the step: in order, bounded, and errors where they belong."""

from __future__ import annotations

import threading

import pytest

from speechlm.training.codec import CodecObjective
from speechlm.training.prefetch import DEPTH, prefetched

from .runs import STEPS, recipe, run


def test_batches_come_in_order_from_the_step_of_the_resume():
    with prefetched(lambda step: step * step, 3, 7) as batches:
        assert list(batches) == [9, 16, 25, 36]


def test_the_next_batch_is_made_while_a_step_is_taken():
    made = [threading.Event() for _ in range(3)]

    def batch(step: int) -> int:
        made[step].set()
        return step

    with prefetched(batch, 0, 3) as batches:
        assert next(batches) == 0
        # The step under way takes no batch: one made beside it is the only way to pass.
        assert made[1].wait(timeout=30)


def test_no_more_batches_wait_than_the_bound():
    count = 0
    full = threading.Event()

    def batch(step: int) -> int:
        nonlocal count
        count += 1
        if count == DEPTH + 1:
            full.set()
        return step

    with prefetched(batch, 0, 1000):
        assert full.wait(timeout=30)
    # Those that wait, and one in hand.
    assert count == DEPTH + 1


def test_an_error_is_raised_where_its_batch_is_taken():
    def batch(step: int) -> int:
        if step == 2:
            raise KeyError("corpus")
        return step

    with prefetched(batch, 0, 5) as batches:
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(KeyError, match="corpus"):
            next(batches)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="step"), prefetched(lambda step: step, 0, 1000):
        raise RuntimeError("step")
    assert threading.active_count() == before


def test_a_training_prepares_the_next_batch_during_a_step(corpus, tmp_path, monkeypatch) -> None:
    """Each step waits until the batch of a later one is under way: alone, it never ends."""
    begun = {step: threading.Event() for step in range(STEPS)}
    batch, forward = CodecObjective.batch, CodecObjective.forward
    overlaps = []

    def observed_batch(objective, step):
        begun[step].set()
        return batch(objective, step)

    def observed_forward(objective, data, phase, step):
        if step + 1 < STEPS:
            overlaps.append(begun[step + 1].wait(30))
        return forward(objective, data, phase, step)

    monkeypatch.setattr(CodecObjective, "batch", observed_batch)
    monkeypatch.setattr(CodecObjective, "forward", observed_forward)
    run(recipe(corpus, tmp_path))
    assert overlaps == [True] * (STEPS - 1)
