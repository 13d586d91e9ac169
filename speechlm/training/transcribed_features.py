"""Features of transcribed speech, in batches for CTC.

The teacher's features are what takes time, so they are kept in the run folder; see
:class:`speechlm.training.units.Kept`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from speechlm.alignment.ctc import encode_text, min_frames, normalize
from speechlm.data import speech
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features import Teacher
from speechlm.training.objective import Objective
from speechlm.training.units import Kept
from speechlm.utils.distributed import Shard

Example = tuple[np.ndarray, list[int]]
"""Features (frames, dim) and the classes of letters."""


@dataclass
class TranscribedFeaturesConfig:
    """Transcribed speech, and how much of it a batch is."""

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    language: str = "en"
    seconds: float = 20.0
    """What is longer is left out."""
    batch: int = 24
    """Utterances of like lengths."""
    validation: int = 96
    """Utterances of the dev splits on which to validate."""


class TranscribedFeatures:
    """Utterances of the train and dev splits, in the letters and digits of the transcripts.

    Attributes:
        letters: the alphabet; letter n is class n + 1, class 0 is the blank.
        held_out: examples of the dev splits.

    Raises:
        SpeechLMError: when there are fewer utterances than a batch, or none to validate on.
    """

    def __init__(self, config: TranscribedFeaturesConfig, teacher: Teacher, out: Path, seed: int):
        self.config, self.teacher, self.out, self.seed = config, teacher, out, seed
        train, dev = self._transcribed("train"), self._transcribed("dev")
        dev = dev[:: max(1, len(dev) // config.validation)][: config.validation]
        self._enough(len(train), len(dev))
        self.letters = "".join(sorted(set("".join(normalize(each.text or "") for each in train))))
        self.train = self._examples("train", train)
        self.train.sort(key=lambda example: len(example[0]))
        self.held_out = self._examples("dev", dev)
        self._enough(len(self.train), len(self.held_out))

    def _enough(self, train: int, dev: int) -> None:
        if train < self.config.batch or not dev:
            raise SpeechLMError(
                f"data.corpora: {train} transcribed utterances in {self.config.language} to "
                f"train on and {dev} to validate on; data.batch is {self.config.batch}"
            )

    def _transcribed(self, split: str) -> list[Utterance]:
        """Utterances without segments, which aligning adds to them."""
        return [
            replace(each, segments=(), aligned=False)
            for corpus in self.config.corpora
            for each in speech.find(corpus)
            if (each.split, each.language) == (split, self.config.language)
            and normalize(each.text or "")
        ]

    def _examples(self, split: str, found: list[Utterance]) -> list[Example]:
        """Examples that are neither too long nor too short to be their text."""
        most = self.config.seconds * self.teacher.sample_rate / self.teacher.hop_length
        kept = Kept(self.out / f"features-{split}", self.teacher, found)
        examples = []
        for each, x in zip(found, kept, strict=True):
            letters = encode_text(each.text or "", self.letters)
            if letters and min_frames(letters) <= len(x) <= most:
                examples.append((x, letters))
        return examples

    def batch(self, step: int, shard: Shard) -> dict[str, Tensor]:
        """The shard of the batch of ``step``, of utterances of like lengths."""
        size = self.config.batch
        random = np.random.default_rng((self.seed, step))
        first = int(random.integers(len(self.train) - size + 1))
        rows = range(first, first + size)[shard.rows(size)]
        return collate([self.train[row] for row in rows])

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (dim,) of the features of 1,000 utterances at most."""
        some = self.train[:: max(1, len(self.train) // 1000)]
        x = np.concatenate([features for features, _ in some]).astype(np.float32)
        mean, scale = x.mean(axis=0), x.std(axis=0).clip(1e-3)
        return torch.from_numpy(mean), torch.from_numpy(scale)

    def seconds(self, batch: dict[str, Tensor]) -> float:
        """Seconds of speech that a batch holds."""
        return float(batch["frames"].sum()) * self.teacher.hop_length / self.teacher.sample_rate


class TranscribedObjective(Objective):
    """An objective on :class:`TranscribedFeatures`, its ``data``, which a subclass makes."""

    data: TranscribedFeatures

    def batch(self, step: int) -> dict[str, Tensor]:
        return self.data.batch(step, self.shard)

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        return self.data.seconds(batch), "audio s"

    def seed_shard(self) -> None:
        """Within :meth:`forward`: the trainer seeds all shards alike; each draws its own dropout
        and masks."""
        torch.manual_seed(torch.initial_seed() + self.row_shard.index)

    def held_out(self, model: nn.Module) -> dict[str, Tensor]:
        """The examples of the dev splits as one batch, on the device of ``model``."""
        device = next(model.parameters()).device
        batch = collate(self.data.held_out)
        return {name: value.to(device) for name, value in batch.items()}


def collate(examples: list[Example]) -> dict[str, Tensor]:
    """Features (batch, frames, dim), classes (batch, letters), and how many there are of both."""
    x = [torch.from_numpy(each.astype(np.float32)) for each, _ in examples]
    letters = [torch.tensor(each) for _, each in examples]
    return {
        "features": pad_sequence(x, batch_first=True),
        "frames": torch.tensor([len(each) for each in x]),
        "letters": pad_sequence(letters, batch_first=True),
        "lengths": torch.tensor([len(each) for each in letters]),
    }


def letter_loss(log_probs: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """CTC loss of (batch, frames, classes), in nats a letter, a mean over utterances: shards of a
    batch come to what it does as a whole.
    """
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        batch["letters"],
        batch["frames"],
        batch["lengths"],
        zero_infinity=True,
    )
