"""Melody and voicing: F0 error where both voices sound, and how often only one does."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from speechlm.evaluation.metrics.base import Metric, Unscored, require
from speechlm.types import Wave

STEP = 0.01
LOWEST, HIGHEST = 60.0, 500.0
ENOUGH = 10  # frames


def _f0_error(reference: Wave, estimate: Wave, rate: int) -> float:
    first, second = _tracks(reference, estimate, rate)
    both = (first > 0) & (second > 0)
    if both.sum() < ENOUGH:
        raise Unscored(f"less than {ENOUGH * STEP:g} s are voiced in both")
    return float(np.abs(1200 * np.log2(second[both] / first[both])).mean())


def _voicing_error(reference: Wave, estimate: Wave, rate: int) -> float:
    first, second = _tracks(reference, estimate, rate)
    if (first > 0).sum() < ENOUGH:
        raise Unscored(f"less than {ENOUGH * STEP:g} s of the reference are voiced")
    return float(100 * ((first > 0) != (second > 0)).mean())


def _tracks(reference: Wave, estimate: Wave, rate: int) -> tuple[Wave, Wave]:
    return pitch_track(reference, rate), pitch_track(estimate, rate)


def pitch_track(wave: Wave, rate: int) -> Wave:
    """F0 of ``wave`` (samples,) in Hz (frames,), 0 where unvoiced, in frames ``STEP`` apart and
    centred in the recording.

    Raises:
        Unscored: where Praat gives none, or is not there.
    """
    return _track(wave.tobytes(), str(wave.dtype), rate)


@lru_cache(maxsize=4)  # several metrics want the same tracks
def _track(samples: bytes, dtype: str, rate: int) -> Wave:
    praat = require("parselmouth", "praat-parselmouth")
    sound = praat.Sound(np.frombuffer(samples, dtype).astype(np.float64), rate)
    try:
        pitch = sound.to_pitch(time_step=STEP, pitch_floor=LOWEST, pitch_ceiling=HIGHEST)
    except praat.PraatError as error:
        raise Unscored(f"Praat: {str(error).splitlines()[0]}") from None
    track: Wave = pitch.selected_array["frequency"]
    return track


F0_ERROR = Metric(
    name="f0",
    title="F0 error",
    unit="cents",
    better="lower",
    about="mean |F0 difference| where both are voiced; Praat's autocorrelation tracker "
    "(Boersma 1993), 10 ms, 60 to 500 Hz",
    compute=_f0_error,
    packages=("praat-parselmouth",),
    digits=0,
)

VOICING_ERROR = Metric(
    name="voicing",
    title="Voicing error",
    unit="%",
    better="lower",
    about="share of 10 ms frames that only one of the two voices, by the same tracker",
    compute=_voicing_error,
    packages=("praat-parselmouth",),
    digits=1,
)
