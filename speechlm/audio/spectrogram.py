"""Power spectra of waveforms, and pictures of them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy.signal import get_window

from speechlm.types import Wave

PICTURE_HEIGHT = 128
PIXELS_A_SECOND = 80
PICTURE_WIDTHS = (160, 480)
RANGE_DB = 75.0
SHADES = 48
# Magma (Nathaniel Smith and Stefan van der Walt, CC0) at nine points: even to the eye, in grey too.
MAGMA = (
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
)  # fmt: skip


def power_spectrum(wave: Wave, window: int, hop_length: int) -> NDArray[np.floating[Any]]:
    """``wave`` (samples,) -> power (frames, window // 2 + 1), Hann window, ends padded by zeros."""
    padded = np.pad(wave, (window // 2, window // 2 + hop_length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop_length]
    return np.square(np.abs(np.fft.rfft(frames * get_window("hann", window))))


def spectrogram(wave: Wave, rate: int, peak: float) -> bytes:
    """A PNG of the power spectrum of ``wave``, linear in frequency, 75 dB below ``peak`` upwards.

    ``peak`` is the original's largest power, so that all pictures of a clip share one scale.
    """
    power = power_spectrum(wave, *_window(rate))
    low, high = PICTURE_WIDTHS
    width = int(np.clip(len(wave) / rate * PIXELS_A_SECOND, low, high))
    shrunk = _averaged(_averaged(power, width).T, PICTURE_HEIGHT)[::-1]
    level = 10 * np.log10(np.maximum(shrunk / peak, 1e-12))
    shade = np.clip((level + RANGE_DB) / RANGE_DB, 0, 1) * (SHADES - 1)
    return _png(np.ascontiguousarray(shade.round().astype(np.uint8)))


def loudest(wave: Wave, rate: int) -> float:
    """The ``peak`` of a clip's pictures."""
    return float(power_spectrum(wave, *_window(rate)).max()) or 1.0


def _window(rate: int) -> tuple[int, int]:
    window = 2 * round(0.016 * rate / 2)
    return window, window // 4


def _averaged(values: NDArray[np.floating], rows: int) -> NDArray[np.floating]:
    """``values`` (n, columns) -> (rows, columns): means of as even groups as there are."""
    edges = np.linspace(0, len(values), rows + 1)
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    whole = np.minimum(edges.astype(int), len(values) - 1)
    at_edges = sums[whole] + (edges - whole)[:, None] * values[whole]
    return np.diff(at_edges, axis=0) / np.diff(edges)[:, None]


def _png(shade: NDArray[np.uint8]) -> bytes:
    points = np.linspace(0, SHADES - 1, len(MAGMA))
    palette = np.zeros((256, 4), np.uint8)
    for channel, values in enumerate(zip(*MAGMA, strict=True)):
        palette[:SHADES, channel + 1] = np.interp(np.arange(SHADES), points, values)
    palette[:, 0] = 255
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = shade.shape
    encoder.pix_fmt = "pal8"
    encoder.time_base = Fraction(1)
    picture: Any = shade, palette  # as PyAV documents, and does not declare, for this format
    frame = av.VideoFrame.from_ndarray(picture, format="pal8")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
