"""Goals: what was asked for is what the bytes add up to."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from speechlm import audio
from speechlm.bitstream import Chunk, Reader
from speechlm.codec import Codec, load
from speechlm.compression import files as compression_files
from speechlm.compression.encoder import encode_stream, encode_whole
from speechlm.compression.rate_target import CodingStats, RateTarget
from speechlm.errors import SpeechLMError

RATE = 16000


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load()


@pytest.fixture(scope="module")
def speech(sample: Path) -> np.ndarray:
    """Twelve seconds of it, with a pause."""
    wave, _ = audio.read(sample, RATE)
    return np.concatenate([wave, np.zeros(RATE // 2, np.float32), wave])[: 12 * RATE]


def coded(codec: Codec, wave: np.ndarray, goal: RateTarget, piece: int = 5 * RATE, **more):
    """A stream in bytes and what coding it took; in pieces if it is to be streamed."""
    file = io.BytesIO()
    pieces = [wave[i : i + piece] for i in range(0, len(wave), piece)]
    if goal.needs_two_passes(codec) and not more:
        return file, encode_whole(pieces, file, codec, goal)
    return file, encode_stream(pieces, file, codec, goal, **more)


def frame_bits(file: io.BytesIO) -> np.ndarray:
    """Bits of every frame of packed ones: its codes, and its share of all else in its chunk."""
    file.seek(0)
    each = []
    for chunk in Reader(file):
        assert isinstance(chunk, Chunk)
        codes = 10.0 * (chunk.codes >= 0).sum(axis=0)
        each.append(codes + (8 * chunk.size - codes.sum()) / chunk.frames)
    return np.concatenate(each)


@pytest.fixture(scope="module")
def everything(codec, speech) -> float:
    """Kbps of all levels of all frames: what no goal exceeds."""
    return coded(codec, speech, RateTarget())[0].tell() * 8e-3 / 12


@pytest.mark.parametrize("kbps", [1.0, 1.5, 2.3, 3.0, 5.2, 6.0])
@pytest.mark.parametrize("mode", ["cbr", "vbr"])
def test_a_file_has_the_bitrate(codec, speech, everything, kbps, mode):
    file, _ = coded(codec, speech, RateTarget(kbps, mode))
    reached = kbps if mode == "cbr" else min(kbps, everything)
    assert file.tell() * 8e-3 / 12 == pytest.approx(reached, rel=0.03)
    if mode == "cbr":
        windows = np.convolve(frame_bits(file), np.full(100, 0.5e-3), "valid")
        np.testing.assert_allclose(windows, kbps, rtol=0.1)


@pytest.mark.parametrize("mode", ["cbr", "vbr"])
def test_a_stream_has_the_bitrate(codec, speech, mode):
    file, _ = coded(codec, speech, RateTarget(2.3, mode), piece=4 * 320, chunk_frames=25)
    assert file.tell() * 8e-3 / 12 == pytest.approx(2.3, rel=0.03 if mode == "cbr" else 0.06)


@pytest.mark.parametrize("most", [400, 1000, 5555, 100000])
def test_a_size_is_not_exceeded(codec, speech, everything, most):
    file, _ = coded(codec, speech, RateTarget(max_bytes=most))
    assert file.tell() <= most
    assert file.tell() >= min(0.98 * most, 0.99 * everything * 1500)


def test_an_impossible_size_is_refused(codec, speech):
    with pytest.raises(SpeechLMError, match=r"12\.00 s take \d+ bytes at least, not 40"):
        coded(codec, speech, RateTarget(max_bytes=40))
    with pytest.raises(SpeechLMError, match="a size is for files"):
        encode_stream([speech], io.BytesIO(), codec, RateTarget(max_bytes=4000))


def test_quality_costs_bits_and_spares_silence(codec, speech):
    found: list[tuple[int, CodingStats]] = []
    for quality in (1, 5, 9):
        file, done = coded(codec, speech, RateTarget(quality=quality))
        found.append((file.tell(), done))
    assert found[0][0] < 0.7 * found[1][0] < 0.5 * found[2][0]
    assert found[0][1].codebooks < found[1][1].codebooks < found[2][1].codebooks
    silence, _ = coded(codec, np.zeros(12 * RATE, np.float32), RateTarget(quality=5))
    assert silence.tell() < 100


def test_loudness_does_not_change_quality(codec, speech):
    loud, _ = coded(codec, speech, RateTarget(quality=5))
    quiet, _ = coded(codec, speech * np.float32(0.1), RateTarget(quality=5))
    assert quiet.tell() == pytest.approx(loud.tell(), rel=0.25)


def test_goals_that_are_none_are_refused(codec, speech):
    with pytest.raises(SpeechLMError, match="one of a bitrate, a size and a quality"):
        RateTarget(kbps=3, quality=5)
    with pytest.raises(SpeechLMError, match="vbr or cbr, not abr"):
        RateTarget(3, "abr")
    with pytest.raises(SpeechLMError, match="0 to 10, not 11"):
        RateTarget(quality=11)
    for mode in ("cbr", "vbr"):
        with pytest.raises(SpeechLMError, match="reaches"):
            coded(codec, speech, RateTarget(9.0, mode))


def test_long_recordings_are_laid_out_as_they_come(codec, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(compression_files, "TWO_PASS_SECONDS", 5.0)
    monkeypatch.setattr(compression_files, "encode_whole", None)
    audio.write(tmp_path / "long.wav", np.tile(speech, 3), RATE)
    compression_files.compress(tmp_path / "long.wav", tmp_path / "long.slm", codec, RateTarget(2.3))
    assert (tmp_path / "long.slm").stat().st_size * 8e-3 / 36 == pytest.approx(2.3, rel=0.03)
