"""Crops from Lhotse Shar: all of them once an epoch, whoever reads which."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lhotse import CutSet, Recording

from speechlm.data.augment import AugmentConfig
from speechlm.data.batches.shar_crops import ShardCrops
from speechlm.data.shar import Shar, named
from speechlm.errors import SpeechLMError
from speechlm.utils.distributed import Shard
from tests.data.trees import wave_file

RATE = 16000


@pytest.fixture(scope="module")
def shar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards of three recordings or fewer, of 0.05 to 0.7 s, each a ramp of its own."""
    folder = tmp_path_factory.mktemp("shar")
    random = np.random.default_rng(0)
    cuts = []
    for number in range(14):
        samples = int(RATE * random.uniform(0.05, 0.7))
        ramp = (number + 1) / 20 + np.arange(samples, dtype=np.float32) / RATE / 20
        wave_file(folder / f"{number}.wav", ramp)
        cuts.append(Recording.from_file(folder / f"{number}.wav").to_cut())
    out = folder / "shar"
    out.mkdir()
    CutSet.from_cuts(cuts).to_shar(out, fields={"recording": "flac"}, shard_size=3)
    return out


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def crops(shar: Path, batch: int = 6, seconds: float = 0.1, **settings: object) -> ShardCrops:
    return ShardCrops([named(shar)], RATE, round(seconds * RATE), batch, 0, **settings)


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_each_crop_comes_once_an_epoch(shar: Path, lanes: int, processes: int) -> None:
    made = crops(shar, lanes=lanes)
    assert made.lanes == min(lanes, 5)
    shares = [Shard(index, processes).rows(6) for index in range(processes)]
    seen: dict[int, Counter] = {lane: Counter() for lane in range(made.lanes)}
    for step in range(60):
        for rows in shares:
            for index in range(6)[rows]:
                cut, part = made.crop(step, index)
                seen[index * made.lanes // 6][cut.id, part] += 1
    every = Counter()
    for lane, found in seen.items():
        # Of each crop as many as of any other, but for the epoch that has not ended.
        assert max(found.values()) - min(found.values()) <= 1
        assert len(found) == made.sizes[made._dealt[lane]].sum()
        assert not every & found
        every += found
    expected = {
        (cut.id, part)
        for shard in range(5)
        for cut in named(shar).read(shard)
        for part in range(max(1, round(cut.duration / 0.1)))
    }
    assert set(every) == expected


def test_a_batch_depends_on_the_step_alone(shar: Path) -> None:
    settings = {"gain_db": (-6.0, 0.0), "augment": AugmentConfig(noise=0.5)}
    whole = [crops(shar, **settings)(step) for step in (0, 1, 7, 40)]
    resumed = crops(shar, **settings)
    for step, expected in zip((40, 7, 1, 0), reversed(whole), strict=True):
        np.testing.assert_array_equal(resumed(step), expected)
        parts = [crops(shar, **settings)(step, Shard(k, 3).rows(6)) for k in range(3)]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert not np.array_equal(whole[0], whole[1])


def test_crops_are_of_their_own_part(shar: Path) -> None:
    """A ramp tells where in its recording a crop is from."""
    made = crops(shar, seconds=0.2)
    for step in range(20):
        batch = made(step)
        for index in range(6):
            cut, part = made.crop(step, index)
            wave = cut.load_audio()[0]
            count = max(1, round(cut.duration / 0.2))
            first = batch[index, 0]
            at = (first - wave[0]) * 20
            slack = max(cut.duration - 0.2, 0) / count
            assert part * slack - 2e-3 <= at <= (part + 1) * slack + 2e-3
            length = min(len(wave), 3200)
            np.testing.assert_allclose(np.diff(batch[index, :length]), 1 / RATE / 20, atol=1e-4)
            assert not batch[index, length:].any()


def test_a_process_opens_its_own_shards(shar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    real = Shar.read
    monkeypatch.setattr(Shar, "read", lambda self, n: (opened.append(n), real(self, n))[1])
    by_process = []
    for index in range(2):
        made = crops(shar, lanes=2)
        for step in range(30):
            made(step, Shard(index, 2).rows(6))
        assert len(made._open) == 1
        by_process.append(set(opened))
        opened.clear()
    assert by_process[0] | by_process[1] == set(range(5))
    assert not by_process[0] & by_process[1]


def test_sizes_are_counted_once(shar: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = crops(shar)
    monkeypatch.setattr(Shar, "seconds", lambda *_: pytest.fail("counted again"))
    assert list(crops(shar).sizes) == list(made.sizes)
    (path,) = (cache / "speechlm" / "shar").iterdir()
    path.write_text(str([1] * 5))
    with pytest.raises(SpeechLMError, match=r"holds other recordings than before; remove"):
        crops(shar)(0)


def test_what_cannot_be_read_is_one_line(shar: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="8000 Hz"):
        ShardCrops([named(shar)], 8000, 800, 2, 0)(0)
    with pytest.raises(SpeechLMError, match="no Lhotse Shar"):
        named(tmp_path)
