"""Compiled positions: the same as those of PyTorch."""

from __future__ import annotations

import pytest
import torch

from speechlm.kernels import numba_available
from speechlm.kernels.cached_transformer import (
    CachedProjection,
    CompiledDecodingState,
    CompiledTransformer,
)
from speechlm.nn import CachedTransformer, Transformer
from tests.tools import require


@pytest.mark.parametrize("half", [False, True])
@torch.no_grad()
def test_compiled_is_what_pytorch_computes(half: bool) -> None:
    """From a prompt on, with weights in single precision, and with such as were stored in half."""
    require(numba_available(), "numba: pip .[live]")
    torch.manual_seed(0)
    model = Transformer(32, 2, 4, 2, 48, rope_theta=300.0).eval()
    for weight in model.parameters():
        weight.add_(0.1 * torch.randn_like(weight))
        if half:
            weight.copy_(weight.half().float())
    compiled, plain = CompiledTransformer(model), CachedTransformer(model)
    assert compiled.blocks[0][1].dtype == ("uint16" if half else "float32")
    both = [each.new_state(1, 20) for each in (compiled, plain)]
    assert isinstance(both[0], CompiledDecodingState)
    assert not isinstance(compiled.new_state(2, 20), CompiledDecodingState)
    x = torch.randn(20, 32)
    for begun in both:
        begun.prefill([x[:5]])
    for position in range(5, 20):
        found, expected = (each.step(x[position, None]) for each in both)
        assert torch.allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="taken"):
        both[0].step(x[:1])
    for begun in both:
        begun.reset()
    found, expected = (each.step(x[:1]) for each in both)
    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
def test_product() -> None:
    weight = torch.randn(7, 5)
    for batch in (1, 3):
        x = torch.randn(batch, 5)
        assert torch.allclose(CachedProjection(weight)(x), x @ weight.t(), atol=1e-5)
