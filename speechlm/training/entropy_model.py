"""Training an entropy model: probabilities of the codes of a codec, for the coding of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm import hub
from speechlm.bitstream.entropy import EntropyModel
from speechlm.codec import NeuralCodec
from speechlm.data.tokenize import tokenize
from speechlm.data.tokens import Tokens
from speechlm.errors import SpeechLMError
from speechlm.training.config import TrainingConfig
from speechlm.training.objective import Objective
from speechlm.training.quantized_entropy_model import EntropyModelConfig, QuantizedEntropyModel
from speechlm.utils.files import copy


@dataclass
class EntropyModelDataConfig:
    """Where the codes come from and how a batch is cut from them."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {
        "full": "all_codebooks_prob",
        "ragged": "variable_rate_prob",
    }

    corpora: list[str] = field(default_factory=list)
    """Folders that ``speechlm prepare`` wrote."""
    cache: str = "data/tokens"
    """Where their codes are kept, a folder for each corpus and codec."""
    frames: int = 128
    batch: int = 10
    all_codebooks_prob: float = 0.4
    """Fraction of the examples that keep all codebooks; the others keep a uniformly drawn number.
    """
    variable_rate_prob: float = 0.15
    """Fraction of the examples whose frames then differ in their number of codebooks."""
    validation: int = 64
    """Windows of the dev splits on which to validate."""


@dataclass
class EntropyModelRecipe:
    """The recipe of an entropy model for ``codec`` (a folder; null: the shipped default)."""

    kind: str = "entropy-model"
    name: str = "entropy-model"
    codec: str | None = None
    model: EntropyModelConfig = field(default_factory=EntropyModelConfig)
    data: EntropyModelDataConfig = field(default_factory=EntropyModelDataConfig)
    floats: int = 1000
    """First steps, without rounding to whole numbers."""
    heads: int = 6
    """Levels drawn each step, the lower the more often, since there is more to learn of them."""
    training: TrainingConfig = field(default_factory=TrainingConfig)


