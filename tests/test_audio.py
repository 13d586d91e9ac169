"""Sound files in and out: exact lengths, chunked equals whole, and every bad file in one line."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import audio
from speechlm.audio import AudioError
from speechlm.errors import SpeechLMError

REAL = st.sampled_from([8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000])
SMALL = st.integers(1, 12)  # every kind of ratio, with short kernels
RATES = st.tuples(REAL, REAL) | st.tuples(SMALL, SMALL)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, samples).astype(np.float32)


def tone(samples: int, rate: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate)).astype(np.float32)


# --- resampling ---------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(RATES, st.integers(0, 3000), st.lists(st.integers(0, 1000), max_size=8))
def test_resampling_in_pieces_equals_torchaudio_on_the_whole(rates, samples, cuts):
    import torch
    from torchaudio.transforms import Resample

    source, target = rates
    wave = noise(samples)
    pieces = np.split(wave, np.minimum(np.cumsum(cuts, dtype=int), samples))
    joined = np.concatenate(list(audio.resampled(pieces, source, target)))
    assert joined.dtype == np.float32
    assert len(joined) == -(-samples * target // source)
    if samples:
        whole = Resample(source, target)(torch.from_numpy(wave)).numpy()
        # torchaudio rounds the length in float32 and may lose a last sample; ours is exact.
        assert 0 <= len(joined) - len(whole) <= 1
        np.testing.assert_allclose(joined[: len(whole)], whole, atol=2e-6)


def test_a_tone_keeps_its_pitch_and_level():
    out = np.concatenate(list(audio.resampled([tone(44100, 44100)], 44100, 16000)))
    np.testing.assert_allclose(out[100:-100], tone(16000, 16000)[100:-100], atol=2e-3)


def test_rates_without_a_useful_common_divisor_are_refused(tmp_path):
    sf.write(tmp_path / "odd.wav", noise(1000), 44101)
    with pytest.raises(AudioError, match=r"odd\.wav: 44101 Hz cannot be resampled to 16000 Hz"):
        audio.read(tmp_path / "odd.wav", 16000)


# --- reading ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.sampled_from([None, 8000, 16000, 24000]),
    st.integers(1, 60000),
    st.floats(0.001, 3.0),
)
def test_blocks_joined_are_what_read_gives(tmp_path_factory, rate, wanted, samples, seconds):
    path = tmp_path_factory.mktemp("blocks") / "in.wav"
    sf.write(path, noise(samples), rate)
    whole, out_rate = audio.read(path, wanted)
    blocks = list(audio.blocks(path, wanted, seconds))
    assert out_rate == (wanted or rate)
    assert len(whole) == -(-samples * out_rate // rate)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert {len(block) for block in blocks[:-1]} <= {max(1, round(seconds * out_rate))}


@pytest.mark.parametrize(
    ("name", "form", "subtype", "tolerance"),
    [
        ("a.wav", "WAV", "PCM_16", 1e-4),
        ("a.wav", "WAV", "PCM_24", 1e-6),
        ("a.wav", "WAV", "FLOAT", 0),
        ("a.wav", "WAV", "PCM_U8", 1e-2),
        ("a.flac", "FLAC", "PCM_16", 1e-4),
        ("a.ogg", "OGG", "VORBIS", 0.1),
        ("a.opus", "OGG", "OPUS", 0.1),
        ("a.mp3", "MP3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_formats_in(tmp_path, name, form, subtype, tolerance):
    wave = tone(48000, 48000)
    if subtype not in sf.available_subtypes(form):
        pytest.skip(f"this libsndfile has no {subtype}")
    sf.write(tmp_path / name, wave, 48000, subtype=subtype, format=form)
    read, rate = audio.read(tmp_path / name)
    about = audio.info(tmp_path / name)
    assert (rate, about.sample_rate, about.channels) == (48000, 48000, 1)
    assert len(read) == about.frames == 48000
    assert about.seconds == 1.0
    assert np.abs(read[2000:-2000] - wave[2000:-2000]).max() <= tolerance


def test_channels_are_averaged(tmp_path):
    left, right = noise(500, 1), noise(500, 2)
    sf.write(tmp_path / "s.wav", np.stack([left, right], 1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "s.wav")[0], (left + right) / 2, atol=1e-6)


def test_a_flac_of_unstated_length_is_counted(tmp_path):
    sf.write(tmp_path / "a.flac", noise(50000), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0  # STREAMINFO: 36 bits of total samples, 0 is unknown
    data[22:26] = bytes(4)
    (tmp_path / "pipe.flac").write_bytes(data)
    assert audio.info(tmp_path / "pipe.flac").frames == 50000
    assert len(audio.read(tmp_path / "pipe.flac")[0]) == 50000


def test_a_long_file_is_read_in_constant_memory(tmp_path):
    with sf.SoundFile(tmp_path / "long.flac", "w", 48000, 1) as file:
        for _ in range(10):
            file.write(np.zeros(48000 * 60, np.float32))
    audio.read(write_wav(tmp_path / "warm.wav"), 8000)  # imports torch
    tracemalloc.start()
    total = sum(len(block) for block in audio.blocks(tmp_path / "long.flac", 16000, 1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 16000 * 600
    assert peak < 15e6  # the whole, decoded, is 115 MB


# --- bad files ----------------------------------------------------------------------------------


def write_wav(path: Path, wave: np.ndarray | None = None) -> Path:
    sf.write(path, noise(20000) if wave is None else wave, 16000, subtype="FLOAT")
    return path


def missing(path: Path) -> None:
    pass


def directory(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("no sound here\n" * 500)


def header_cut(path: Path) -> None:
    path.write_bytes(write_wav(path).read_bytes()[:20])


def no_samples(path: Path) -> None:
    write_wav(path, np.zeros(0, np.float32))


def some_nan(path: Path) -> None:
    write_wav(path, np.where(np.arange(9000) == 7000, np.nan, 0.0))


def some_infinity(path: Path) -> None:
    write_wav(path, np.where(np.arange(9000) == 7000, -np.inf, 0.0))


def wrong_scale(path: Path) -> None:
    write_wav(path, noise(9000) * 32768)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (missing, "No such file"),
        (directory, "is a directory"),
        (empty, r"is empty \(0 bytes\)"),
        (text, "is not a sound file"),
        (header_cut, "is not a sound file"),
        (no_samples, "holds no samples"),
        (some_nan, "holds NaN or infinite samples"),
        (some_infinity, "holds NaN or infinite samples"),
        (wrong_scale, r"holds samples of 2\d{4}"),
    ],
)
def test_bad_files_are_one_line(tmp_path, spoil, words):
    path = tmp_path / "bad.wav"
    spoil(path)
    uses = [audio.read, lambda path: list(audio.blocks(path, 8000, 1.0))]
    if spoil not in (some_nan, some_infinity, wrong_scale):  # these are not in the header
        uses.append(audio.info)
    for use in uses:
        with pytest.raises(AudioError, match=words) as caught:
            use(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_cut_flac_or_mp3_gives_what_is_there_unless_that_is_refused(
    tmp_path, caplog, suffix, part
):
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    sf.write(whole, noise(160000), 16000)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * part)])
    wave = audio.read(cut)[0]
    assert (part - 0.1) * 160000 < len(wave) < (part + 0.05) * 160000
    np.testing.assert_allclose(wave, audio.read(whole)[0][: len(wave)], atol=1e-4)
    assert len(caplog.messages) == 1 and "is cut short" in caplog.messages[0]
    with pytest.raises(AudioError, match=r"is cut short: holds .* s that it states"):
        audio.read(cut, allow_cut=False)


def test_a_damaged_flac_is_an_error(tmp_path):
    sf.write(tmp_path / "a.flac", noise(160000), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[len(data) // 2] ^= 0x10
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(AudioError, match=r"is damaged: 0\.2\d s of it cannot be decoded"):
        audio.read(tmp_path / "a.flac")


def test_a_cut_wav_gives_the_samples_that_are_there(tmp_path):
    path = write_wav(tmp_path / "a.wav")
    whole = audio.read(path)[0]
    path.write_bytes(path.read_bytes()[:-4000])
    part = audio.read(path)[0]
    assert len(part) == audio.info(path).frames == len(whole) - 1000
    np.testing.assert_array_equal(part, whole[: len(part)])


def test_raw_samples_are_refused(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(AudioError, match="raw samples have no header"):
        audio.info(tmp_path / "a.raw")


# --- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".FLAC"])
def test_sixteen_bits_come_back_exactly(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    wave = np.random.default_rng(0).integers(-32768, 32768, 300000).astype(np.float32) / 32768
    audio.write(path, wave, 16000)
    read, rate = audio.read(path)
    assert rate == 16000
    np.testing.assert_array_equal(read, wave)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_file_of_no_samples_is_one_of_its_format(tmp_path, suffix):
    audio.write(tmp_path / f"empty{suffix}", np.zeros(0, np.float32), 16000)
    about = sf.info(tmp_path / f"empty{suffix}")
    assert (about.samplerate, about.channels, about.format) == (16000, 1, suffix[1:].upper())
    with pytest.raises(AudioError, match="holds no samples"):
        audio.read(tmp_path / f"empty{suffix}")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_pieces_make_one_file_and_loud_samples_are_clipped(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with audio.AudioWriter(path, 16000) as writer:
        for _ in range(3):
            writer.write(2 * tone(16000, 16000))
        writer.write(np.zeros(0, np.float32))
        assert not path.exists()
    assert audio.info(path).frames == 48000
    assert 0.9 < np.abs(audio.read(path)[0]).max() < 1.2
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_long_ogg_in_one_piece(tmp_path):
    # 10 minutes in one call overflow the stack of libsndfile's encoder.
    audio.write(tmp_path / "long.ogg", np.zeros(8000 * 600, np.float32), 8000)
    assert audio.info(tmp_path / "long.ogg").frames == 8000 * 600


def test_failed_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "out.wav"
    audio.write(path, noise(100), 16000)
    before = path.read_bytes()
    with (
        pytest.raises(ValueError, match=r"shape \(samples,\)"),
        audio.AudioWriter(path, 16000) as writer,
    ):
        writer.write(noise(200).reshape(1, 200))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.wav"]


def test_bad_outputs_are_one_line(tmp_path, monkeypatch):
    wave = noise(100)
    (tmp_path / "folder.wav").mkdir()
    for name, words in [
        ("out.mp3", r"must end in one of \.wav, \.flac, \.ogg"),
        ("out", "must end in one of"),
        ("nowhere/out.wav", "cannot be written: No such file"),
        ("folder.wav", "is a directory"),
    ]:
        with pytest.raises(AudioError, match=words):
            audio.write(tmp_path / name, wave, 16000)
    with pytest.raises(AudioError, match="cannot be written as FLAC at 5000000 Hz"):
        audio.write(tmp_path / "out.flac", wave, 5000000)
    with pytest.raises(AudioError, match="hold NaN"):
        audio.write(tmp_path / "out.wav", wave * np.nan, 16000)
    monkeypatch.setattr(audio.writing, "_WAV_LIMIT", 100)
    with pytest.raises(AudioError, match="longer than a WAV file can be"):
        audio.write(tmp_path / "out.wav", wave, 16000)
    assert [file.name for file in tmp_path.iterdir()] == ["folder.wav"]


def test_an_audio_error_is_one_that_a_user_can_mend():
    assert issubclass(AudioError, SpeechLMError)
