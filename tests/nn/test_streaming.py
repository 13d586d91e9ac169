"""The streaming seam: any chunking gives the offline output, and the state is all there is."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from speechlm.nn import State, state_from_bytes, state_to_bytes

from ..chunks import chunk_sizes, cut
from .modules import Case, cases, run, streamed

close = torch.testing.assert_close
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}
TIMES = st.integers(0, 60)


def flat(state: State) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    return [leaf for child in state for leaf in flat(child)]


@given(case=cases(), steps=TIMES, sizes=chunk_sizes())
@torch.no_grad()
def test_streamed_output_is_the_offline_output(case: Case, steps: int, sizes: list[int]):
    x = case.make(steps)
    close(streamed(case.module, x, sizes), case.module(x), **TOLERANCE)


@given(case=cases(), past=TIMES, future=st.integers(1, 20))
@torch.no_grad()
def test_future_input_never_changes_past_output(case: Case, past: int, future: int):
    x = case.make(past)
    y = case.module(x)
    assert y.shape[-1] == case.ready(past)
    for other in (case.make(future), 1e3 * case.make(future)):
        longer = case.module(torch.cat([x, other], dim=-1))
        close(longer[..., : y.shape[-1]], y, **TOLERANCE)


@given(case=cases(), steps=TIMES, tails=st.tuples(TIMES, TIMES), sizes=chunk_sizes())
@torch.no_grad()
def test_a_stream_forks_from_its_state(
    case: Case, steps: int, tails: tuple[int, int], sizes: list[int]
):
    head = case.make(steps)
    before, state = run(case.module, cut(head, sizes), case.module.initial_state(head))
    stored = state_to_bytes(state)
    copies = [state, copy.deepcopy(state), state_from_bytes(stored)]
    for tail in map(case.make, tails):
        whole = case.module(torch.cat([head, tail], dim=-1))
        for start in copies:
            after, _ = run(case.module, cut(tail, sizes), start)
            close(torch.cat([before, after], dim=-1), whole, **TOLERANCE)
    # A step reads its state and leaves it as it was.
    assert state_to_bytes(state) == stored


@given(case=cases(), steps=TIMES)
def test_a_stored_state_is_the_state(case: Case, steps: int):
    x = case.make(steps)
    with torch.no_grad():
        state = case.module.step(x, case.module.initial_state(x))[1]
    back = state_from_bytes(state_to_bytes(state))
    for one, other in zip(flat(state), flat(back), strict=True):
        close(other, one, atol=0, rtol=0)


def test_states_keep_their_nesting():
    leaf = torch.arange(3)
    for state in ((), ((), (leaf, ())), leaf):
        back = state_from_bytes(state_to_bytes(state))
        assert type(back) is type(state)
        assert [type(child) for child in back] == [type(child) for child in state]


STORED = state_to_bytes((torch.randn(1, 2, 3), (torch.randn(1, 4), ())))


@given(at=st.integers(0, len(STORED) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_a_state_or_a_value_error(at: int, bit: int):
    broken = bytearray(STORED)
    broken[at] ^= 1 << bit
    try:
        state = state_from_bytes(bytes(broken))
    except ValueError:
        return
    assert all(isinstance(leaf, torch.Tensor) for leaf in flat(state))


@given(length=st.integers(0, len(STORED) - 1))
def test_a_truncated_state_is_a_value_error(length: int):
    with pytest.raises(ValueError, match="not a stored streaming state"):
        state_from_bytes(STORED[:length])


def pack(layout: object = (), **tensors: torch.Tensor) -> bytes:
    return save(tensors, metadata={"layout": json.dumps(layout)})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF0000WAVE",
        save({"0": torch.zeros(1)}),
        save({"version": torch.tensor(1)}),
        pack([0]),
        pack([0], version=torch.tensor(1)),
        pack("0", version=torch.tensor(2)),
        pack("no", version=torch.tensor(1)),
        pack({"0": None}, version=torch.tensor(1)),
        save({"version": torch.tensor(1)}, metadata={"layout": "[" * 100_000}),
        save({"version": torch.tensor(1)}, metadata={"layout": "["}),
    ],
)
def test_other_bytes_are_a_value_error(data: bytes):
    with pytest.raises(ValueError, match="not a stored streaming state"):
        state_from_bytes(data)
