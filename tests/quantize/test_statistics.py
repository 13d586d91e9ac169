"""Usage and perplexity of codes."""

from __future__ import annotations

import math

import pytest
import torch

from speechlm.quantize import perplexity, usage


def test_against_values_by_hand():
    # Level 0: entries 0, 0, 1, 2 of four; level 1: one entry alone.
    codes = torch.tensor([[[0, 0], [3, 3]], [[1, 2], [3, 3]]])
    assert usage(codes, 4).tolist() == [0.75, 0.25]
    half_and_quarters = math.exp(0.5 * math.log(2) + 2 * 0.25 * math.log(4))
    assert perplexity(codes, 4).tolist() == pytest.approx([half_and_quarters, 1.0])


def test_uniform_use_is_the_cardinality():
    codes = torch.arange(64)[None, None].repeat(3, 2, 5)
    assert usage(codes, 64).tolist() == [1.0, 1.0]
    assert perplexity(codes, 64).tolist() == pytest.approx([64.0, 64.0])


def test_no_codes_have_no_perplexity():
    assert perplexity(torch.zeros(1, 2, 0, dtype=torch.int64), 8).isnan().all()
