"""Training batches from Lhotse Shar, whose shards are read whole and in order, from any place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speechlm.data.augment import AugmentConfig
from speechlm.data.batches.audio_crops import lay
from speechlm.data.shar import Shar
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path, cache

if TYPE_CHECKING:
    from lhotse.cut import Cut


@dataclass
class _Open:
    """A shard that a lane is at: its cuts, and (cut, part) of each crop in the epoch's order."""

    shard: int
    epoch: int
    cuts: list[Cut]
    crops: NDArray[np.int64]


class ShardCrops:
    """Batches of crops (batch, samples), float32, a pure function of (seed, step).

    A recording gives as many crops as fit, each from somewhere in its own part of it. The shards
    are dealt to ``lanes``, and each row of a batch belongs to a lane. A lane reads its shards in an
    order of its own in each epoch, and the crops of a shard in another, each once an epoch: there
    is no state but the step. A process reads the shards of the lanes of its own rows only, so
    that processes, up to as many as lanes, share the shards without overlap or loss.

    Memory is that of a shard, as it is stored, for each lane of the process.

    Args:
        lanes: or fewer, when there are fewer shards or rows.

    Raises:
        SpeechLMError: when a shard cannot be read; later, when a recording has another sample rate.
    """

    def __init__(
        self,
        sources: Sequence[Shar],
        sample_rate: int,
        samples: int,
        batch: int,
        seed: int,
        gain_db: tuple[float, float] = (0.0, 0.0),
        augment: AugmentConfig | None = None,
        lanes: int = 8,
    ):
        self.sample_rate = sample_rate
        self.samples = samples
        self.batch = batch
        self.seed = seed
        self.gain_db = gain_db
        self.augment = augment
        self.seconds = samples / sample_rate
        self.shards = [(shar, number) for shar in sources for number in range(len(shar))]
        self.sizes = np.concatenate([_sizes(shar, self.seconds) for shar in sources])
        self.lanes = max(1, min(lanes, batch, len(self.shards)))
        dealt = np.random.default_rng(seed).permutation(len(self.shards))
        self._dealt = [dealt[lane :: self.lanes] for lane in range(self.lanes)]
        self._open: dict[int, _Open] = {}

    def __call__(self, step: int, rows: slice = slice(None)) -> np.ndarray:
        """The batch of this step, (batch, samples), or some rows of it: others are not read."""
        wanted = range(self.batch)[rows]
        batch = np.zeros((len(wanted), self.samples), np.float32)
        for index in wanted:
            random = np.random.default_rng((self.seed, step, index + 1))
            cut, part = self.crop(step, index)
            wave = self._read(cut, part, random)
            gain = 10 ** (random.uniform(*self.gain_db) / 20)
            row = batch[index - wanted.start]
            lay(row, wave, gain, self.sample_rate, self.augment, random)
        return batch

    def crop(self, step: int, index: int) -> tuple[Cut, int]:
        """The recording of a row of a step's batch, and the part of it."""
        lane = index * self.lanes // self.batch
        first = -(-lane * self.batch // self.lanes)
        width = -(-(lane + 1) * self.batch // self.lanes) - first
        own = self._dealt[lane]
        epoch, position = divmod(step * width + index - first, int(self.sizes[own].sum()))
        order = np.random.default_rng((self.seed, epoch, lane)).permutation(own)
        ends = np.cumsum(self.sizes[order])
        place = int(np.searchsorted(ends, position, side="right"))
        found = self._opened(lane, int(order[place]), epoch)
        cut, part = found.crops[position - ends[place] + self.sizes[order[place]]]
        return found.cuts[cut], int(part)

    def _opened(self, lane: int, shard: int, epoch: int) -> _Open:
        found = self._open.get(lane)
        if found is None or (found.shard, found.epoch) != (shard, epoch):
            self._open.pop(lane, None)
            shar, number = self.shards[shard]
            cuts = shar.read(number)
            parts = [_parts(cut.duration, self.seconds) for cut in cuts]
            crops = np.array([(cut, part) for cut, n in enumerate(parts) for part in range(n)])
            if len(crops) != self.sizes[shard]:
                raise SpeechLMError(
                    f"{shar.cuts[number]}: holds other recordings than before; remove {_kept()}"
                )
            random = np.random.default_rng((self.seed, epoch, shard, len(crops)))
            found = _Open(shard, epoch, cuts, random.permutation(crops))
            self._open[lane] = found
        return found

    def _read(self, cut: Cut, part: int, random: np.random.Generator) -> NDArray[np.float32]:
        if cut.sampling_rate != self.sample_rate:
            raise SpeechLMError(
                f"{cut.id}: {cut.sampling_rate} Hz, but the model works at {self.sample_rate} Hz"
            )
        slack = max(cut.duration - self.seconds, 0.0) / _parts(cut.duration, self.seconds)
        start = (part + random.random()) * slack
        length = min(self.seconds, cut.duration - start)
        try:
            wave = np.asarray(cut.truncate(offset=start, duration=length).load_audio(), np.float32)
        except Exception as error:  # of any of Lhotse's backends
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SpeechLMError(f"{cut.id}: cannot be read: {reason}") from None
        return wave.mean(axis=0)[: self.samples]


def _parts(seconds: float, crop: float) -> int:
    """Crops that a recording gives in an epoch."""
    return max(1, round(seconds / crop))


def _sizes(shar: Shar, crop: float) -> NDArray[np.int64]:
    """Crops of each shard; counted once and kept."""
    name = hashlib.sha256(f"{shar.digest} {crop}".encode()).hexdigest()[:16]
    path = _kept() / f"{name}.json"
    try:
        sizes = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        sizes = [
            sum(_parts(seconds, crop) for seconds in shar.seconds(shard))
            for shard in range(len(shar))
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(sizes), "utf-8")
    return np.array(sizes, np.int64)


def _kept() -> Path:
    return cache() / "shar"
