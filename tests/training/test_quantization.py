"""Quantization in training: bypass, noise, unquantized examples, number of codebooks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from speechlm.quantize import ResidualQuantizer
from speechlm.training.codec import CodecObjective
from speechlm.training.quantization import QuantizationConfig, TrainingQuantization
from speechlm.utils import distributed
from speechlm.utils.distributed import Shard

from .runs import recipe

ROWS, CODEBOOKS = 64, 4


def build(**settings: object) -> TrainingQuantization:
    config = QuantizationConfig(quantizer_bypass_steps=10, **settings)  # type: ignore[arg-type]
    return TrainingQuantization(config, CODEBOOKS)


def quantizer() -> ResidualQuantizer:
    torch.manual_seed(0)
    return ResidualQuantizer(4, num_codebooks=CODEBOOKS, codebook_size=8).eval()


def latents() -> torch.Tensor:
    return torch.randn(ROWS, 4, 10, generator=torch.Generator().manual_seed(1))


ALL = torch.full((ROWS,), CODEBOOKS)


def test_the_bypass_ends_at_its_step() -> None:
    z = latents()
    quantization = build(unquantized_prob=0.0)
    for step in (0, 9):
        quantized = quantization(quantizer(), z, ALL, step)
        assert torch.equal(quantized.z, z)
        assert quantized.codes.shape == (ROWS, 0, 10)
        assert not quantized.losses
    quantized = quantization(quantizer(), z, ALL, 10)
    assert quantized.codes.shape == (ROWS, CODEBOOKS, 10)
    torch.testing.assert_close(quantized.z, quantizer()(z).z)


def test_a_codec_is_trained_without_its_quantizer_first(corpus: Path, tmp_path: Path) -> None:
    """In the bypass neither the codebooks start nor is there a commitment."""
    made = recipe(corpus, tmp_path)
    made.quantization.quantizer_bypass_steps = 3
    objective = CodecObjective(made).train()
    first = objective.model.quantizer.stages[0]
    for step, is_quantized in ((0, False), (2, False), (3, True)):
        _, terms = objective(objective.batch(step), "model", step)
        assert ("commitment" in terms) == is_quantized
        assert bool(first.initialized) == is_quantized


@pytest.mark.parametrize("prob", [0.0, 0.5, 1.0])
def test_a_fraction_of_the_examples_is_decoded_unquantized(prob: float) -> None:
    """To the end; the quantizer has codes and losses of all of them."""
    z, reference = latents(), quantizer()(latents())
    torch.manual_seed(0)
    quantized = build(unquantized_prob=prob)(quantizer(), z, ALL, 100_000)
    same = torch.tensor(
        [torch.equal(one, other) for one, other in zip(quantized.z, z, strict=True)]
    )
    assert abs(float(same.float().mean()) - prob) < 0.2
    assert bool(same.all()) == (prob == 1)
    torch.testing.assert_close(quantized.z[~same], reference.z[~same])
    assert torch.equal(quantized.codes, reference.codes)
    assert quantized.losses.keys() == reference.losses.keys()


def test_noise_in_the_bypass_follows_its_schedule() -> None:
    z = 3 * latents()
    quantization = build(latent_noise={"from": 0.5, "to": 0.0, "start": 2, "end": 10})
    for step, strength in ((0, 0.5), (2, 0.5), (6, 0.25), (8, 0.125)):
        torch.manual_seed(0)
        error = quantization(quantizer(), z, ALL, step).z - z
        assert error.std().item() == pytest.approx(3 * strength, rel=0.1)
        assert error.mean().item() == pytest.approx(0, abs=0.1)
    assert torch.equal(build()(quantizer(), z, ALL, 0).z, z)


def test_micro_batches_draw_what_the_batch_does() -> None:
    quantization = build(latent_noise=0.5)
    z = latents()
    for step in (0, 20):
        torch.manual_seed(step)
        number = quantization.draw_num_codebooks(ROWS, Shard())
        expected = quantization(quantizer(), z, number, step)
        z_parts, number_parts = [], []
        for index in range(4):
            torch.manual_seed(step)
            with distributed.micro_batch(index, 4):
                shard = Shard(index, 4)
                kept = quantization.draw_num_codebooks(ROWS // 4, shard)
                rows = z[shard.rows(ROWS)]
                z_parts.append(quantization(quantizer(), rows, kept, step).z)
                number_parts.append(kept)
        assert torch.equal(torch.cat(number_parts), number)
        torch.testing.assert_close(torch.cat(z_parts), expected.z)


def test_qualities_are_drawn_for_a_fraction_of_the_examples() -> None:
    quantization = build(variable_rate_prob=0.25)
    torch.manual_seed(0)
    qualities = quantization.draw_qualities(4000, Shard())
    assert abs(float((~qualities.isnan()).float().mean()) - 0.25) < 0.03
    known = qualities[~qualities.isnan()]
    assert 0 <= float(known.min()) < 0.5
    assert 6.5 < float(known.max()) <= 7
