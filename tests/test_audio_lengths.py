"""All the sound that is in a file, whatever its header states; other formats; pipes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechlm import audio
from speechlm.audio import AudioError

RATE, SAMPLES = 16000, 40000


def sound(samples: int = SAMPLES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def tone(samples: int, rate: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)).astype(np.float32)


def written(path: Path, form: str, subtype: str = "PCM_16", channels: int = 1) -> bytearray:
    wave = sound(SAMPLES * channels).reshape(SAMPLES, channels)
    sf.write(path, wave, RATE, format=form, subtype=subtype)
    return bytearray(path.read_bytes())


def size_at(data: bytearray, form: str) -> tuple[int, str]:
    """Where the header states the size of the samples, and how."""
    return {
        "WAV": (data.find(b"data") + 4, "<I"),
        "RF64": (data.find(b"ds64") + 16, "<Q"),
        "AIFF": (data.find(b"SSND") + 4, ">I"),
        "CAF": (data.find(b"data") + 4, ">Q"),
        "AU": (8, ">I"),
        "W64": (data.find(b"data") + 16, "<Q"),
    }[form]


@pytest.mark.parametrize("form", ["WAV", "RF64", "AIFF", "CAF", "AU", "W64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("stated", ["zero", "few", "largest", "too many"])
def test_a_wrong_size_in_the_header_costs_no_sample(tmp_path, form, subtype, stated):
    whole, path = tmp_path / "whole", tmp_path / "wrong"
    data = written(whole, form, subtype)
    place, kind = size_at(data, form)
    width = 8 * struct.calcsize(kind)
    true = struct.unpack_from(kind, data, place)[0]
    value = {"zero": 0, "few": 4004, "largest": 2**width - 1, "too many": true + 5000}[stated]
    struct.pack_into(kind, data, place, value)
    if form == "AIFF" and stated == "few":
        struct.pack_into(">I", data, data.find(b"COMM") + 10, 1000)
    path.write_bytes(data)
    np.testing.assert_array_equal(audio.read(path)[0], audio.read(whole)[0])
    assert audio.info(path).frames == SAMPLES


@pytest.mark.parametrize("channels", [1, 2])
def test_a_size_that_is_right_keeps_the_chunks_behind_it_out(tmp_path, channels):
    data = written(tmp_path / "a.wav", "WAV", channels=channels)
    for behind in (b"LIST\4\0\0\0INFO", b"id3 \3\0\0\0abc\0", b"TAG" + bytes(125), bytes(4096)):
        (tmp_path / "b.wav").write_bytes(data + behind)
        assert len(audio.read(tmp_path / "b.wav")[0]) == SAMPLES


def test_a_file_without_samples_stays_one_without(tmp_path):
    sf.write(tmp_path / "a.wav", np.zeros(0), RATE)
    data = (tmp_path / "a.wav").read_bytes()
    for behind in (b"", b"LIST\4\0\0\0INFO"):
        (tmp_path / "a.wav").write_bytes(data + behind)
        with pytest.raises(AudioError, match="holds no samples"):
            audio.read(tmp_path / "a.wav")


def test_a_flac_that_states_too_few_samples_is_read_to_its_end(tmp_path, caplog):
    data = written(tmp_path / "a.flac", "FLAC")
    data[21] &= 0xF0
    data[22:26] = struct.pack(">I", 5000)
    (tmp_path / "b.flac").write_bytes(data)
    for _ in range(2):
        assert len(audio.read(tmp_path / "b.flac")[0]) == SAMPLES
    assert audio.info(tmp_path / "b.flac").frames == SAMPLES
    assert len(caplog.messages) == 1 and "states 5000 samples, and 40000" in caplog.messages[0]


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "AIFF"])
def test_files_that_were_joined_are_read_one_after_the_other(tmp_path, caplog, form):
    subtype = "VORBIS" if form == "OGG" else "PCM_16"
    data = written(tmp_path / "a", form, subtype)
    sf.write(tmp_path / "other", sound(8000, 1), 8000, format=form, subtype=subtype)
    (tmp_path / "joined").write_bytes(data + (tmp_path / "other").read_bytes())
    whole = np.concatenate([audio.read(tmp_path / "a")[0], audio.read(tmp_path / "other", RATE)[0]])
    joined, rate = audio.read(tmp_path / "joined")
    assert rate == RATE
    np.testing.assert_array_equal(joined, whole)
    assert audio.info(tmp_path / "joined").frames == len(whole)
    assert sum("another file is joined" in message for message in caplog.messages) == 1


# --- by FFmpeg ----------------------------------------------------------------------------------


def encoded(path: Path, codec: str, rate: int, wave: np.ndarray, **options: str) -> None:
    import av

    form = "flt" if codec in ("libvorbis",) else None
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        own = form or stream.codec_context.codec.audio_formats[0].name
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for part in av.AudioResampler(own, "mono", rate).resample(frame):
            fifo.write(part)
        size = stream.codec_context.frame_size or 1024
        while part := fifo.read(size, partial=True):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "padding"),
    [
        ("a.m4a", "aac", 44100, 3000),
        ("a.aac", "aac", 44100, 3000),
        ("a.m4a", "alac", 44100, 0),
        ("a.webm", "libopus", 48000, 1000),
        ("a.mp3", "libmp3lame", 44100, 3000),
        ("a.mka", "flac", 44100, 0),
    ],
)
def test_other_formats(tmp_path, name, codec, rate, padding):
    wave = tone(3 * rate, rate)
    options = {"write_xing": "0"} if name == "a.mp3" else {}
    encoded(tmp_path / name, codec, rate, wave, **options)
    read, own = audio.read(tmp_path / name)
    about = audio.info(tmp_path / name)
    assert own == about.sample_rate == rate
    assert 0 <= len(read) - len(wave) <= padding
    assert about.frames == len(read)
    lags = [np.dot(read[lag : lag + rate], wave[:rate]) for lag in range(len(read) - rate)][:3000]
    lag = int(np.argmax(lags))
    assert np.abs(read[lag + 3000 : lag + rate] - wave[3000:rate]).max() < 0.05


def test_mp3_that_were_joined_are_whole(tmp_path, caplog):
    sf.write(tmp_path / "a.mp3", tone(48000, RATE), RATE)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(data + data)
    assert len(audio.read(tmp_path / "b.mp3")[0]) >= 96000
    assert "states 3.00 s and holds 6." in caplog.messages[0]


def test_a_play_list_is_no_sound_file(tmp_path):
    sf.write(tmp_path / "a.wav", sound(), RATE)
    for text in (
        f"#EXTM3U\n#EXTINF:3,\n{tmp_path}/a.wav\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.wav\n",
    ):
        (tmp_path / "list.m3u8").write_text(text)
        with pytest.raises(AudioError, match="is not a sound file"):
            audio.read(tmp_path / "list.m3u8")


# --- channels -----------------------------------------------------------------------------------


def test_channels_that_cancel_are_not_averaged(tmp_path, caplog):
    wave = sound()
    sf.write(tmp_path / "a.wav", np.stack([0.5 * wave, -wave], 1), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav")[0], -wave)
    assert len(caplog.messages) == 1 and "channels cancel" in caplog.messages[0]


@pytest.mark.parametrize("channels", [2, 6, 16])
def test_channels_that_differ_are_averaged(tmp_path, caplog, channels):
    waves = np.stack([sound(seed=number) for number in range(channels)], 1)
    sf.write(tmp_path / "a.wav", waves, RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], waves.mean(1), atol=1e-6)
    waves[:, 1:] = 0
    sf.write(tmp_path / "a.wav", waves, RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], waves.mean(1), atol=1e-6)
    assert not caplog.messages


# --- inputs that can be read once ---------------------------------------------------------------


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_pipe_is_read_like_a_file(tmp_path, form):
    path = tmp_path / "a"
    sf.write(path, sound(), RATE, format=form)
    pipe = tmp_path / "pipe"
    for use in (lambda p: audio.read(p)[0], lambda p: np.concatenate(list(audio.blocks(p)))):
        os.mkfifo(pipe)
        writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
        writer.start()
        np.testing.assert_array_equal(use(pipe), audio.read(path)[0])
        writer.join()
        pipe.unlink()


def test_standard_input_is_waited_for_when_it_does_not_block(tmp_path):
    sf.write(tmp_path / "a.wav", sound(), RATE)
    data = (tmp_path / "a.wav").read_bytes()
    code = (
        "import os, sys; os.set_blocking(0, False); from speechlm import audio; "
        "r = audio.Recording('-'); print(r.info().frames, sum(map(len, r.pieces(8000))))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for start in range(0, len(data), 30000):
            process.stdin.write(data[start : start + 30000])
            process.stdin.flush()
            threading.Event().wait(0.05)
        process.stdin.close()
        assert process.stdout.read().split() == [b"40000", b"20000"]


def test_a_device_is_no_sound_file():
    with pytest.raises(AudioError, match="/dev/zero: is a device"):
        audio.read("/dev/zero")
