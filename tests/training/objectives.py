"""An objective of each kind, small enough to be built in a second."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from speechlm.alignment.ctc import AlignerConfig
from speechlm.codec import CodecNetwork, NeuralCodec
from speechlm.data.batches.task_mixture import MixtureConfig, TaskConfig
from speechlm.data.prepare import prepare
from speechlm.lm.config import DepthConfig, LMConfig
from speechlm.tokenizers.features import TeacherConfig
from speechlm.tokenizers.vq_apc import VqApcConfig
from speechlm.training.aligner import AlignerRecipe
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.entropy_model import EntropyModelDataConfig, EntropyModelRecipe
from speechlm.training.lm import LMLossConfig, LMRecipe
from speechlm.training.objective import Objective
from speechlm.training.quantized_entropy_model import EntropyModelConfig
from speechlm.training.registry import OBJECTIVES
from speechlm.training.transcribed_features import TranscribedFeaturesConfig
from speechlm.training.vocoder import VocoderDataConfig, VocoderRecipe
from speechlm.training.vq_apc import VqApcDataConfig, VqApcRecipe
from speechlm.vocoder.config import VocoderConfig, VoiceConfig
from tests.lm.corpora import text_model, tokenized

from .runs import CODECS, recipe

FOLDER = Path(__file__).parents[2] / "data" / "folder.yaml"

CODEC_KINDS = ("codec-vectors", "codec-scalars", "codec-adversarial")
KINDS = (*CODEC_KINDS, "vocoder", "lm", "entropy-model", "aligner", "vq-apc")


class Objectives:
    """Builds them in ``folder``, of six tones of a second with a text."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def corpus(self) -> Path:
        source, corpus = self.folder / "tones", self.folder / "corpus"
        if (corpus / "corpus.json").exists():  # made by another process
            return corpus
        source.mkdir()
        random = np.random.default_rng(0)
        for number in range(6):
            time = np.arange(16000) / 16000
            wave = 0.3 * np.sin(2 * np.pi * (200 + 90 * number) * time * (1 + time))
            wave += 0.02 * random.standard_normal(len(wave))
            soundfile.write(source / f"{number}.wav", wave, 16000)
            (source / f"{number}.txt").write_text("abc ab", "utf-8")
        usual = [f"path={source}", f"output={corpus}", "name=tones", "language=en"]
        prepare(FOLDER, [*usual, "split.by=utterance", "split.dev=0.3", "split.test=0"])
        return corpus

    @cached_property
    def codec(self) -> Path:
        torch.manual_seed(0)
        return NeuralCodec(CodecNetwork(CODECS["vectors"])).save_pretrained(self.folder / "codec")

    @cached_property
    def tokens(self) -> Path:
        tokens = self.folder / "tokens"
        if not tokens.exists():
            tokenized(tokens, 30)
            text_model(self.folder)
        return tokens

    def recipe(self, kind: str, **training: Any) -> tuple[str, Any]:
        """The name of the kind in the registry, and a recipe of six steps, little of it random."""
        out = str(self.folder / "runs" / kind)
        how = TrainingConfig(
            out=out,
            steps=6,
            validate_every=3,
            checkpoint_every=2,
            log_every=1,
            optimizer=OptimizerConfig(warmup=2),
        )
        for name, value in training.items():
            setattr(how, name, value)
        corpora, cache = [str(self.corpus)], str(self.folder / "cache")
        if kind in CODEC_KINDS:
            made = recipe(self.corpus, Path(out), kind.removeprefix("codec-"))
            made.quantization.quantizer_bypass_steps = made.quantization.unquantized_prob = 0
            made.adversarial.start = 0 if kind == "codec-adversarial" else None
            made.training = how
            return "codec", made
        if kind == "vocoder":
            small = VocoderConfig(dim=8, blocks=1, voice=VoiceConfig(8, 1, 4), duration_dim=8)
            data = VocoderDataConfig(corpora, cache, seconds=0.5, prompt=0.5, batch=2, validation=2)
            return kind, VocoderRecipe(
                units=str(self.codec), vocoder=small, data=data, training=how
            )
        if kind == "lm":
            lm = LMConfig(
                dim=16,
                num_layers=1,
                num_heads=2,
                num_kv_heads=1,
                ffn_dim=16,
                depth=DepthConfig(8, 1, 2, 8),
            )
            tasks = {name: TaskConfig() for name in ("speech", "asr", "tts")}
            text = str(self.tokens.parent / "text.model")
            mixture = MixtureConfig(
                [str(self.tokens)], 2, text, tasks, batch=2, length=128, validation=4
            )
            return kind, LMRecipe(lm=lm, data=mixture, loss=LMLossConfig(ctc=0.5), training=how)
        if kind == "entropy-model":
            codes = EntropyModelDataConfig(corpora, cache, frames=40, batch=4, validation=8)
            model = EntropyModelConfig(width=4, trunk=8, hidden=8, layers=2, head=6)
            return kind, EntropyModelRecipe(
                codec=str(self.codec), model=model, data=codes, heads=2, floats=0, training=how
            )
        if kind == "aligner":
            aligner = AlignerConfig(teacher=TeacherConfig("mfcc"), dim=16, blocks=1)
            texts = TranscribedFeaturesConfig(corpora, language="en", batch=2)
            return kind, AlignerRecipe(aligner=aligner, data=texts, training=how)
        units = VqApcConfig(dim=16, blocks=1, clusters=8)
        crops = VqApcDataConfig(corpora, seconds=0.5, batch=2, validation=2)
        return kind, VqApcRecipe(units=units, data=crops, training=how)

    def __call__(self, kind: str, **training: Any) -> Objective:
        name, made = self.recipe(kind, **training)
        objective: Objective = OBJECTIVES[name][1](made)
        return objective
