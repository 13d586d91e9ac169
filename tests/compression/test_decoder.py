"""Excerpts, parts and gaps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from speechlm import audio
from speechlm.bitstream import ABSENT, BitstreamError, Header, Reader, Writer, join
from speechlm.codec import Codec, load
from speechlm.compression.decoder import decode
from speechlm.compression.encoder import encode_whole
from speechlm.compression.rate_target import RateTarget

RATE = 16000
CLOSE = 1e-4  # of full scale: the rounding of floats


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load()


@pytest.fixture(scope="module")
def stream(codec, sample: Path) -> bytes:
    """The sample in chunks of a second or so, of varying levels."""
    return coded(codec, audio.read(sample, RATE)[0], RateTarget(6.0))


def coded(codec: Codec, wave: np.ndarray, goal: RateTarget) -> bytes:
    file = io.BytesIO()
    encode_whole([wave], file, codec, goal)
    return file.getvalue()


def sound(codec: Codec, data: bytes, conceal: bool = False, **excerpt: float) -> np.ndarray:
    pieces = [np.zeros(0, np.float32)]
    reader = Reader(io.BytesIO(data), conceal, codec.entropy)
    decode(reader, codec, pieces.append, conceal=conceal, **excerpt)
    return np.concatenate(pieces)


@pytest.mark.parametrize(
    ("start", "seconds"),
    [(0, 1), (0.01, 0.02), (2.5, 1.25), (5.0, 0.3), (6.9, 9), (7.26, 1), (3.3333, 2.2222), (0, 99)],
)
def test_an_excerpt_is_what_the_whole_has_there(codec, stream, start, seconds):
    whole = sound(codec, stream)
    first, count = round(start * RATE), round((start + seconds) * RATE) - round(start * RATE)
    excerpt = sound(codec, stream, start=start, seconds=seconds)
    assert len(excerpt) == min(count, len(whole) - first)
    np.testing.assert_allclose(excerpt, whole[first : first + count], atol=CLOSE)


def test_an_excerpt_decodes_little_else(codec, sample):
    wave = np.tile(audio.read(sample, RATE)[0], 5)
    reader = Reader(io.BytesIO(coded(codec, wave, RateTarget(3.0))), entropy=codec.entropy)
    pushed = []

    class Counting:
        def __init__(self, stream):
            self._stream = stream

        def push(self, codes):
            pushed.append(codes.shape[2])
            return self._stream.push(codes)

        def flush(self, length=None):
            return self._stream.flush(length)

    original = codec.stream_decoder
    try:
        codec.stream_decoder = lambda: Counting(original())
        decode(reader, codec, lambda wave: None, start=25, seconds=1)
    finally:
        del codec.stream_decoder
    assert 3 * 50 <= sum(pushed) <= 3 * 50 + 2 * reader.header.chunk_frames


def test_an_excerpt_beyond_the_end_is_one_line(codec, stream):
    with pytest.raises(BitstreamError, match=r"there are 7\.27 s of sound, and none from 8 s on"):
        sound(codec, stream, start=8)


def test_joined_files_sound_one_after_another(codec, sample, tmp_path):
    wave = audio.read(sample, RATE)[0]
    parts = [wave[:20001], wave[20001:20300], wave[30000:70000]]
    paths = [tmp_path / f"{i}.slm" for i in range(3)]
    for path, part, kbps in zip(paths, parts, (3.0, 6.0, 1.5), strict=True):
        path.write_bytes(coded(codec, part, RateTarget(kbps)))
    file = io.BytesIO()
    assert join(paths, file) == sum(map(len, parts))
    once = sound(codec, file.getvalue())
    each = [sound(codec, path.read_bytes()) for path in paths]
    assert [len(part) for part in each] == [len(part) for part in parts]
    np.testing.assert_allclose(once, np.concatenate(each), atol=CLOSE)
    for start, seconds in ((1.2, 0.2), (1.26, 3), (2, 0.5)):
        excerpt = sound(codec, file.getvalue(), start=start, seconds=seconds)
        first, end = round(start * RATE), round((start + seconds) * RATE)
        np.testing.assert_allclose(excerpt, once[first:end], atol=CLOSE)


def test_a_frame_without_levels_is_silence(codec):
    header = Header(codec.model_id, codec.weights_hash, RATE, 320, 10, 12, 50)
    file = io.BytesIO()
    writer = Writer(file, header)
    writer.write(np.full((12, 100), ABSENT))
    writer.finish(99 * 320)
    assert np.abs(sound(codec, file.getvalue())).max() < 1e-3


def test_a_lost_chunk_is_filled_in_and_fades(codec, stream):
    whole = sound(codec, stream)
    chunks = list(Reader(io.BytesIO(stream), entropy=codec.entropy))
    head = len(stream) - sum(chunk.size for chunk in chunks)
    damaged = bytearray(stream)
    damaged[head + chunks[0].size + chunks[1].size + 30] ^= 1
    with pytest.raises(BitstreamError, match="--conceal"):
        sound(codec, bytes(damaged))
    concealed = sound(codec, bytes(damaged), conceal=True)
    assert concealed.shape == whole.shape
    lost = slice(chunks[2].sample, chunks[2].sample + chunks[2].frames * 320)
    np.testing.assert_allclose(concealed[: lost.start - 320], whole[: lost.start - 320], atol=CLOSE)
    # The decoder remembers less than a second of what was lost.
    after = lost.stop + RATE
    np.testing.assert_allclose(concealed[after:], whole[after:], atol=CLOSE)

    def loudness(wave: np.ndarray) -> float:
        return float(np.sqrt(np.mean(wave**2)))

    gap = concealed[lost]
    assert loudness(gap[:640]) > 0.3 * loudness(whole[lost.start - 640 : lost.start])
    assert loudness(gap[RATE // 2 : RATE]) < 0.1 * loudness(gap[:1600])
