"""Training batches: a function of the step, every second of speech as likely."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.data.augment import AugmentConfig
from speechlm.data.batches.audio_crops import CorpusRecording, Crops
from speechlm.errors import SpeechLMError

RATE = 16000


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[CorpusRecording]:
    """Recordings of constant, distinct values; 1, 2, 3 and 4 tenths of a second."""
    folder = tmp_path_factory.mktemp("crops")
    made = []
    for number in range(1, 5):
        path = folder / f"{number}.flac"
        samples = number * RATE // 10
        soundfile.write(path, np.full(samples, number * 1000, dtype=np.int16), RATE)
        made.append(CorpusRecording(path, samples, RATE))
    return made


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> list[CorpusRecording]:
    """Noise of several lengths, one of them full scale, one silent."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    made = []
    for number, (samples, peak) in enumerate([(400, 32767), (1600, 9000), (5000, 0), (3000, 300)]):
        path = folder / f"{number}.flac"
        wave = random.integers(-peak - (peak > 32000), peak + 1, samples).astype(np.int16)
        soundfile.write(path, wave, RATE)
        made.append(CorpusRecording(path, samples, RATE))
    return made


def source(row: np.ndarray) -> int:
    return round(float(row[0]) * 32768 / 1000)


@given(steps=st.lists(st.integers(0, 10**9), min_size=1, max_size=4), seed=st.integers(0, 2**31))
def test_a_batch_is_a_function_of_seed_and_step(items, steps, seed):
    one = Crops(items, RATE, 500, 3, seed, (-12.0, 6.0))
    other = Crops(items, RATE, 500, 3, seed, (-12.0, 6.0), memory=1)
    first = [one(step) for step in steps]
    again = [other(step) for step in reversed(steps)]
    for batch, same in zip(first, reversed(again), strict=True):
        assert batch.dtype == np.float32
        assert batch.shape == (3, 500)
        np.testing.assert_array_equal(batch, same)


def test_every_second_is_as_likely(items):
    rows = Crops(items, RATE, 800, 4000, seed=0)(0)
    counts = np.bincount([source(row) for row in rows], minlength=5)[1:]
    # A tenth to four tenths; five standard errors are below .04.
    np.testing.assert_allclose(counts / 4000, [0.1, 0.2, 0.3, 0.4], atol=0.04)


def test_a_short_recording_is_followed_by_silence(items):
    for row in Crops(items, RATE, RATE // 2, 20, seed=0)(0):
        samples = source(row) * RATE // 10
        assert (row[:samples] == row[0]).all()
        assert not row[samples:].any()


def test_crops_begin_anywhere(tmp_path):
    path = tmp_path / "ramp.wav"
    soundfile.write(path, np.arange(1000, dtype=np.int16), RATE)
    rows = Crops([CorpusRecording(path, 1000, RATE)], RATE, 900, 2000, seed=0)(3)
    starts = np.round(rows[:, 0] * 32768).astype(int)
    assert (starts.min(), starts.max()) == (0, 100)
    assert len(set(starts.tolist())) == 101
    np.testing.assert_allclose(np.diff(rows * 32768, axis=1), 1, atol=1e-3)


@pytest.mark.parametrize("gain", [(-12.0, 6.0), (-3.0, -3.0), (0.0, 0.0)])
def test_gains_are_even_in_decibels(items, gain):
    rows = Crops(items[:1], RATE, 100, 3000, seed=0, gain_db=gain)(0)
    decibels = 20 * np.log10(rows[:, 0] * 32768 / 1000)
    low, high = gain
    assert low - 1e-3 <= decibels.min() <= decibels.max() <= high + 1e-3
    assert decibels.mean() == pytest.approx((low + high) / 2, abs=0.4)
    assert decibels.std() == pytest.approx((high - low) / 12**0.5, abs=0.2)


def test_gain_never_clips(tmp_path):
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.array([-32768, 30000, 0, 0] * 100, dtype=np.int16), RATE)
    rows = Crops([CorpusRecording(path, 400, RATE)], RATE, 400, 50, seed=0, gain_db=(-6.0, 20.0))(0)
    assert np.abs(rows).max() == 1.0
    assert np.abs(rows).max(axis=1).min() < 1.0


def test_what_does_not_fit_in_memory_is_read_crop_by_crop(items, monkeypatch):
    read = []
    real = soundfile.SoundFile.read

    def counted(file: soundfile.SoundFile, frames: int, **options: str) -> np.ndarray:
        read.append(frames)
        return real(file, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    size = 2 * sum(item.samples for item in items)
    kept, streamed = (Crops(items, RATE, 100, 8, 0, memory=size - few) for few in (0, 1))
    for step in range(20):
        np.testing.assert_array_equal(kept(step), streamed(step))
    assert sorted(read) == [-1] * 4 + [100] * 160


def test_nothing_to_draw_from_is_one_line(items):
    with pytest.raises(SpeechLMError, match="no recordings"):
        Crops([], RATE, 100, 1, seed=0)
    with pytest.raises(SpeechLMError, match="16000 Hz, but the model works at 24000 Hz"):
        Crops(items, 24000, 100, 1, seed=0)


def test_a_lost_or_broken_recording_is_one_line(tmp_path):
    lost = CorpusRecording(tmp_path / "lost.flac", 1000, RATE)
    broken = CorpusRecording(tmp_path / "broken.flac", 1000, RATE)
    Path(broken.path).write_bytes(b"fLaC and no more")
    for item in (lost, broken):
        with pytest.raises(SpeechLMError, match=rf"{item.path.name}: \w") as no:
            Crops([item], RATE, 100, 1, seed=0)(0)
        assert "\n" not in str(no.value)


@given(step=st.integers(0, 10**9), samples=st.sampled_from([1, 500, 1700, 9000]))
def test_crops_on_a_device_are_those_of_the_cpu_to_the_bit(speech, step, samples):
    gain = (-30.0, 40.0)  # beyond full scale, too
    host = Crops(speech, RATE, samples, 6, 3, gain)
    placed = Crops(speech, RATE, samples, 6, 3, gain)
    assert placed.place(torch.device("cpu"), memory=1 << 20)
    for rows in (slice(None), slice(2, 5)):
        expected = host.tensor(step, rows)
        assert torch.equal(placed.tensor(step, rows), expected)
        assert torch.equal(expected, torch.from_numpy(host(step, rows)))


def test_what_does_not_fit_or_is_augmented_is_not_placed(speech):
    cpu = torch.device("cpu")
    assert not Crops(speech, RATE, 500, 2, 0).place(cpu, memory=1000)
    noisy = AugmentConfig(noise=0.5)
    assert not Crops(speech, RATE, 500, 2, 0, augment=noisy).place(cpu, memory=1 << 20)
    assert Crops(speech, RATE, 500, 2, 0, augment=AugmentConfig()).place(cpu, memory=1 << 20)
