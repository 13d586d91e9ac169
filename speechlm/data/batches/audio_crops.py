"""Training batches: random crops of recordings, a pure function of the step.

A batch depends on (seed, step) alone, so a resumed run, or one on another number of workers, sees
exactly the batches that would have come.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from speechlm.data.augment import AugmentConfig, augment
from speechlm.data.corpus import read_cuts
from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class CorpusRecording:
    """One file of a prepared corpus; ``samples`` at the corpus's sample rate."""

    path: Path
    samples: int
    sample_rate: int


def recordings(corpus: Path, split: str) -> list[CorpusRecording]:
    """The recordings of a prepared corpus folder, in the order of its manifest; maybe none.

    Raises:
        SpeechLMError: when the folder is not a prepared corpus.
    """
    found = (cut.recording for cut in read_cuts([corpus], split))
    return [
        CorpusRecording(Path(r.sources[0].source), r.num_samples, r.sampling_rate) for r in found
    ]


@dataclass(frozen=True)
class Draw:
    """What row ``index`` of a batch is cropped from: recording ``item`` from ``start`` on."""

    index: int
    item: int
    start: int
    gain: float


class Crops:
    """Batches of random crops (batch, samples), float32.

    A recording is drawn in proportion to its length, so that every second of speech is as likely;
    one shorter than the crop is followed by silence. The gain of each crop is drawn evenly from
    ``gain_db``, and lowered where it would clip; then comes ``augment``, whose draws are the crop's
    own: with it or without, the same crops come.

    Recordings that fit in ``memory`` together stay there decoded. Of more than that, a crop is all
    that is read: a millisecond of FLAC, however long the recording and however large the corpus.

    Args:
        memory: bytes for decoded recordings, two a sample.

    Raises:
        SpeechLMError: when there is nothing to draw, or a recording has another sample rate; later,
            when a recording cannot be read.
    """

    def __init__(
        self,
        items: list[CorpusRecording],
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
                    f"{item.path}: {item.sample_rate} Hz, but the model works at {sample_rate} Hz: "
                    f"speechlm prepare ... sample_rate={sample_rate}"
                )
        self.items = items
        self.samples = samples
        self.batch = batch
        self.seed = seed
        self.gain_db = gain_db
        self.augment = augment
        lengths = np.array([max(item.samples, 1) for item in items], dtype=np.float64)
        self.ends = np.cumsum(lengths) / lengths.sum()
        self.keep = 2 * lengths.sum() <= memory
        self._kept: dict[Path, np.ndarray] = {}
        self._on_device: DeviceRecordings | None = None

    def __call__(self, step: int, rows: slice = slice(None)) -> np.ndarray:
        """The batch of this step, (batch, samples), or some rows of it: others are not read."""
        draws = self._draw(step, rows)
        batch = np.zeros((len(draws), self.samples), dtype=np.float32)
        for row, draw in zip(batch, draws, strict=True):
            item = self.items[draw.item]
            # From one: a seed (seed, step, 0) is the same as (seed, step).
            own = np.random.default_rng((self.seed, step, draw.index + 1))
            crop = self._read(item.path, draw.start).astype(np.float32) / 32768
            lay(row, crop, draw.gain, item.sample_rate, self.augment, own)
        return batch

    def tensor(self, step: int, rows: slice = slice(None)) -> Tensor:
        """The same as a tensor: on the device of :meth:`place`, if it was called."""
        if self._on_device is None:
            return torch.from_numpy(self(step, rows))
        return self._on_device.crops(self._draw(step, rows), self.samples)

    def place(self, device: torch.device, memory: int | None = None) -> bool:
        """Keep all recordings on ``device`` and crop them there; return whether that is done.

        Not with augmentation, which runs on the CPU, nor where they need more than ``memory`` bytes
        (None: half of what is free on a CUDA device).
        """
        if memory is None:
            memory = torch.cuda.mem_get_info(device)[0] // 2
        augments = self.augment is not None and self.augment.is_active
        if augments or 2 * sum(item.samples for item in self.items) > memory:
            return False
        self._on_device = DeviceRecordings(self.items, device)
        self._kept.clear()
        return True

    def _draw(self, step: int, rows: slice) -> list[Draw]:
        """What the rows of a step are cropped from."""
        random = np.random.default_rng((self.seed, step))
        wanted = range(self.batch)[rows]
        draws = []
        for index in range(wanted.stop):
            item = int(np.searchsorted(self.ends, random.random()))
            last = max(self.items[item].samples - self.samples, 0)
            start = int(random.integers(0, last + 1))
            draws.append(Draw(index, item, start, 10 ** (random.uniform(*self.gain_db) / 20)))
        return draws[wanted.start :]

    def _read(self, path: Path, start: int) -> NDArray[np.int16]:
        """The samples of a crop, or as many as the recording has from ``start`` on."""
        if self.keep and path not in self._kept:
            self._kept[path] = read_samples(path, 0, -1)
        if self.keep:
            return self._kept[path][start : start + self.samples]
        return read_samples(path, start, self.samples)


class DeviceRecordings:
    """Recordings on a device, one after the other in one tensor of 16-bit samples."""

    def __init__(self, items: list[CorpusRecording], device: torch.device):
        waves = [read_samples(item.path, 0, -1) for item in items]
        self.samples = torch.from_numpy(np.concatenate(waves)).to(device)
        self.lengths = np.array([len(wave) for wave in waves])
        self.offsets = np.cumsum(self.lengths) - self.lengths

    def crops(self, draws: list[Draw], samples: int) -> Tensor:
        """Float32 (len(draws), samples), to the bit what :func:`lay` gives without augmentation."""
        device = self.samples.device
        items = [draw.item for draw in draws]
        starts = np.array([draw.start for draw in draws])
        first = torch.from_numpy(self.offsets[items] + starts).to(device)
        room = torch.from_numpy(self.lengths[items] - starts).to(device)
        positions = torch.arange(samples, device=device)
        index = (first[:, None] + positions).clamp_max(len(self.samples) - 1)
        waves = self.samples[index].float() / 32768
        waves = torch.where(positions < room[:, None], waves, 0.0)
        gains = torch.tensor([draw.gain for draw in draws], dtype=torch.float64, device=device)
        peaks = waves.abs().amax(dim=1).double().clamp_min(1e-6)
        return waves * torch.minimum(gains, 1 / peaks).float()[:, None]


def lay(
    row: np.ndarray,
    crop: np.ndarray,
    gain: float,
    rate: int,
    changes: AugmentConfig | None,
    random: np.random.Generator,
) -> None:
    """Put a crop (up to samples,) into its row (samples,), with its gain and what else changes."""
    row[: len(crop)] = crop * min(gain, 1 / max(float(np.abs(crop).max()), 1e-6))
    if changes is not None and changes.is_active:
        row[:] = augment(row, rate, changes, random)


def read_samples(path: Path, start: int, samples: int) -> NDArray[np.int16]:
    """So many samples (-1: all) of a recording from ``start`` on, fewer at its end."""
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            return file.read(samples, dtype="int16")
    except soundfile.LibsndfileError as error:
        raise SpeechLMError(f"{path}: {error.error_string}") from None
