"""The functions of the public API: ``speechlm.compress`` and the like. They name files by paths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from speechlm import audio, bitstream
from speechlm.bitstream import Info
from speechlm.compression import batch
from speechlm.compression.batch import DecodeOptions, FileResult
from speechlm.compression.rate_target import RateTarget
from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from torch import Tensor

AnyPath = str | PathLike[str]
FORMATS = "wav", "flac", "ogg"


def load_audio(path: AnyPath, sample_rate: int | None = None) -> tuple[Tensor, int]:
    """Load an audio file (WAV, FLAC, OGG, MP3) as mono.

    Args:
        sample_rate: to resample to, in Hz; None keeps that of the file.

    Returns:
        The waveform, float32 (1, samples) with full scale at [-1, 1], and its sample rate.

    Raises:
        SpeechLMError: when the file cannot be read.
    """
    import torch

    wave, rate = audio.read(Path(path), sample_rate)
    return torch.from_numpy(wave)[None], rate


def compress(
    source: AnyPath | Sequence[AnyPath],
    target: AnyPath,
    kbps: float | None = None,
    *,
    mode: str = "vbr",
    max_bytes: int | None = None,
    quality: float | None = None,
    model: str | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> list[FileResult]:
    """Compress audio files to ``.slm``.

    Args:
        source: a file, a folder, or several of them.
        target: the file to write; for a folder or several files, the folder to write to.
        kbps: bitrate of a file, header included; with ``mode`` "vbr" on average, with "cbr" in
            every second. Without ``kbps``, ``max_bytes`` and ``quality`` all codebooks are kept.
        max_bytes: maximum size of a file.
        quality: 0 to 10: constant quality at a variable bitrate.
        model: folder, shipped name, hub id or peer codec; None: the default codec.
        jobs: files at a time, in a process each.
        progress: show a progress bar for several files.

    Returns:
        What each file took.

    Raises:
        SpeechLMError: when the arguments make no sense, or, after the others are done, when a file
            cannot be compressed.
    """
    rate = RateTarget(kbps, mode, max_bytes, quality)
    pairs = batch.pair_files(
        _paths(source), Path(target), batch.AUDIO_SUFFIXES, batch.PACKED_SUFFIX
    )
    return _checked(batch.compress_files(pairs, model, rate, jobs, progress))


def decompress(
    source: AnyPath | Sequence[AnyPath],
    target: AnyPath,
    *,
    start: float = 0.0,
    seconds: float = math.inf,
    conceal: bool = False,
    format: str = "wav",
    model: str | None = None,
    jobs: int = 1,
    progress: bool = False,
) -> list[FileResult]:
    """Decompress ``.slm`` files to audio files.

    Args:
        source: a file, a folder, or several of them.
        target: the file to write, whose suffix names its format; for a folder or several files, the
            folder to write to.
        start, seconds: the excerpt to decode.
        conceal: conceal damaged chunks instead of raising.
        format: of files in a folder: wav, flac or ogg.
        model, jobs, progress: as for :func:`compress`.

    Returns:
        What each file took.

    Raises:
        SpeechLMError: when the arguments make no sense, or, after the others are done, when a file
            cannot be decompressed.
    """
    if format not in FORMATS:
        raise SpeechLMError(f"the format is wav, flac or ogg, not {format}")
    pairs = batch.pair_files(_paths(source), Path(target), [batch.PACKED_SUFFIX], f".{format}")
    options = DecodeOptions(conceal, start, seconds)
    return _checked(batch.decompress_files(pairs, model, options, jobs, progress))


def info(path: AnyPath) -> Info:
    """Describe a ``.slm`` file: duration, bitrate, model, where the bits are. Needs no model.

    Raises:
        SpeechLMError: when it cannot be read.
    """
    return bitstream.inspect(Path(path))


def _paths(source: AnyPath | Sequence[AnyPath]) -> list[Path]:
    if isinstance(source, str | PathLike):
        return [Path(source)]
    return [Path(path) for path in source]


def _checked(results: list[FileResult]) -> list[FileResult]:
    failed = [result.error for result in results if result.error]
    if failed:
        several = f" (the first of {len(failed)} files that failed)" if len(failed) > 1 else ""
        raise SpeechLMError(failed[0] + several)
    return results
