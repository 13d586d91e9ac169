"""Compiled products, against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.kernels.matvec import compact_matrix, matvec


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 200), st.booleans(), st.integers(0, 1000))
def test_the_product_of_any_matrix(rows, columns, half, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    weight = weight.half().float() if half else weight + 1e-4
    x = torch.randn(columns, generator=generator)
    stored = compact_matrix(weight)
    assert stored.dtype == (np.uint16 if half else np.float32)
    expected = weight.double() @ x.double()
    np.testing.assert_allclose(matvec(stored, x.numpy()), expected, rtol=1e-5, atol=1e-4)