class EntropyModelObjective(Objective):
    """Bits a frame, at a random number of levels for each example.

    The model folder is a copy of the codec's with the entropy model in it. At the end of training
    it also goes into the folder that the recipe names.
    """

    # It is small beside its data, and the last export is the one that reaches the codec.
    selects_best = False

    def __init__(self, recipe: EntropyModelRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        self.recipe = recipe
        self.folder = hub.find_model(recipe.codec)
        teacher = NeuralCodec.from_pretrained(recipe.codec)
        self.weights_hash = self.identity = teacher.weights_hash
        self.model: QuantizedEntropyModel = QuantizedEntropyModel(
            recipe.model, teacher.num_codebooks, teacher.codebook_size
        )
        corpora = [self._tokens(folder) for folder in recipe.data.corpora]
        self.codes = {split: _joined(corpora, split, recipe) for split in ("train", "dev")}
        counts = [np.bincount(row, minlength=teacher.codebook_size) for row in self.codes["train"]]
        vectors = teacher.network.quantizer.codebook_vectors()
        self.model.start_from(vectors, torch.from_numpy(np.stack(counts)))

    def _tokens(self, corpus: str) -> Tokens:
        folder = Path(self.recipe.data.cache) / f"{Path(corpus).name}-{self.weights_hash}"
        return tokenize(corpus, folder, self.recipe.codec)

    def batch(self, step: int) -> dict[str, Tensor]:
        data = self.recipe.data
        random = np.random.default_rng((self.recipe.training.seed, step))
        codes = self._windows("train", data.batch, random)
        num_codebooks = self.model.num_codebooks
        kept = random.integers(1, num_codebooks + 1, (data.batch, 1))
        kept[random.random(data.batch) < data.all_codebooks_prob] = num_codebooks
        # Runs of four frames with as many levels, up to those of the example.
        runs = random.integers(0, kept + 1, (data.batch, -(-data.frames // 4)))
        varies = random.random((data.batch, 1)) < data.variable_rate_prob
        kept = np.where(varies, runs.repeat(4, axis=1)[:, : data.frames], kept)
        codes[np.arange(num_codebooks)[:, None] >= kept[:, None]] = -1
        return {"codes": torch.from_numpy(codes[self.shard.rows(len(codes))])}

    def _windows(self, split: str, number: int, random: np.random.Generator) -> np.ndarray:
        """Int64 (number, codebooks, frames), from anywhere: recordings follow one another."""
        frames = self.recipe.data.frames
        codes = self.codes[split]
        starts = random.integers(0, codes.shape[1] - frames + 1, number)
        return np.stack([codes[:, start : start + frames] for start in starts]).astype(np.int64)

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        return float((batch["codes"] >= 0).sum()), "codes"

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        codes = batch["codes"]
        odds = 1 / (1 + torch.arange(self.model.num_codebooks))
        drawn = torch.multinomial(odds, min(self.recipe.heads, self.model.num_codebooks)).tolist()
        bits = _bits(self.model, codes, step >= self.recipe.floats, drawn)
        frames = codes.shape[0] * codes.shape[2]
        bits_per_frame = torch.stack([level.sum() for level in bits]).sum() / frames
        return bits_per_frame, {"bits": bits_per_frame}

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Shares of the packed size that are saved at a quarter, half and all of the levels.

        ``loss`` is the mean of what is left, in bits a code.
        """
        device = next(model.parameters()).device
        random = np.random.default_rng(self.recipe.training.seed)
        windows = torch.from_numpy(self._windows("dev", self.recipe.data.validation, random))
        most = self.model.num_codebooks
        packed = (self.model.codebook_size - 1).bit_length()
        figures, left = {}, []
        for num_codebooks in sorted({max(1, most // 4), max(1, most // 2), most}):
            means = []
            for codes in windows.split(8):
                kept = codes.to(device).index_fill(
                    1, torch.arange(num_codebooks, most, device=device), -1
                )
                bits = torch.cat(_bits(model, kept, True, range(num_codebooks)))
                means.append(float(bits.mean()))
            left.append(float(np.mean(means)))
            figures[f"saved@{num_codebooks}"] = 1 - left[-1] / packed
        return {"loss": float(np.mean(left)), **figures}

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        assert isinstance(model, QuantizedEntropyModel)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (hub.CONFIG, hub.WEIGHTS):
            copy(self.folder / name, folder / name)
        targets = [folder]
        if metadata["step"] == self.recipe.training.steps:
            targets.append(self.folder)
        try:
            made = EntropyModel(model.arrays())
        except ValueError as error:
            raise SpeechLMError(f"{error}: raise training.optimizer.weight_decay") from None
        for target in targets:
            hub.save_entropy_model(target, made, self.weights_hash, metadata)


def _bits(model: nn.Module, codes: Tensor, whole: bool, drawn: Sequence[int]) -> list[Tensor]:
    """What the codes that are there of each of the levels take, (n,) each."""
    scores = model(codes, whole, drawn, unit=log(2))
    rows = [codes[:, k][codes[:, k] >= 0] for k in drawn]
    return [
        F.cross_entropy(score, row, reduction="none") / log(2)
        for score, row in zip(scores, rows, strict=True)
    ]


def _joined(corpora: list[Tokens], split: str, recipe: EntropyModelRecipe) -> np.ndarray:
    """All codes of a split, uint16 (codebooks, frames)."""
    found = [
        tokens.codes(entry)
        for tokens in corpora
        for entry in tokens.entries
        if entry.split == split
    ]
    if sum(codes.shape[1] for codes in found) < recipe.data.frames:
        raise SpeechLMError(
            f"data.corpora: fewer than {recipe.data.frames} frames of {split} in "
            f"{list(recipe.data.corpora)}; name prepared corpora that have some"
        )
    return np.concatenate(found, axis=1)
