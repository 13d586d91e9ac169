"""The transformer, whole and position by position."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from speechlm.nn import CachedTransformer, PackedSequences, Transformer

DIM = 32


@torch.no_grad()
def transformer(heads: int = 4, kv_heads: int = 2) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(DIM, 2, heads, kv_heads, 48).eval()
    for weight in made.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
    return made


def whole(model: Transformer, x: Tensor) -> Tensor:
    """Outputs for ``x`` (time, dim), which is one example."""
    with torch.no_grad():
        return model(x[None], PackedSequences(torch.zeros(1, len(x), dtype=torch.int64)))[0]


@settings(max_examples=20)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 6))
def test_position_by_position(lengths: list[int], steps: int) -> None:
    """Starts of any lengths, then step by step in a batch: as each sequence at once."""
    model = transformer()
    decoding = CachedTransformer(model).new_state(len(lengths), max(lengths) + steps)
    inputs = [torch.randn(length + steps, DIM) for length in lengths]
    expected = [whole(model, each) for each in inputs]
    found = decoding.prefill([x[:length] for x, length in zip(inputs, lengths, strict=True)])
    for step in range(steps + 1):
        at = [length + step for length in lengths]
        wanted = torch.stack([y[n - 1] for y, n in zip(expected, at, strict=True)])
        assert torch.allclose(found, wanted, atol=1e-5)
        if step < steps:
            found = decoding.step(torch.stack([x[n] for x, n in zip(inputs, at, strict=True)]))
    with pytest.raises(ValueError, match="taken"):
        decoding.step(found)


def test_reset() -> None:
    model = transformer()
    decoding = CachedTransformer(model).new_state(2, 5)
    x = torch.randn(2, 5, DIM)
    decoding.prefill([x[0, :3], x[1, :2]])
    decoding.reset()
    for step in range(5):
        y = decoding.step(x[:, step])
    assert torch.allclose(y, torch.stack([whole(model, each)[-1] for each in x]), atol=1e-5)


@pytest.mark.parametrize("lengths", [[], [3], [0, 2], [2, 9]])
def test_prompts_must_fit(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="prompts of"):
        CachedTransformer(transformer()).new_state(2, 8).prefill(
            [torch.zeros(length, DIM) for length in lengths]
        )


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(1, 7), max_size=4), min_size=1, max_size=3),
    st.integers(0, 3),
)
def test_packing_gives_each_example_alone(layout: list[list[int]], padding: int) -> None:
    time = max(1, *(sum(lengths) for lengths in layout)) + padding
    segments = torch.full((len(layout), time), -1)
    examples = []
    for row, lengths in enumerate(layout):
        at = 0
        for number, length in enumerate(lengths):
            segments[row, at : at + length] = number
            examples.append((row, at, at + length))
            at += length
    packing = PackedSequences(segments)
    x = torch.randn(len(layout), time, 2)
    sums = packing.apply(lambda each: each.cumsum(1), x)
    assert sums.shape == x.shape
    expected = torch.zeros_like(x)
    for row, start, stop in examples:
        expected[row, start:stop] = x[row, start:stop].cumsum(0)
        assert packing.positions[row, start:stop].tolist() == list(range(stop - start))
    assert torch.allclose(sums, expected, atol=1e-5)
    assert int(packing.starts.sum()) == len(examples)


def test_sizes_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="no even number"):
        transformer(heads=3)
    with pytest.raises(ValueError, match="share"):
        transformer(heads=4, kv_heads=3)
