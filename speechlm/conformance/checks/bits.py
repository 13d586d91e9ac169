"""Nominal against real bits."""

from __future__ import annotations

from collections.abc import Mapping

from speechlm.conformance.result import NotApplicable, require
from speechlm.conformance.subject import Subject
from speechlm.types import Wave

OVER = 0.01
"""Share by which codes may exceed the stated bitrate: the rounding of the last frame, and so on."""
COMMAND_OVER = 0.25
"""The same for files of commands, which hold headers: Ogg's are some hundred bytes."""


def bits(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Bits a second that codes take, and that a file takes with its headers, against those stated.

    Limits: codes lie in their codebooks; they take at most 1 % more than is stated, files of
    commands 25 %. The overhead of files of codes is reported.
    """
    wave = max(waves, key=len)
    seconds = len(wave) / subject.sample_rate
    stated = subject.nominal_kbps()
    real = 8e-3 * subject.file_bytes(wave) / seconds
    figures = {"stated kbps": stated, "file kbps": real}
    try:
        codec = subject.codec()
    except NotApplicable:
        require(real <= (1 + COMMAND_OVER) * stated, "the file is larger than stated", figures)
        return figures
    import torch

    codes = codec.encode(torch.from_numpy(wave)[None])
    inside = int(codes.min()) >= 0 and int(codes.max()) < codec.codebook_size
    # The last frame may reach beyond the end.
    exact = codes[:, :, :-1].numel() * codec.bits_per_code / 1000
    covered = max(1, codes.shape[2] - 1) * codec.hop_length / codec.sample_rate
    figures["kbps of codes"] = exact / covered
    require(inside, f"codes are not in [0, {codec.codebook_size})", figures)
    frames = seconds * codec.frame_rate
    require(
        abs(codes.shape[2] - frames) <= 2 + codec.decoder_delay / codec.hop_length,
        f"{codes.shape[2]} frames where the frame rate gives {frames:.1f}",
        figures,
    )
    over = figures["kbps of codes"] / stated - 1
    require(over <= OVER, "codes take more bits than stated", figures)
    return figures
