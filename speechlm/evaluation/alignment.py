"""The delay between a reference and an estimate, so that latency is not scored as damage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import correlate

from speechlm.types import Wave

VERSION = 1  # of the delays found: part of the keys of cached scores
SEARCH_SECONDS = 0.25
FINE_SECONDS = 0.004  # half a high voice's pitch period: a wider search would lock on the next one
ENVELOPE_SECONDS = 0.001
SMOOTHING = 10  # envelope frames
COHERENT = 0.3  # below this correlation the waveforms do not show where they belong


@dataclass(frozen=True)
class Aligned:
    """Two waves, of equal length if they are in time, and how they came to be so.

    ``delay`` is in samples, positive when the estimate is late; ``note`` says what was cut.
    """

    reference: Wave
    estimate: Wave
    delay: int
    note: str


def estimate_delay(reference: Wave, estimate: Wave, rate: int) -> int:
    """Samples by which ``estimate`` is late (negative: early), within +-0.25 s.

    First the lag of the amplitude envelopes, good to a few milliseconds for any codec; then the
    best waveform correlation within 4 ms of it. A vocoder keeps no phase to correlate: its
    envelope lag stands, and counts as none when it is finer than an envelope can tell.
    """
    frame = max(1, round(ENVELOPE_SECONDS * rate))
    if min(len(reference), len(estimate)) < SMOOTHING * frame:
        return 0
    widest = round(SEARCH_SECONDS * rate) // frame
    envelopes = _envelope(reference, frame), _envelope(estimate, frame)
    coarse = frame * _best_lag(*envelopes, 0, widest)[0]
    radius = round(FINE_SECONDS * rate)
    fine, correlation = _best_lag(reference, estimate, coarse, radius)
    if correlation >= COHERENT:
        return fine
    return 0 if abs(coarse) <= radius else coarse


def align(reference: Wave, estimate: Wave, rate: int) -> Aligned:
    """Shift ``estimate`` by its delay and cut both (samples,) to what they share."""
    delay = estimate_delay(reference, estimate, rate)
    late, early = max(delay, 0), max(-delay, 0)
    length = min(len(reference) - early, len(estimate) - late)
    notes = []
    if len(estimate) != len(reference):
        difference = len(estimate) - len(reference)
        word = "longer" if difference > 0 else "shorter"
        notes.append(f"output is {abs(difference)} samples {word} than the original")
    if length < len(reference):
        notes.append(f"{len(reference) - length} samples of the original not scored")
    return Aligned(
        reference[early : early + length],
        estimate[late : late + length],
        delay,
        "; ".join(notes),
    )


def _envelope(wave: Wave, frame: int) -> Wave:
    whole = np.abs(wave[: len(wave) // frame * frame]).reshape(-1, frame).mean(axis=1)
    smooth = np.convolve(whole, np.hanning(SMOOTHING + 2)[1:-1], mode="same")
    return np.sqrt(smooth)


def _best_lag(reference: Wave, estimate: Wave, centre: int, radius: int) -> tuple[int, float]:
    """The lag within ``centre`` +- ``radius`` of the highest normalised correlation, and that."""
    first = reference - reference.mean(dtype=np.float64)
    second = estimate - estimate.mean(dtype=np.float64)
    scale = np.sqrt((first @ first) * (second @ second))
    if not scale:
        return 0, 0.0
    correlation = correlate(second, first, mode="full", method="fft") / scale
    lags = np.arange(len(correlation)) - (len(first) - 1)
    near = np.abs(lags - centre) <= radius
    if not near.any():
        return 0, 0.0
    best = int(np.argmax(np.where(near, correlation, -np.inf)))
    return int(lags[best]), float(correlation[best])
