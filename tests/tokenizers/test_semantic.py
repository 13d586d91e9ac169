"""Where in the columns of units a moment of the recording is, whatever form they have."""

from __future__ import annotations

import itertools
from typing import Self

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from speechlm.tokenizers.semantic import FrameUnits, SemanticUnits
from speechlm.tokenizers.serialization import FrameTokens, RunLength, UnitSerialization

UNITS, HOP, RATE = 6, 320, 16000


class Given(FrameUnits):
    """The units that it is given, whatever it hears."""

    name, weights_hash, sample_rate, hop_length, clusters = "given", "0", RATE, HOP, UNITS

    device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Self:
        return self

    def __init__(self, units: np.ndarray):
        self.units = units

    def __call__(self, wave: Tensor) -> Tensor:
        return torch.from_numpy(self.units)


said = st.lists(st.integers(0, UNITS - 1), min_size=1, max_size=40).map(
    lambda each: np.array(each, np.int64)
)


def encoded(
    units: np.ndarray, form: UnitSerialization, num_codebooks: int | None = None
) -> tuple[SemanticUnits, np.ndarray]:
    tokenizer = SemanticUnits(Given(units), form, HOP, num_codebooks)
    return tokenizer, tokenizer.encode(torch.zeros(1, len(units) * HOP))[0].numpy()


@given(said, st.lists(st.floats(-0.1, 1.0), min_size=2, max_size=6).map(sorted))
def test_what_is_between_two_moments_is_between_their_columns(
    units: np.ndarray, seconds: list[float]
) -> None:
    """In runs, to the nearest end of one."""
    lengths = np.diff(np.flatnonzero(np.diff(units, prepend=-1)), append=len(units)).clip(1)
    for form in (FrameTokens(UNITS), RunLength(UNITS)):
        tokenizer, codes = encoded(units, form)
        places = tokenizer.places(codes, seconds)
        assert places is not None
        assert places == sorted(places)
        for (start, stop), (since, until) in zip(
            itertools.pairwise(places), itertools.pairwise(seconds), strict=True
        ):
            kept, lasting = form.read(codes[:, start:stop])
            assert lasting is not None
            before = int(form.read(codes[:, :start])[1].sum())  # type: ignore[union-attr]
            after = before + int(lasting.sum())
            np.testing.assert_array_equal(np.repeat(kept, lasting), units[before:after])
            limit = 0.5 * (1 if form.num_codebooks == 1 else lengths.max()) * HOP / RATE + 1e-6
            end = len(units) * HOP / RATE
            for place, at in ((before, since), (after, until)):
                assert abs(place * HOP / RATE - np.clip(at, 0, end)) <= limit


def test_nobody_can_say_where_a_moment_is_without_durations() -> None:
    units = np.array([0, 0, 1, 2, 2])
    tokenizer, codes = encoded(units, RunLength(UNITS), num_codebooks=1)
    assert tokenizer.places(codes, [0.0, 0.1]) is None
