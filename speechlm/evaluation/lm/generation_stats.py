"""Speech that a model generates, as its stream gives it, with what that takes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speechlm.evaluation.lm.repetition import longest_loop
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.base import failed
from speechlm.evaluation.schema import Column
from speechlm.lm import pipelines
from speechlm.tokenizers.base import UnitStream
from speechlm.types import Codes, Wave

LOOP_SECONDS = 2.0
COLUMNS = {
    "ended": Column(
        "Ends by itself", "%", "higher", 1,
        "says the end of speech, and of each word that it reads, before its time is up", True,
    ),
    "unlooped": Column(
        f"No loop over {LOOP_SECONDS:g} s", "%", "higher", 1,
        "units of level 0 that repeat a cycle, of any length, at least once as a whole; the loop "
        "is all of that stretch, its first cycle included", True,
    ),
    "long": Column(f"Over {LOOP_SECONDS:g} s", "%", None, 1, "long enough for such a loop", True),
    "seconds": Column("Length", "s", None, 2, "of what was generated"),
    "first": Column(
        "First sound", "ms", "lower", 0,
        "from the prompt's end to the first samples: reading the prompt, the first frames (of "
        "several attempts, all), and decoding them; by the clock on the wall, so nothing else "
        "should run",
    ),
    "rtf": Column("RTF", "", "lower", 3, "wall clock for a second of sound, decoding included"),
}  # fmt: skip


@dataclass(frozen=True)
class GeneratedSpeech:
    """Codes (codebooks, frames) and their sound (samples,); seconds of work until the first of it,
    and on all. ``ended``: by itself."""

    codes: Codes
    wave: Wave
    first: float
    work: float
    ended: bool

    @property
    def frames(self) -> int:
        return self.codes.shape[1]


def generate(
    frames: Iterator[Codes],
    most: int,
    num_codebooks: int,
    stream: UnitStream,
    samples: int | None = None,
) -> GeneratedSpeech:
    """Take ``frames`` (codebooks,), of which there are ``most`` where no end is said, to sound.

    Of units that differ in length so many are not so long: ``samples`` of sound are the limit.
    """
    codes: list[Codes] = []

    def noted() -> Iterator[Codes]:
        for frame in frames:
            codes.append(frame)
            yield frame

    start, first, waves, done = time.perf_counter(), math.nan, [], 0
    for wave in pipelines.decode_frames(noted(), stream):
        if len(wave) and math.isnan(first):
            first = time.perf_counter() - start
        waves.append(wave)
        done += len(wave)
        if samples is not None and done >= samples:
            break
    work = time.perf_counter() - start
    whole = np.stack(codes, axis=1) if codes else np.zeros((num_codebooks, 0), np.int64)
    ended = len(codes) < most and (samples is None or done <= samples)
    return GeneratedSpeech(whole, np.concatenate(waves)[:samples], first, work, ended)


def cells(made: GeneratedSpeech, rate: int) -> dict[str, Score]:
    """The values in ``COLUMNS``, for sound of ``rate`` samples a second."""
    length = len(made.wave) / rate
    nothing = failed("nothing was said")
    return {
        "ended": Score(100.0 * made.ended),
        "long": Score(100.0 * (length > LOOP_SECONDS)),
        "seconds": Score(length),
        "first": nothing if math.isnan(made.first) else Score(1000 * made.first),
        "rtf": Score(made.work / length, weight=length) if length else nothing,
        "unlooped": looping(made.codes, length / made.frames) if made.frames else nothing,
    }


def looping(codes: Codes, seconds: float) -> Score:
    """The cell ``unlooped`` of codes (codebooks, frames); one is so many ``seconds``, on
    average."""
    return Score(100.0 * (longest_loop(codes[0]) * seconds <= LOOP_SECONDS))
