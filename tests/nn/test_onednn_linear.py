"""Products by the other library are products, and so are their gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from speechlm.nn import onednn_linear as module
from speechlm.nn.onednn_linear import OneDNNLinear, onednn_matmul
from tests.tools import require

LARGE = (160, 128, 144)
"""Rows, inner and columns of a product that goes to oneDNN."""


def laid_out(rows: int, columns: int, layout: str) -> Tensor:
    """A matrix in rows, in columns, or in rows or columns with gaps between them."""
    if layout.startswith("columns"):
        return laid_out(columns, rows, layout.replace("columns", "rows")).mT
    return (
        torch.randn(rows, 2 * columns)[:, :columns]
        if "gaps" in layout
        else torch.randn(rows, columns)
    )


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("a_layout", ["rows", "columns", "rows, gaps", "columns, gaps"])
@pytest.mark.parametrize("b_layout", ["rows", "columns", "rows, gaps", "columns, gaps"])
@pytest.mark.parametrize(("rows", "columns"), [(160, 144), (144, 160)])
def test_any_layout(a_layout: str, b_layout: str, rows: int, columns: int) -> None:
    require(module._ONEDNN, "PyTorch with oneDNN")
    a, b = laid_out(rows, 128, a_layout), laid_out(columns, 128, b_layout)
    assert module._uses_onednn(a, b)
    torch.testing.assert_close(
        onednn_matmul(a, b).double(), a.double() @ b.double().mT, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (2, 5, 3), LARGE[:2], (4, 40, 128)])
def test_a_layer_is_torchs_with_its_gradients(shape: tuple[int, ...]) -> None:
    """Of any size, also where nothing is to be multiplied."""
    layer = OneDNNLinear(shape[-1], LARGE[2])
    x = torch.randn(shape, requires_grad=True)
    y, expected = layer(x), F.linear(x, layer.weight)
    slope = torch.randn_like(y)
    torch.testing.assert_close(y, expected)
    for found, wanted in zip(
        torch.autograd.grad(y, (x, layer.weight), slope),
        torch.autograd.grad(expected, (x, layer.weight), slope),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_gradients() -> None:
    """Once and twice, in doubles, which have the same formulas."""
    a = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module._Matmul.apply, (a, b))
    assert torch.autograd.gradgradcheck(module._Matmul.apply, (a, b))


def test_lower_precision_where_it_is_asked_for() -> None:
    a, b = torch.randn(LARGE[:2]), torch.randn(LARGE[2], LARGE[1])
    with torch.autocast("cpu", torch.bfloat16):
        assert onednn_matmul(a, b).dtype == torch.bfloat16
    assert onednn_matmul(a.bfloat16(), b.bfloat16()).dtype == torch.bfloat16
