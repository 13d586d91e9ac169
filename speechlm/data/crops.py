"""Training batches: random crops of recordings, a pure function of the step.

A batch depends on (seed, step) alone, so a resumed run, or one on another number of workers, sees
exactly the batches that would have come.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from speechlm.data.augment import AugmentConfig, augment
from speechlm.data.corpus import read_cuts
from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class Recording:
    """One file of a prepared corpus; ``samples`` at the corpus's sample rate."""

    path: Path
    samples: int
    sample_rate: int


def recordings(corpus: Path, split: str) -> list[Recording]:
    """The recordings of a prepared corpus folder, in the order of its manifest; maybe none.

    Raises:
        SpeechLMError: when the folder is not a prepared corpus.
    """
    found = (cut.recording for cut in read_cuts([corpus], split))
    return [Recording(Path(r.sources[0].source), r.num_samples, r.sampling_rate) for r in found]


class Crops:
    """Batches of random crops (batch, samples), float32.

    A recording is drawn in proportion to its length, so that every second of speech is as likely;
    one shorter than the crop is followed by silence. The gain of each crop is drawn evenly from
    ``gain_db``, and lowered where it would clip; then comes ``augment``, whose draws are the crop's
    own: with it or without, the same crops come.

    Args:
        memory: bytes of decoded recordings to keep; the oldest leave first.

    Raises:
        SpeechLMError: when there is nothing to draw, or a recording has another sample rate; later,
            when a recording cannot be read.
    """

    def __init__(
        self,
        items: list[Recording],
        sample_rate: int,
        samples: int,
        batch: int,
        seed: int,
        gain_db: tuple[float, float] = (0.0, 0.0),
        augment: AugmentConfig | None = None,
        memory: int = 2 << 30,
    ):
        if not items:
            raise SpeechLMError("no recordings to draw from: the named corpora have none here")
        for item in items:
            if item.sample_rate != sample_rate:
                raise SpeechLMError(
                    f"{item.path}: {item.sample_rate} Hz, but the model works at {sample_rate} Hz; "
                    "speechlm prepare writes 16000 Hz"
                )
        self.items = items
        self.samples = samples
        self.batch = batch
        self.seed = seed
        self.gain_db = gain_db
        self.augment = augment
        self.memory = memory
        lengths = np.array([max(item.samples, 1) for item in items], dtype=np.float64)
        self.ends = np.cumsum(lengths) / lengths.sum()
        self._kept: OrderedDict[Path, np.ndarray] = OrderedDict()
        self._held = 0

    def __call__(self, step: int) -> np.ndarray:
        """The batch of this step, (batch, samples)."""
        random = np.random.default_rng((self.seed, step))
        batch = np.zeros((self.batch, self.samples), dtype=np.float32)
        for index, row in enumerate(batch):
            item = self.items[int(np.searchsorted(self.ends, random.random()))]
            wave = self._wave(item.path)
            start = int(random.integers(0, max(len(wave) - self.samples, 0) + 1))
            crop = wave[start : start + self.samples].astype(np.float32) / 32768
            gain = 10 ** (random.uniform(*self.gain_db) / 20)
            row[: len(crop)] = crop * min(gain, 1 / max(float(np.abs(crop).max()), 1e-6))
            if self.augment is not None:
                # From one: a seed (seed, step, 0) is the same as (seed, step).
                own = np.random.default_rng((self.seed, step, index + 1))
                row[:] = augment(row, item.sample_rate, self.augment, own)
        return batch

    def _wave(self, path: Path) -> np.ndarray:
        wave = self._kept.pop(path, None)
        if wave is None:
            try:
                wave = soundfile.read(path, dtype="int16")[0]
            except soundfile.LibsndfileError as error:
                raise SpeechLMError(f"{path}: {error.error_string}") from None
            self._held += wave.nbytes
        self._kept[path] = wave
        while self._held > self.memory and len(self._kept) > 1:
            self._held -= self._kept.popitem(last=False)[1].nbytes
        return wave
