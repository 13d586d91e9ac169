"""Response formats: what players decode is what was given, in pieces of any size."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from speechlm.serve.formats import MEDIA_TYPES, PCM_RATE, encode_audio

RATE = 16000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


def decoded(data: bytes, kind: str) -> tuple[np.ndarray, int]:
    if kind == "pcm":
        return np.frombuffer(data, "<i2") / 32768, PCM_RATE
    with av.open(io.BytesIO(data)) as container:
        frames = list(container.decode(audio=0))
    rate = frames[0].sample_rate
    resampler = av.AudioResampler("flt", "mono", rate)
    return np.concatenate(
        [f.to_ndarray()[0] for each in frames for f in resampler.resample(each)]
    ), rate


@pytest.mark.parametrize("kind", MEDIA_TYPES)
@pytest.mark.parametrize("pieces", [1, 37])
def test_the_tone_comes_back(kind, pieces):
    data = b"".join(encode_audio(np.array_split(TONE, pieces), RATE, kind))
    wave, rate = decoded(data, kind)
    assert abs(len(wave) / rate - 2) < 0.15  # delay and padding of the encoder
    spectrum = np.abs(np.fft.rfft(wave))
    assert abs(spectrum.argmax() * rate / len(wave) - 440) < 2
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_lossless_formats_are_exact(kind):
    data = b"".join(encode_audio([TONE], RATE, kind))
    wave, rate = decoded(data, kind)
    assert rate == RATE
    assert np.abs(wave - TONE).max() < 1 / 32000


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_sound_is_sent_before_the_end(kind):
    taken = 0

    def chunks():
        nonlocal taken
        for chunk in np.array_split(TONE, 20):
            taken += 1
            yield chunk

    data = encode_audio(chunks(), RATE, kind)
    size = 0
    while size < 200:
        size += len(next(data))
    assert taken < 15


def test_no_sound_is_a_file_all_the_same():
    for kind in MEDIA_TYPES:
        assert isinstance(b"".join(encode_audio([], RATE, kind)), bytes)
