"""What every quantizer promises, whatever its kind."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from speechlm.quantize import (
    FiniteScalarQuantizer,
    ResidualQuantizer,
    ResidualScalarQuantizer,
    VectorQuantizer,
)

from .kinds import DIM, KINDS, latents, made

close = torch.testing.assert_close
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@torch.no_grad()
def test_codes_are_int64_and_in_range(kind):
    quantizer = made(kind)
    codes = quantizer.encode(latents())
    assert codes.dtype == torch.int64
    assert codes.shape == (3, quantizer.num_codebooks, 20)
    assert 0 <= codes.min() <= codes.max() < quantizer.codebook_size
    assert len(codes.unique()) > 1


@every_kind
@torch.no_grad()
def test_training_and_use_agree(kind):
    quantizer = made(kind)
    z = latents()
    quantized = quantizer(z)
    close(quantized.codes, quantizer.encode(z))
    close(quantized.z, quantizer.decode(quantized.codes), atol=1e-6, rtol=1e-5)


@every_kind
@torch.no_grad()
def test_each_example_keeps_its_own_number_of_levels(kind):
    quantizer = made(kind)
    z = latents(quantizer.num_codebooks)
    quantized = quantizer(z, torch.arange(1, quantizer.num_codebooks + 1))
    close(quantized.codes, quantizer.encode(z))
    for k, codes in enumerate(quantized.codes, start=1):
        kept = quantizer.decode(codes[None, :k])[0]
        close(quantized.z[k - 1], kept, atol=1e-6, rtol=1e-5)


@every_kind
@torch.no_grad()
def test_fewer_levels_are_the_first_of_all(kind):
    quantizer = made(kind)
    z = latents()
    for k in range(1, quantizer.num_codebooks + 1):
        close(quantizer.encode(z, num_codebooks=k), quantizer.encode(z)[:, :k])
    for wrong in (0, -1, quantizer.num_codebooks + 1):
        with pytest.raises(ValueError, match=f"num_codebooks is 1 to {quantizer.num_codebooks}"):
            quantizer.encode(z, num_codebooks=wrong)


@every_kind
@torch.no_grad()
def test_examples_and_frames_do_not_mix(kind):
    quantizer = made(kind).double()
    z = latents().double()
    codes = quantizer.encode(z)
    for i in range(len(z)):
        close(quantizer.encode(z[i : i + 1, :, 7:9]), codes[i : i + 1, :, 7:9])
    assert quantizer.encode(z[:, :, :0]).shape == (3, quantizer.num_codebooks, 0)
    assert quantizer.decode(codes[:, :, :0]).shape == (3, DIM, 0)


@every_kind
@torch.no_grad()
def test_frozen_gives_the_same_codes(kind):
    quantizer = made(kind).double().requires_grad_(False)
    z = latents().double()
    codes = quantizer.encode(z)
    quantizer.freeze()
    close(quantizer.encode(z), codes)
    close(copy.deepcopy(quantizer).encode(z), codes)


def unrounded(quantizer, z):
    """The path of a scalar quantizer without its rounding."""
    return quantizer.project_out(torch.tanh(quantizer.project_in(z.transpose(1, 2)))).transpose(
        1, 2
    )


@every_kind
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dropout", [False, True])
def test_the_straight_through_gradient_is_exactly_one(kind, training, dropout):
    quantizer = made(kind).train(training)
    z = latents().requires_grad_()
    upstream = torch.randn(3, DIM, 20)
    num_codebooks = torch.tensor([1, 1, quantizer.num_codebooks]) if dropout else None
    quantizer(z, num_codebooks).z.backward(upstream)
    expected = upstream
    if kind in ("scalar", "residual-scalar"):
        # Of slope one across the rounding; projections and bound have a slope of their own.
        (expected,) = torch.autograd.grad(unrounded(quantizer, z), z, upstream)
    close(z.grad, expected, atol=0, rtol=0)


@pytest.mark.parametrize("kind", [name for name in KINDS if not name.endswith("scalar")])
def test_commitment_draws_latents_to_the_levels_they_keep(kind):
    quantizer = made(kind)
    z = latents().requires_grad_()
    kept = [1, quantizer.num_codebooks, quantizer.num_codebooks]
    quantized = quantizer(z, torch.tensor(kept))
    quantized.losses["commitment"].backward()
    # Each level's mean is over the examples that keep it; then a mean over the levels.
    expected = torch.zeros_like(z)
    for k in range(quantizer.num_codebooks):
        examples = [i for i in range(3) if kept[i] > k]
        part = quantizer.decode(quantized.codes[:, : k + 1])
        gap = 2 * (z.detach() - part)[examples] / (len(examples) * DIM * 20)
        expected[examples] += gap.detach() / quantizer.num_codebooks
    close(z.grad, expected, atol=1e-6, rtol=1e-4)
    for parameter in quantizer.parameters():
        assert parameter.grad is None


@pytest.mark.parametrize("kind", ["vector-gradient", "vector-lookup", "scalar"])
def test_gradients_train_a_quantizer(kind):
    torch.manual_seed(0)
    quantizer = KINDS[kind]()
    if isinstance(quantizer, VectorQuantizer):
        # No help from k-means and restarts.
        quantizer.initialized.fill_(True)
        quantizer.dead_code_threshold = 0.0
    centres = torch.randn(6, DIM) * 2
    z = (centres[torch.randint(6, (200,))] + 0.1 * torch.randn(200, DIM)).T[None]
    optimizer = torch.optim.Adam(quantizer.parameters(), 2e-2)
    losses = []
    for _ in range(200):
        quantized = quantizer(z)
        loss = F.mse_loss(quantized.z, z)
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss + quantized.losses.get("codebook", 0.0)).backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorQuantizer(4, 8, update="sgd"),
        lambda: VectorQuantizer(4, 8, update="ema", codebook_dim=2),
        lambda: VectorQuantizer(4, 0),
        lambda: ResidualQuantizer(4, 0, 8),
        lambda: FiniteScalarQuantizer(4, ()),
        lambda: FiniteScalarQuantizer(4, (3, 1)),
        lambda: FiniteScalarQuantizer(4, (2,) * 62),
        lambda: ResidualScalarQuantizer(4, 0, (3, 3)),
        lambda: ResidualScalarQuantizer(4, 2, (3, 2)),
        lambda: made("residual-ema").encode(latents(), beam=0),
    ],
)
def test_impossible_settings_are_value_errors(make):
    with pytest.raises(ValueError, match=r"\w"):
        make()
