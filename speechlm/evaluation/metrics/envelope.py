"""How the envelope of each band moves: roughness, and a line at the codec's frame rate."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy.signal import welch

from speechlm.evaluation.metrics.bands import BANDS, Band, analytic_band, kilohertz, label
from speechlm.evaluation.metrics.base import Metric, Unscored
from speechlm.types import Wave

ENVELOPE_RATE = 400  # Hz
ROUGHNESS = 20.0, 45.0  # Hz: above syllables, below pitch
FRAME_RATE = 50.0  # Hz, of this project's codecs
NEIGHBOURS = 3.0, 10.0  # Hz from the line


def _spectrum(wave: Wave, rate: int, band: Band, seconds: float) -> tuple[Wave, Wave]:
    """Frequencies and power density (Welch 1967) of the band's Hilbert envelope over its mean.

    Windows are of ``seconds``.
    """
    envelope = np.abs(analytic_band(wave, rate, band))
    block = round(rate / ENVELOPE_RATE)
    blocks = envelope[: len(envelope) // block * block].reshape(-1, block).mean(axis=1)
    window = round(seconds * rate / block)
    if len(blocks) < window:
        raise Unscored(f"less than {seconds:.2g} s")
    level = blocks.mean()
    if not level:
        raise Unscored(f"nothing in {kilohertz(band)}")
    frequencies, power = welch(blocks / level, rate / block, nperseg=window, detrend="constant")
    return frequencies, power


def _modulation(reference: Wave, estimate: Wave, rate: int, band: Band) -> float:
    frequencies, power = _spectrum(estimate, rate, band, 1.0)
    inside = (frequencies >= ROUGHNESS[0]) & (frequencies <= ROUGHNESS[1])
    return float(10 * np.log10(power[inside].sum() * frequencies[1]))


def _frame_line(reference: Wave, estimate: Wave, rate: int, band: Band, frame_rate: float) -> float:
    # Windows of a whole number of frames, so that the line is in one bin.
    frequencies, power = _spectrum(estimate, rate, band, round(frame_rate) / frame_rate)
    distance = np.abs(frequencies - frame_rate)
    around = power[(distance >= NEIGHBOURS[0]) & (distance <= NEIGHBOURS[1])].mean()
    return float(10 * np.log10(power[distance.argmin()] / around))


def _modulation_metric(band: Band) -> Metric:
    return Metric(
        name=f"modulation_{label(band)}",
        title=f"Modulation {kilohertz(band)}",
        unit="dB",
        better=None,
        about=f"power of the band's Hilbert envelope at {ROUGHNESS[0]:g} to {ROUGHNESS[1]:g} Hz "
        "beside its squared mean; the original's own value is the one to reach",
        compute=partial(_modulation, band=band),
        digits=1,
    )


def frame_line(frame_rate: float) -> tuple[Metric, ...]:
    """The metrics of a line at ``frame_rate`` Hz, one a band; of another than ``FRAME_RATE``, the
    names end with it: ``frame_line_4_8@75``."""
    at = "" if frame_rate == FRAME_RATE else f"@{frame_rate:g}"
    return tuple(
        Metric(
            name=f"frame_line_{label(band)}{at}",
            title=f"{frame_rate:g} Hz line {kilohertz(band)}",
            unit="dB",
            better="lower",
            about=f"power of the band's Hilbert envelope at {frame_rate:g} Hz, a codec's frame "
            f"rate, beside its mean {NEIGHBOURS[0]:g} to {NEIGHBOURS[1]:g} Hz away; 0 for "
            "an envelope that knows no frames, but the pitch of a low voice may lie there: "
            "compare with the original",
            compute=partial(_frame_line, band=band, frame_rate=frame_rate),
            digits=1,
        )
        for band in BANDS
    )


MODULATION = tuple(map(_modulation_metric, BANDS))
FRAME_LINE = frame_line(FRAME_RATE)
