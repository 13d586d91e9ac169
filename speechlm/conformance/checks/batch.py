"""A recording has the same codes alone and in a batch."""

from __future__ import annotations

from collections.abc import Mapping

from speechlm.conformance.result import require
from speechlm.conformance.subject import Subject, padded
from speechlm.types import Wave

FREE_SECONDS = 0.5
"""Before the end of a recording, codes of a codec with look-ahead may depend on what follows."""


def batch(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Recordings of unequal lengths, alone and in one batch with zeros after the shorter ones.

    Limit: all codes are equal. Of a codec that runs on whole recordings, those of the last half
    second are not compared: it may look at the padding.
    """
    codec = subject.codec()
    together = codec.encode(padded(waves))
    free = 0.0 if codec.latency < float("inf") else FREE_SECONDS
    different = compared = 0
    for number, wave in enumerate(waves):
        alone = codec.encode(padded([wave]))[0]
        frames = max(0, int((len(wave) / codec.sample_rate - free) * codec.frame_rate))
        one, other = alone[:, :frames], together[number, :, :frames]
        different += int((one != other).sum())
        compared += one.numel()
    figures = {"codes compared": float(compared), "different": float(different)}
    require(different == 0, "codes depend on the batch", figures)
    return figures
