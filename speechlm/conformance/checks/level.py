"""Loud and quiet input, an offset, clipping, silence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from speechlm.conformance.checks.tandem import rms
from speechlm.conformance.result import require
from speechlm.conformance.subject import Subject
from speechlm.types import Wave

LEVELS = (-45, -35, -25, -15)
"""Decibels of full scale (RMS)."""
LEVEL_ERROR = 3.0
"""Decibels by which the level may change: more is heard as another loudness."""
OFFSET = 0.05
"""Added to all samples: what a poor sound card does."""
SILENT = -60.0
"""Decibels of full scale that silence may become: the noise of a quiet room."""


def level(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Input at -45 to -15 dBFS. Limit: the level changes by at most 3 dB at each."""
    subject.require_trained()
    wave = max(waves, key=len)
    figures = {}
    for decibels in LEVELS:
        scaled = (wave * 10 ** (decibels / 20) / rms(wave)).astype(np.float32)
        out = subject.round_trip(np.clip(scaled, -1, 1))
        figures[f"error at {decibels} dBFS, dB"] = _decibels(out) - _decibels(scaled)
    worst = max(figures.values(), key=abs)
    require(abs(worst) <= LEVEL_ERROR, "the level changes", figures)
    return figures


def offset(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """A constant added to the input. Limit: the speech around it keeps its level within 3 dB."""
    subject.require_trained()
    wave = 0.8 * max(waves, key=len)
    out = subject.round_trip((wave + OFFSET).astype(np.float32))
    figures = {
        "offset": OFFSET,
        "offset of the output": float(out.mean()),
        "level error, dB": _decibels(out - out.mean()) - _decibels(wave - wave.mean()),
    }
    error = abs(figures["level error, dB"])
    require(error <= LEVEL_ERROR, "an offset changes the speech", figures)
    return figures


def clipping(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Input clipped at full scale. Limit: finite samples, and a level within 3 dB."""
    subject.require_trained()
    wave = max(waves, key=len)
    clipped = np.clip(wave / np.abs(wave).max() * 4, -1, 1).astype(np.float32)
    out = subject.round_trip(clipped)
    error = _decibels(np.clip(out, -1, 1)) - _decibels(clipped)
    figures = {"peak of the output": float(np.abs(out).max()), "level error, dB": error}
    require(bool(np.isfinite(out).all()), "the output is not finite", figures)
    require(abs(error) <= LEVEL_ERROR, "clipped input changes its level", figures)
    return figures


def silence(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """A second of zeros. Limit: at most -60 dBFS comes back."""
    subject.require_trained()
    out = subject.round_trip(np.zeros(subject.sample_rate, np.float32))
    figures = {"level of the output, dBFS": _decibels(out)}
    require(figures["level of the output, dBFS"] <= SILENT, "silence becomes sound", figures)
    return figures


def _decibels(wave: Wave) -> float:
    return float(10 * np.log10(np.mean(np.square(wave, dtype=np.float64)) + 1e-12))
