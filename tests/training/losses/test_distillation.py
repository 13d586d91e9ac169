"""Level 0 learns what a teacher hears, and the encoder with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from speechlm.codec import NeuralCodec
from speechlm.codec.config import CodecConfig, QuantizerConfig, SpectralConfig
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features import TeacherConfig
from speechlm.training.codec import CodecDataConfig, CodecObjective, CodecRecipe
from speechlm.training.config import OptimizerConfig, TrainingConfig
from speechlm.training.losses.distillation import DistillationConfig, DistillationLoss
from speechlm.training.quantization import QuantizationConfig
from speechlm.training.trainer import train

from ..runs import log

CODEC = CodecConfig(
    name="toy",
    latent=16,
    spectral=SpectralConfig(16, 1, 16, 1),
    quantizer=QuantizerConfig(num_codebooks=2, codebook_size=16),
)


def test_level_0_learns_what_the_teacher_hears(corpus, tmp_path):
    recipe = CodecRecipe(
        codec=CODEC,
        data=CodecDataConfig([str(corpus)], seconds=0.5, batch=4, validation=4),
        quantization=QuantizationConfig(quantizer_bypass_steps=2),
        distillation=DistillationConfig(TeacherConfig("log-mel")),
        training=TrainingConfig(
            out=str(tmp_path), steps=40, log_every=10, validate_every=40,
            optimizer=OptimizerConfig(rate=1e-2, warmup=3),
        ),
    )  # fmt: skip
    model = train(recipe.training, CodecObjective(recipe))
    terms = [line["distillation"] for line in log(tmp_path) if "distillation" in line]
    assert len(terms) == 4
    # In 40 steps from .98 to .90, as measured.
    assert terms == sorted(terms, reverse=True)
    assert terms[-1] < 0.95 * terms[0]
    # The map to features is the objective's own: the model is a codec like others.
    assert NeuralCodec.from_pretrained(model).num_codebooks == 2


def test_the_gradient_reaches_the_encoder_through_level_0():
    torch.manual_seed(0)
    loss = DistillationLoss(TeacherConfig("mfcc"), CODEC)
    z = torch.randn(2, 16, 26, requires_grad=True)
    first = torch.randn(2, 16, 26, requires_grad=True)
    loss(first, z, torch.randn(2, 25 * 320)).backward()
    assert first.grad is None
    assert z.grad is not None
    assert z.grad[:, :, :25].abs().sum() > 0
    assert not z.grad[:, :, 25:].any()


@pytest.mark.parametrize("kind", ["residual-scalar", "scalar"])
def test_scalar_levels_learn_from_a_teacher_too(kind, corpus):
    """In a bypass there is no level 0."""
    recipe = CodecRecipe(
        codec=replace(
            CODEC, quantizer=QuantizerConfig(kind=kind, num_codebooks=1, codebook_size=16)
        ),
        data=CodecDataConfig([str(corpus)], seconds=0.5, batch=2, validation=2),
        quantization=QuantizationConfig(quantizer_bypass_steps=1),
        distillation=DistillationConfig(TeacherConfig("log-mel")),
    )
    objective = CodecObjective(recipe)
    told = ["distillation" in objective(objective.batch(step), "model", step)[1] for step in (0, 1)]
    assert told == [False, True]


def test_units_that_stay_learn_nothing(corpus):
    recipe = CodecRecipe(
        codec=CODEC,
        data=CodecDataConfig([str(corpus)]),
        distillation=DistillationConfig(TeacherConfig("log-mel")),
        decoder_only=True,
        init="codec-nano",
    )
    with pytest.raises(SpeechLMError, match="decoder_only leaves units as they are"):
        CodecObjective(recipe)


def test_other_frames_are_one_line():
    with pytest.raises(SpeechLMError, match="frames of 160 samples at 16000 Hz, the codec of 320"):
        DistillationLoss(TeacherConfig("mfcc", hop_length=160), CODEC)
