"""One lost frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from speechlm.conformance.result import require
from speechlm.conformance.subject import Subject
from speechlm.types import Wave

RECOVERED = 0.05
"""Share of the RMS of the recording below which an error is over: -26 dB."""
LONGEST = 1.0
"""Seconds that the damage may last: a decoder that needs longer turns single losses into one."""


def loss(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """A frame in the middle is concealed: how long does the output differ?

    Limits: the length stays; the difference is below 5 % of the level within a second.
    """
    codec = subject.streaming_codec()
    subject.require_trained()
    wave = torch.from_numpy(max(waves, key=len))[None]
    codes = codec.encode(wave)
    lost = codes.shape[2] // 2
    stream = codec.stream_decoder()
    parts = [
        stream.push(codes[:, :, :lost]),
        stream.conceal(1),
        stream.push(codes[:, :, lost + 1 :]),
    ]
    concealed = torch.cat([*parts, stream.flush()], dim=1)[0].numpy()[: wave.shape[1]]
    sound = codec.decode(codes, wave.shape[1])[0].numpy()
    require(
        len(concealed) == len(sound),
        f"{len(sound)} samples become {len(concealed)}",
        {"samples": float(len(concealed))},
    )
    window = codec.sample_rate // 100
    size = len(sound) // window * window
    error = np.square(sound[:size] - concealed[:size]).reshape(-1, window).mean(axis=1) ** 0.5
    level = float(np.sqrt(np.mean(np.square(sound))))
    bad = np.flatnonzero(error > RECOVERED * level)
    start = lost * codec.hop_length / window
    lasts = max(0.0, (bad[-1] + 1 - start) / 100) if len(bad) else 0.0
    figures = {"damage lasts, s": float(lasts), "frame, s": 1 / codec.frame_rate}
    require(lasts <= LONGEST, "the damage of one frame does not end", figures)
    return figures
