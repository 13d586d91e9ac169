"""Training a language model over text and units."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.codec import NeuralCodec
from speechlm.data.batches.pack import PackedBatch
from speechlm.data.batches.task_mixture import Mixture, MixtureConfig
from speechlm.errors import SpeechLMError
from speechlm.lm import hf
from speechlm.lm.config import IdsConfig, LMConfig
from speechlm.lm.model import UnitLM
from speechlm.lm.vocabulary import END_OF_SPEECH, PAD, Vocabulary
from speechlm.lm.vocabulary import FILE as VOCABULARY
from speechlm.nn import PackedSequences
from speechlm.nn.transformer import Block
from speechlm.tokenizers.base import Units
from speechlm.tokenizers.text import FILE as TEXT_MODEL
from speechlm.training.config import TrainingConfig
from speechlm.training.losses.ctc import ctc_loss
from speechlm.training.losses.terms import LossTerm, Schedule, Weight, total_loss
from speechlm.training.masking import MaskConfig, drop_semantic, masked_columns
from speechlm.training.objective import Objective
from speechlm.utils import distributed
from speechlm.utils.terminal import errors


@dataclass
class LMLossConfig:
    """Weights of the predicted tokens in the mean that is trained on."""

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"levels": "codebook_weights"}

    text: float = 1.0
    """Of pieces of text, of which there are few beside the units, and their end."""
    codebook_weights: list[float] = field(default_factory=list)
    """Of units, by level; 1 where none is given."""
    ctc: Weight = 0.0
    """Of the CTC loss of the text of speech (:mod:`speechlm.training.losses.ctc`), a further term;
    the model then has a CTC output."""


@dataclass
class LMRecipe:
    """The recipe of a language model; ``lm.ids`` comes from the data.

    ``init`` is what to start from: a language model of the same sizes and vocabulary (folder or hub
    id), one that lacks the level above the codec's of stacked units, or a folder with any text
    model of the Llama architecture. Embeddings begin by the codebooks of ``codec`` (folder, shipped
    name or hub id), the one that the units are of.
    """

    RENAMED_KEYS: ClassVar[dict[str, str]] = {"masking": "mask", "keep": "training.keep_models"}

    kind: str = "lm"
    name: str = "lm"
    lm: LMConfig = field(default_factory=LMConfig)
    data: MixtureConfig = field(default_factory=MixtureConfig)
    loss: LMLossConfig = field(default_factory=LMLossConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    init: str | None = None
    codec: str | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)


LOST_WITHOUT = {
    "wordwise_tts": "data.tasks.tts-wordwise, the task that uses them",
    "ctc": "loss.ctc above 0",
    "semantic_stream": "mask.semantic_dropout above 0",
}
"""Parts that a model to start from may have and a recipe leave out, and what keeps them."""


FREE = "name", "dropout", "ctc", "wordwise_tts", "semantic_stream", "guidance", "best_of", "units"
"""Fields of ``lm`` that may differ from those of the model that ``init`` names."""


@dataclass
class LMOutputs:
    """What the losses of a language model are computed from.

    Attributes:
        likelihood: mean negative log-likelihood (nats) of the predicted tokens, weighted by kind.
        h: outputs of the backbone (batch, time, dim).
        tokens: joint ids (batch, rows, time).
        segments: which example a column (batch, time) belongs to.
    """

    likelihood: Tensor
    h: Tensor
    tokens: Tensor
    segments: Tensor


class LMObjective(Objective):
    """The negative log-likelihood of what the tasks predict."""

    weights: Tensor
    supports_fsdp = True
    _no_split_modules = ("Block",)
    """What FSDP gathers at a time: a block of a transformer."""

    def __init__(self, recipe: LMRecipe):
        super().__init__()
        torch.manual_seed(recipe.training.seed)
        if recipe.data.length > recipe.lm.max_position_embeddings:
            raise SpeechLMError(
                f"data.length={recipe.data.length} is longer than "
                f"lm.max_position_embeddings={recipe.lm.max_position_embeddings}"
            )
        self.recipe = recipe
        self.data = Mixture(recipe.data, recipe.lm.pattern, recipe.training.seed)
        units = self.data.vocabulary.units
        self.rate = units.frame_rate
        text = hashlib.sha256(self.data.text.model).hexdigest()
        self.identity = f"{units.weights} {text}"
        ids = ids_of(self.data.vocabulary)
        semantic = recipe.mask.semantic_dropout > 0
        if semantic and (units.codec is None or recipe.lm.pattern != "depth"):
            raise SpeechLMError("mask.semantic_dropout: needs stacked units, and lm.pattern=depth")
        ctc_weight = Schedule.parse(recipe.loss.ctc, "loss.ctc")
        has_ctc, wordwise = not ctc_weight.is_zero, "tts-wordwise" in self.data.tasks
        config = replace(
            recipe.lm, ids=ids, ctc=has_ctc, wordwise_tts=wordwise, semantic_stream=semantic
        )
        self.model: UnitLM = UnitLM(config)
        if recipe.codec is not None:
            self.model.init_embeddings(_vectors(recipe.codec, units))
        if recipe.init is not None:
            _start(self.model, recipe.init, self.data)
        self.register_buffer(
            "weights", _weights(recipe.loss, self.data.vocabulary), persistent=False
        )
        constant = Schedule.parse(1.0, "")
        self.terms = [LossTerm("likelihood", constant, _likelihood_of)]
        if has_ctc:
            self.terms.append(LossTerm("ctc", ctc_weight, self._ctc_loss))
        # Of each micro-batch: its weight over the mean weight of those of all processes.
        self._scales = torch.ones(1)

    def batch(self, step: int) -> dict[str, Tensor]:
        rows = self.shard.rows(self.recipe.data.batch)
        return _tensors(self.data.batches(step, rows), torch.device("cpu"))

    def batch_amount(self, batch: dict[str, Tensor]) -> tuple[float, str]:
        data = self.recipe.data
        return data.batch / self.shard.count * data.length, "columns"

    def micro_batches(self, batch: dict[str, Tensor], count: int) -> list[dict[str, Tensor]]:
        split = super().micro_batches(batch, count)
        weights = torch.stack([self.model.weight(**part, weights=self.weights) for part in split])
        self._scales = weights / distributed.all_reduce_mean(weights.mean()).clamp(min=1e-9)
        return split

    def forward(
        self, batch: dict[str, Tensor], phase: str, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        # Each process and part with a dropout of its own; nothing else is drawn here.
        torch.manual_seed(torch.initial_seed() + self.row_shard.index)
        tokens, segments = batch["tokens"], batch["segments"]
        ids = self.model.config.ids
        config, backbone, depth = self.recipe.mask, tokens, None
        masked = masked_columns(tokens, batch["mask"], segments, ids, config)
        if config.semantic_dropout:
            backbone, depth = drop_semantic(**batch, ids=ids, prob=config.semantic_dropout)
        h = self.model(backbone, PackedSequences(segments), masked)
        nats, kinds = self.model.loss(**batch, weights=self.weights, h=h, known=depth)
        # The mean over the tokens of all parts and processes, not of their means.
        outputs = LMOutputs(
            nats * self._scales[distributed.current_micro_batch().index], h, tokens, segments
        )
        total, values = total_loss(self.terms, outputs, step)
        return total, {**values, **_bits(kinds, self.rate)}

    def _ctc_loss(self, outputs: LMOutputs) -> Tensor:
        assert self.model.ctc is not None
        return ctc_loss(
            self.model.ctc, outputs.h, outputs.tokens, outputs.segments, self.data.vocabulary
        )

    @torch.no_grad()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """By task: bits a second of speech, in all and by level; the perplexity of a piece of text.

        ``loss`` is the mean over the tasks, by their weights, of nats a token.
        """
        assert isinstance(model, UnitLM)
        device = next(model.parameters()).device
        figures: dict[str, float] = {}
        loss = 0.0
        weights = {name: task.weight for name, task in self.data.tasks.items()}
        for name, batches in self.data.held_out.items():
            sums: dict[str, Tensor] = {}
            for batch in batches:
                for kind, term in model.loss(**_tensors(batch, device))[1].items():
                    sums[kind] = sums.get(kind, 0.0) + term.double().cpu()
            nats, tokens = torch.stack(list(sums.values())).sum(dim=0).tolist()
            loss += weights[name] / sum(weights.values()) * nats / tokens
            bits = {kind: float(value) for kind, value in _bits(sums, self.rate).items()}
            levels = [value for kind, value in bits.items() if kind.startswith("level")]
            if levels:
                bits["bits_per_second"] = sum(levels)
            if "text" in bits:
                bits["perplexity"] = 2 ** bits.pop("text")
            figures |= {f"{name}/{kind}": value for kind, value in bits.items()}
        return {"loss": loss, **figures}

    def networks(self) -> list[nn.Module]:
        return [part for part in self.model.modules() if isinstance(part, Block)]

    def export(self, model: nn.Module, folder: Path, metadata: dict[str, Any]) -> None:
        assert isinstance(model, UnitLM)
        self.data.vocabulary.save(folder)
        self.data.text.save(folder / TEXT_MODEL)
        hub.save_model(folder, model.config, model.state_dict(), metadata)


def _likelihood_of(outputs: LMOutputs) -> Tensor:
    return outputs.likelihood


def ids_of(vocabulary: Vocabulary) -> IdsConfig:
    """What a model has to know of a vocabulary."""
    return IdsConfig(
        specials=len(vocabulary.specials),
        text=vocabulary.pieces,
        codebook_size=vocabulary.units.codebook_size,
        num_codebooks=vocabulary.units.num_codebooks,
        pad=vocabulary.id(PAD),
    )


def _weights(config: LMLossConfig, vocabulary: Vocabulary) -> Tensor:
    """A weight for each id.

    What may stand in the same place weighs the same, or the model would take it for more probable
    than it is: the end of speech weighs what units of level 0 do, and other special tokens what
    text does.

    Raises:
        SpeechLMError: when there are weights for more levels than there are, or one is negative.
    """
    num_codebooks = vocabulary.units.num_codebooks
    if (
        len(config.codebook_weights) > num_codebooks
        or min(config.text, *config.codebook_weights, 0) < 0
    ):
        raise SpeechLMError(f"loss: weights are 0 or more, of at most {num_codebooks} codebooks")
    each = torch.full((vocabulary.size,), config.text)
    each[vocabulary.level(0).start :] = 1.0
    for level, weight in enumerate(config.codebook_weights):
        ids = vocabulary.level(level)
        each[ids.start : ids.stop] = weight
    each[vocabulary.id(END_OF_SPEECH)] = each[vocabulary.level(0).start]
    return each


def _vectors(name: str, units: Units) -> Tensor:
    """What each unit adds to the latents of the codec ``name``: (codebooks, codebook_size, dim).

    Raises:
        SpeechLMError: when the units are not that codec's.
    """
    codec = NeuralCodec.from_pretrained(name)
    if codec.weights_hash != units.weights:
        raise SpeechLMError(f"{name}: its weights are {codec.weights_hash}, and data is {units}")
    return codec.network.quantizer.codebook_vectors()[: units.num_codebooks]


def _start(model: UnitLM, name: str, data: Mixture) -> None:
    """Give ``model`` the weights of another.

    Raises:
        SpeechLMError: when there is none, or it does not fit.
    """
    if (Path(name) / hf.CONFIG).is_file() and not (Path(name) / hub.CONFIG).is_file():
        _start_from_llama(model, Path(name), data)
        return
    config, weights = hub.load_model(name, LMConfig)
    folder, ours, own = hub.find_model(name), data.vocabulary, model.config
    theirs = Vocabulary.load(folder)
    grows = ours.units.sound is not None and theirs == replace(ours, units=ours.units.sound)
    _check_ids(name, ours if grows else theirs, folder / TEXT_MODEL, data)
    config = replace(config, ids=own.ids)
    free = {name: getattr(own, name) for name in FREE}
    if replace(config, **free) != own:
        raise SpeechLMError(f"{name}: another architecture than that of the recipe")
    for part, key in LOST_WITHOUT.items():
        if getattr(config, part) and not getattr(own, part):
            _report(f"{name}: its weights of {part} are left out; to keep them, set {key}")
    known = model.state_dict()
    if grows:
        weights = _below_a_plan(weights, model)
    model.load_state_dict(known | {name: weights[name] for name in weights if name in known})


def _start_from_llama(model: UnitLM, folder: Path, data: Mixture) -> None:
    """As :func:`_start`, from a folder of ``transformers``, maybe one that this project wrote."""
    if hf.has_ids(folder, model.config.ids):
        described = (folder / VOCABULARY).is_file()
        theirs = Vocabulary.load(folder) if described else data.vocabulary
        _check_ids(str(folder), theirs, folder / hf.TOKENIZER, data)
    kept = hf.warm_start(model, folder, data.text.pieces)
    _report(f"{folder}: {kept} of {model.size} ids keep their embeddings")


def _report(line: str) -> None:
    """Print a line on standard error, in one of the processes."""
    if distributed.is_main_process():
        errors.print(line, markup=False, highlight=False, soft_wrap=True)


def _check_ids(name: str, theirs: Vocabulary, text: Path, data: Mixture) -> None:
    """Equal numbers of ids may still be of other letters and units.

    ``text`` is the other model's text tokenizer, of which a folder of ``transformers`` may have
    none.

    Raises:
        SpeechLMError: when the model ``name`` reads other tokens than ``data`` holds.
    """
    ours = data.vocabulary
    if theirs.units != ours.units:
        raise SpeechLMError(
            f"{name}: speaks {theirs.units}, and this recipe's data is {ours.units}: name in "
            "data.corpora what the same tokenizer wrote, or train without init"
        )
    if theirs.specials != ours.specials:
        missing = ", ".join(token for token in ours.specials if token not in theirs.specials)
        raise SpeechLMError(
            f"{name}: has other special tokens than this recipe's data"
            f"{f' (it lacks {missing})' if missing else ''}: the vocabulary has changed since it "
            "was trained; train without init"
        )
    if theirs != ours or (text.is_file() and text.read_bytes() != data.text.model):
        raise SpeechLMError(
            f"{name}: has other pieces of text than this recipe's data: name its {text.name} in "
            "data.text"
        )


def _below_a_plan(weights: dict[str, Tensor], model: UnitLM) -> dict[str, Tensor]:
    """``weights`` of a model of a codec's levels, for ``model``, which has one level above them.

    That level, and what predicts the first below it, stay as they are in ``model``.
    """
    own, first, size = model.state_dict(), model.first, model.config.ids.codebook_size
    grown = dict(weights)
    if "head" in weights:
        grown["head"] = torch.cat([weights["head"][:first], own["head"][first:]])
    tables = {"embedding.weight": first, "depth.embedding.weight": 0, "depth.heads": 0}
    for name, start in tables.items():
        step = 1 if name == "depth.heads" else size
        if name in weights:
            parts = weights[name][:start], own[name][start : start + step], weights[name][start:]
            grown[name] = torch.cat(parts)
    return grown


def _bits(terms: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Bits a piece of text or special token, and bits a second of each level, where there are any.

    ``terms`` are sums of nats and their numbers of tokens, by kind; a level has ``rate`` codes a
    second.
    """
    return {
        kind: term[0] / term[1] / math.log(2) * (rate if kind.startswith("level") else 1.0)
        for kind, term in terms.items()
        if float(term[1])
    }


def _tensors(batch: PackedBatch, device: torch.device) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(getattr(batch, name)).to(device)
        for name in ("tokens", "mask", "segments")
    }
