"""A stream in chunks gives what the whole gives."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from speechlm.codec import Codec
from speechlm.conformance.result import require
from speechlm.conformance.subject import Subject
from speechlm.types import Wave

SEAM = 1e-3
"""Largest difference of samples, -60 dBFS: float32 kernels differ by shape, by less than this."""


def chunks(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Encoding and decoding in chunks of every size: 1, 2, 3, 5 and 8 frames, and odd samples.

    Limits: the same codes; samples that differ by less than :data:`SEAM`.
    """
    codec = subject.streaming_codec()
    wave = torch.from_numpy(waves[0])[None]
    codes = codec.encode(wave)
    sound = codec.decode(codes, wave.shape[1]).numpy()
    hop_length = codec.hop_length
    sizes = [
        hop_length,
        2 * hop_length,
        3 * hop_length,
        5 * hop_length,
        8 * hop_length,
        hop_length // 3 + 1,
        2 * hop_length + 7,
        1009,
    ]
    different, seam = 0, 0.0
    for size in sizes:
        different += _different_codes(codec, wave, codes, size)
        out = _decoded(codec, codes, max(1, size // hop_length))[:, : wave.shape[1]]
        seam = max(seam, float(np.abs(out - sound[:, : out.shape[1]]).max()))
        if out.shape[1] != wave.shape[1]:
            seam = float("inf")
    figures = {
        "chunk sizes": float(len(sizes)),
        "different codes": float(different),
        "largest seam": seam,
    }
    require(different == 0 and seam < SEAM, "chunks differ from the whole", figures)
    return figures


def _different_codes(codec: Codec, wave: torch.Tensor, codes: torch.Tensor, size: int) -> int:
    stream = codec.stream_encoder()
    parts = [stream.push(chunk) for chunk in wave.split(size, dim=1)]
    streamed = torch.cat([*parts, stream.flush()], dim=2)
    if streamed.shape != codes.shape:
        return codes.numel()
    return int((streamed != codes).sum())


def _decoded(codec: Codec, codes: torch.Tensor, frames: int) -> np.ndarray:
    stream = codec.stream_decoder()
    parts = [stream.push(chunk) for chunk in codes.split(frames, dim=2)]
    return torch.cat([*parts, stream.flush()], dim=1).numpy()
