"""Codebooks in a row."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from speechlm.quantize import ResidualQuantizer, VectorQuantizer

from .kinds import DIM, KINDS, NUM_CODEBOOKS, RESIDUAL_VECTOR, errors, latents, made

close = torch.testing.assert_close


@pytest.mark.parametrize("kind", RESIDUAL_VECTOR)
def test_kmeans_starts_one_level_a_step(kind):
    quantizer = made(kind, started=False).train()
    assert isinstance(quantizer, ResidualQuantizer)
    random = [stage.codebook.detach().clone() for stage in quantizer.stages]
    for step in range(1, NUM_CODEBOOKS + 1):
        quantized = quantizer(latents())
        assert [bool(stage.initialized) for stage in quantizer.stages] == [
            k < step for k in range(NUM_CODEBOOKS)
        ]
        # The levels that have not begun take no part.
        assert quantized.codes.shape == (3, NUM_CODEBOOKS, 20)
        assert not quantized.codes[:, step:].any()
        for before, stage in zip(random[step:], quantizer.stages[step:], strict=True):
            close(stage.codebook, before, atol=0, rtol=0)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    dim=st.integers(1, 8),
    codebook_size=st.integers(2, 16),
    frames=st.integers(4, 100),
    more=st.integers(0, 30),
)
@torch.no_grad()
def test_more_levels_never_raise_the_training_error(seed, dim, codebook_size, frames, more):
    torch.manual_seed(seed)
    quantizer = ResidualQuantizer(dim, NUM_CODEBOOKS, codebook_size)
    z = torch.randn(2, dim, frames) * torch.rand(dim, 1) + torch.randn(dim, 1)
    for _ in range(NUM_CODEBOOKS + more):
        quantizer(z)
    error = errors(quantizer.eval(), z).mean(dim=(1, 2))
    assert (error.diff() <= 1e-6).all(), error


@pytest.mark.parametrize("kind", ["residual-gradient", "residual-lookup", "residual-scalar"])
def test_nor_do_they_where_gradients_train_the_levels(kind):
    quantizer = made(kind, started=False).train()
    z = latents(4, 50)
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    for _ in range(150):
        quantized = quantizer(z, torch.randint(1, NUM_CODEBOOKS + 1, (4,)))
        loss = F.mse_loss(quantized.z, z) + quantized.losses.get("codebook", 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = errors(quantizer.eval(), z).mean(dim=(1, 2))
    assert (error.diff() <= 0).all(), error
    assert error[-1] < 0.5 * z.square().sum(dim=1).mean()


@pytest.mark.parametrize("kind", ["residual-gradient", "residual-lookup"])
def test_a_level_is_no_path_for_anothers_gradient(kind):
    quantizer = made(kind)
    assert isinstance(quantizer, ResidualQuantizer)
    z = latents()
    quantized = quantizer(z)
    (quantized.losses["codebook"] * NUM_CODEBOOKS + quantized.z.square().sum()).backward()
    upstream = 2 * quantized.z.detach()
    together = [
        {name: p.grad for name, p in stage.named_parameters()} for stage in quantizer.stages
    ]
    quantizer.zero_grad()
    # The same, one level at a time, each as a codebook alone on its residual.
    residual = z.transpose(1, 2)
    for stage, grads in zip(quantizer.stages, together, strict=True):
        assert isinstance(stage, VectorQuantizer)
        y, _, loss = stage.quantize(residual)
        (loss + (y * upstream.transpose(1, 2)).sum()).backward()
        for name, parameter in stage.named_parameters():
            close(grads[name], parameter.grad, atol=1e-5, rtol=1e-4)
        residual = residual - y.detach()


@torch.no_grad()
def test_a_level_quantizes_what_the_levels_before_it_left():
    quantizer = made("residual-ema")
    assert isinstance(quantizer, ResidualQuantizer)
    z = latents()
    left = z
    for k, stage in enumerate(quantizer.stages):
        code = stage.encode(left)
        close(code, quantizer.encode(z)[:, k : k + 1])
        left = left - stage.decode(code)
    close(left, z - quantizer.decode(quantizer.encode(z)), atol=1e-5, rtol=1e-5)


def distance(quantizer, z, codes):
    return (z - quantizer.decode(codes)).square().sum(dim=1)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), beam=st.integers(2, 12), num_codebooks=st.integers(1, 2))
@pytest.mark.parametrize("kind", RESIDUAL_VECTOR)
@torch.no_grad()
def test_at_one_or_two_levels_a_beam_is_no_worse_in_any_frame(kind, seed, beam, num_codebooks):
    quantizer = made(kind, seed=seed % 3)
    torch.manual_seed(seed)
    z = latents()
    greedy = distance(quantizer, z, quantizer.encode(z, num_codebooks))
    assert (distance(quantizer, z, quantizer.encode(z, num_codebooks, beam)) <= greedy + 1e-5).all()


@pytest.mark.parametrize("kind", RESIDUAL_VECTOR)
@torch.no_grad()
def test_a_wider_beam_is_better_on_average(kind):
    quantizer = made(kind)
    z = latents(20, 100)
    errors = [distance(quantizer, z, quantizer.encode(z, beam=b)) for b in (1, 2, 4, 8)]
    assert all(wide.mean() < narrow.mean() for narrow, wide in itertools.pairwise(errors))
    # In a frame in two hundred (over five seeds), four levels of greedy choices were lucky.
    worse = (errors[2] > errors[0] + 1e-4).double().mean()
    assert worse < 0.02


@torch.no_grad()
def test_a_beam_over_everything_finds_the_best_sum():
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(3, 3, 4).eval()
    z = torch.randn(2, 3, 10)
    every = torch.tensor(list(itertools.product(range(4), repeat=3)))
    sums = quantizer.decode(every.T[None])[0].T
    best = every[torch.cdist(z.transpose(1, 2), sums[None]).argmin(dim=2)].transpose(1, 2)
    close(quantizer.encode(z, beam=64), best)
    close(quantizer.encode(z, beam=1), quantizer.encode(z))


@pytest.mark.parametrize("kind", ["residual-ema"])
@torch.no_grad()
def test_restarts_keep_every_level_in_use(kind):
    """Codebooks that a burst of odd data pulled away come back, each level on its residual."""
    quantizer = KINDS[kind]().train()
    assert isinstance(quantizer, ResidualQuantizer)
    torch.manual_seed(0)
    for stage in quantizer.stages:
        stage.codebook.add_(100.0)
        stage.initialized.fill_(True)
        stage.decay = 0.9
    for _ in range(80):
        quantizer(torch.randn(4, DIM, 50))
    error = errors(quantizer.eval(), latents(4, 100)).mean(dim=(1, 2))
    assert (error.diff() < 0).all(), error
