"""One clip through one system: coded, decoded, saved as a listener would have it, and lined up.

What a system gives back without the timing of the original is left as it is: no delay would make
the two comparable moment by moment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechlm.evaluation.alignment import Aligned, align
from speechlm.evaluation.metrics.resample import resample
from speechlm.evaluation.systems.base import Encoded, Failed, System, pcm16
from speechlm.types import Wave
from speechlm.utils.files import atomic_path

VERSION = 1  # of what this file does to audio: part of the cache's keys
LONGEST_EXCESS = 0.5  # seconds; an output this much off is not the same recording
UNTIMED = "the units kept no timing, so the output is not in time with the original"


@dataclass(frozen=True)
class Coded:
    """What is kept of a coded clip. ``audio`` is the hash of the decoded 16-bit samples."""

    seconds: float
    payload_bits: int
    file_bytes: int
    delay: float
    note: str
    audio: str


def code(system: System, reference: Wave, rate: int, target: Path) -> Coded:
    """Send ``reference`` (samples,) at ``rate`` Hz through ``system``; leave FLAC at ``target``.

    The decoded audio is judged as the 16-bit file that a user would get. Codes are kept beside
    it as ``.npy``.

    Raises:
        Failed: when the system does, or what comes out is not a version of what went in.
    """
    encoded = system.encode(resample(reference, rate, system.sample_rate))
    wave = decoded(system, encoded, reference, rate)
    off = len(wave) - len(reference)
    if system.timed and abs(off) > LONGEST_EXCESS * rate:
        raise Failed(f"the output is {off / rate:+.2f} s off the original's length")
    samples = pcm16(wave)
    target.parent.mkdir(parents=True, exist_ok=True)
    if encoded.codes is not None:
        with atomic_path(target.with_suffix(".npy")) as path:
            np.save(path, encoded.codes.astype(np.int32))
    with atomic_path(target) as path:
        soundfile.write(path, samples, rate, subtype="PCM_16")
    pair = lined_up(reference, target, system.timed)
    return Coded(
        seconds=len(reference) / rate,
        payload_bits=encoded.payload_bits,
        file_bytes=encoded.file_bytes,
        delay=pair.delay / rate,
        note=pair.note,
        audio=hashlib.sha256(samples.tobytes()).hexdigest(),
    )


def decoded(system: System, encoded: Encoded, reference: Wave, rate: int) -> Wave:
    """The decoded wave at the suite's ``rate``."""
    expected = -(-len(reference) * system.sample_rate // rate)
    wave = system.decode(encoded, expected)
    if not len(wave):
        raise Failed("the decoder gave no samples")
    if not np.isfinite(wave).all():
        raise Failed("the decoder gave NaN or infinite samples")
    result = resample(wave, system.sample_rate, rate)
    # Resampling there and back may round the length up by one output sample of the slower rate.
    spare = -(-rate // system.sample_rate)
    return result[: len(reference)] if 0 < len(result) - len(reference) <= spare else result


def lined_up(reference: Wave, path: Path, timed: bool = True) -> Aligned:
    """``reference`` and the decoded file, cut to what they share: whole unless ``timed``."""
    estimate, rate = soundfile.read(path, dtype="float32")
    if not timed:
        off = (len(estimate) - len(reference)) / rate
        return Aligned(reference, estimate, 0, f"{UNTIMED}; it is {off:+.2f} s off in length")
    return align(reference, estimate, rate)
