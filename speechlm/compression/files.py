"""Audio files and streams to ``.slm`` and back, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from speechlm import audio, bitstream
from speechlm.bitstream import BitstreamError, Header, PacketReader, PacketWriter, Reader
from speechlm.bitstream.packets import JITTER
from speechlm.codec import Codec
from speechlm.compression import raw
from speechlm.compression.decoder import decode
from speechlm.compression.encoder import encode_stream, encode_whole
from speechlm.compression.rate_target import CodingStats, RateTarget
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path
from speechlm.utils.inputs import input_name, open_input

TWO_PASS_SECONDS = 1800.0
"""Longer recordings are coded in one pass, in constant memory."""


def compress(
    source: Path, target: Path, codec: Codec, rate: RateTarget | None = None
) -> CodingStats:
    """Encode an audio file of any length, sample rate and number of channels into ``target``.

    A variable bitrate, a quality or a size allocates bits over the whole recording, whose codes are
    then in memory. Beyond half an hour bits are allocated within a reservoir of seconds, as in a
    stream, and memory is constant; only ``max_bytes`` needs all codes at any length.

    Raises:
        SpeechLMError: when the source cannot be read or the codec does not reach the rate.
    """
    rate = rate or RateTarget()
    two_passes = rate.needs_two_passes(codec)
    with audio.Recording(source) as recording:
        if two_passes and rate.max_bytes is None:
            two_passes = recording.info().seconds <= TWO_PASS_SECONDS
        encode = encode_whole if two_passes else encode_stream
        with atomic_path(target) as path, path.open("wb") as file:
            return encode(recording.blocks(codec.sample_rate), file, codec, rate)


def decompress(
    source: Path,
    target: Path,
    codec: Codec,
    conceal: bool = False,
    start: float = 0.0,
    seconds: float = math.inf,
) -> CodingStats:
    """Decode ``source``, or ``seconds`` from ``start`` on, into an audio file.

    The suffix of ``target`` names the format. An excerpt equals that part of the full decoding, to
    float rounding. With ``conceal``, damaged chunks are concealed instead of being an error.

    Raises:
        SpeechLMError: when the file is damaged, or was written by another model.
    """
    with open_input(source) as file:
        reader = Reader(file, conceal, codec.entropy, input_name(source))
        check_model(reader.header, codec, source)
        with audio.AudioWriter(target, codec.sample_rate) as writer:
            return decode(reader, codec, writer.write, start, seconds, conceal)


def join(sources: Sequence[Path], target: Path) -> int:
    """Join files into ``target``, which may be one of them; return the samples of all together.

    Raises:
        SpeechLMError: when one cannot be read, is damaged, or is by another model than the first.
    """
    with atomic_path(target) as path, path.open("wb") as file:
        return bitstream.join(sources, file)


def stream_encode(
    source: BinaryIO,
    target: BinaryIO,
    codec: Codec,
    rate: RateTarget,
    chunk_seconds: float,
    packets: bool = False,
    sample_rate: int | None = None,
) -> CodingStats:
    """Raw 16-bit little-endian mono PCM to .slm, as it arrives.

    ``sample_rate`` is that of ``source``, by default the codec's.

    Each chunk of ``chunk_seconds`` goes out as soon as it is full, as a packet if it is to be.

    Raises:
        SpeechLMError: when the codec does not reach the rate, a stream cannot, or ``source`` is a
            sound file instead of samples.
    """
    if not 0 < chunk_seconds < math.inf:
        raise SpeechLMError(f"a chunk takes a finite time above 0, not {chunk_seconds:g} s")
    chunk = max(1, round(chunk_seconds * codec.frame_rate))
    file = cast(BinaryIO, PacketWriter(target)) if packets else target
    wave = raw.read(source, codec.hop_length)
    if sample_rate is not None:
        wave = audio.resampled(wave, sample_rate, codec.sample_rate)
    return encode_stream(wave, file, codec, rate, chunk)


def stream_decode(
    source: BinaryIO,
    target: BinaryIO,
    codec: Codec,
    conceal: bool,
    packets: bool = False,
    jitter: int = JITTER,
) -> CodingStats:
    """.slm, in packets or not, to raw 16-bit little-endian mono PCM, as it arrives.

    A packet is waited for until ``jitter`` later ones are there.

    Raises:
        SpeechLMError: when the stream is damaged, or was written by another model.
    """
    reader: Reader | PacketReader
    if packets:
        reader = PacketReader(source, conceal, codec.entropy, jitter)
    else:
        reader = Reader(source, conceal, codec.entropy)
    check_model(reader.header, codec, "stream")

    def write(wave: np.ndarray) -> None:
        target.write((wave.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
        target.flush()

    return decode(reader, codec, write, conceal=conceal)


def check_model(header: Header, codec: Codec, source: object) -> None:
    """Raises: BitstreamError, unless ``codec`` is the model that wrote the file of ``header``."""
    if header.model != codec.model_id:
        raise BitstreamError(
            f"{source}: written by the model {header.model}, not {codec.model_id}; "
            "name its folder or hub id with --model"
        )
    if header.weights_hash != codec.weights_hash:
        raise BitstreamError(
            f"{source}: written by {header.model} with weights {header.weights_hash}; these are "
            f"{codec.weights_hash}: name the version that wrote it with --model"
        )
    for name, its, ours in (
        ("sample rate", header.sample_rate, codec.sample_rate),
        ("hop_length", header.hop_length, codec.hop_length),
        ("bits per code", header.bits, codec.bits_per_code),
    ):
        if its != ours:
            raise BitstreamError(
                f"{source}: its header states a {name} of {its}, and {codec.model_id} has {ours}"
            )
    context = codec.entropy.hash if codec.entropy else "none"
    if header.context not in (None, context):
        raise BitstreamError(
            f"{source}: coded by the entropy model {header.context}, and this {codec.model_id} has "
            f"{context}: name the version that wrote it with --model"
        )
