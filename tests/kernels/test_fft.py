"""Compiled spectra, against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechlm.kernels.fft import irfft, rfft, twiddles


@settings(deadline=None)
@given(n=st.integers(1, 400), single=st.booleans(), seed=st.integers(0, 1000))
@example(n=320, single=True, seed=0)
@example(n=256, single=False, seed=0)
@example(n=397, single=True, seed=0)  # a prime
def test_there_and_back(n: int, single: bool, seed: int) -> None:
    kind, tolerance = (np.float32, 1e-5) if single else (np.float64, 1e-13)
    random = np.random.default_rng(seed)
    signal = random.standard_normal(2 * n).astype(kind)
    before = signal.copy()
    table = twiddles(n, kind)
    real, imag = rfft(signal, table)
    assert np.array_equal(signal, before)
    expected = np.fft.rfft(signal.astype(np.float64))
    scale = np.linalg.norm(expected)
    assert np.linalg.norm(real + 1j * imag - expected) < tolerance * scale
    assert (real.dtype, imag.dtype) == (kind, kind)
    given = np.stack([real, imag])
    back = irfft(real, imag, table)
    assert np.array_equal(np.stack([real, imag]), given)
    assert np.linalg.norm(back - signal) < tolerance * np.linalg.norm(signal)
    imag[0], imag[-1] = 3, -2  # which real signals do not have
    assert np.array_equal(irfft(real, imag, table), back)
