"""Muon: its orthogonal factors against the SVD, and its steps against PyTorch's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from speechlm.training import muon
from speechlm.training.muon import COEFFICIENTS, ERROR, SMALLEST, Muon, polar_factor

SHAPES = [(32, 32), (24, 96), (96, 24), (1, 16), (192, 642)]


@pytest.fixture(params=[True, False], ids=["bfloat16", "float32"])
def precision(request, monkeypatch) -> float:
    """Both precisions of the products, and how far each may be off."""
    monkeypatch.setattr(muon, "_has_bfloat16", lambda: request.param)
    return 0.1 if request.param else 1e-3


def test_the_polynomials_are_within_their_error():
    x = np.geomspace(SMALLEST, 1, 100_000)
    for a, b, c in COEFFICIENTS:
        x = a * x + b * x**3 + c * x**5
    assert abs(x - 1).max() == pytest.approx(ERROR, abs=5e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_are_those_of_the_svd(shape, precision):
    """In the basis of the singular vectors a factor is diagonal, and 1 within the error."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.mT @ polar_factor(matrix) @ vh.mT
    kept = s > SMALLEST * s.pow(4).sum().pow(0.25)
    assert (inner.diagonal()[kept] - 1).abs().max() < ERROR + 0.005 + precision
    assert (inner - inner.diagonal().diag()).abs().max() < precision


def test_small_singular_values_grow_less_and_do_not_turn(precision):
    values = torch.logspace(0, -5, 24)
    generator = torch.Generator().manual_seed(1)
    u = torch.linalg.qr(torch.randn(24, 24, generator=generator))[0]
    v = torch.linalg.qr(torch.randn(96, 24, generator=generator))[0]
    inner = (u.mT @ polar_factor(u @ values.diag() @ v.mT) @ v).diagonal()
    assert inner.min() > -precision
    assert inner.max() < 1 + ERROR + 0.005 + precision


@pytest.mark.parametrize("shape", [(24, 96), (96, 24)])
def test_the_scale_of_a_matrix_does_not_matter(shape, precision):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    for scale in (1e-6, 1e6):
        difference = polar_factor(scale * matrix) - polar_factor(matrix)
        assert difference.norm() < precision * matrix.norm()
    assert polar_factor(torch.zeros(shape)).equal(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (48, 48)])
def test_steps_go_where_those_of_torch_do(shape, precision):
    ours, theirs = [nn.Parameter(torch.zeros(shape)) for _ in range(2)]
    settings = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    one = Muon([ours], **settings)
    other = torch.optim.Muon([theirs], **settings, adjust_lr_fn="match_rms_adamw")
    generator = torch.Generator().manual_seed(3)
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    cosine = torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)
    assert cosine > 0.97
    assert ours.norm().item() == pytest.approx(theirs.norm().item(), rel=0.3)


def test_weights_without_a_gradient_stay_and_decay_is_decoupled():
    still, decayed = [nn.Parameter(torch.ones(3, 4)) for _ in range(2)]
    optimizer = Muon([still, decayed], lr=0.5, weight_decay=0.1)
    decayed.grad = torch.zeros(3, 4)
    optimizer.step()
    assert still.equal(torch.ones(3, 4))
    assert torch.allclose(decayed, torch.full((3, 4), 0.95))


def test_every_second_step_moves_twice_as_far_and_matrices_take_turns():
    weights = [nn.Parameter(torch.zeros(4, 6)) for _ in range(2)]
    single = nn.Parameter(torch.zeros(4, 6))
    optimizer, once = Muon(weights, lr=0.5, every=2), Muon([single], lr=1.0)
    grad = torch.randn(4, 6, generator=torch.Generator().manual_seed(5))
    moved = []
    for _ in range(4):
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad = grad
        optimizer.step()
        moved.append([not weight.equal(old) for weight, old in zip(weights, before, strict=True)])
    assert moved == [[False, True], [True, False], [False, True], [True, False]]
    single.grad = grad
    once.step()
    ratio = weights[0].norm() / single.norm()  # of one gradient, one direction: two moves of one
    assert ratio.item() == pytest.approx(2, rel=0.05)


def test_a_state_resumes():
    weights = nn.Parameter(torch.randn(4, 6, generator=torch.Generator().manual_seed(4)))
    twin = copy.deepcopy(weights)
    one, other = Muon([weights], every=2), Muon([twin], every=2)
    weights.grad, twin.grad = torch.ones(4, 6), torch.ones(4, 6)
    one.step()
    other.step()
    resumed = Muon([twin], every=2)
    resumed.load_state_dict(other.state_dict())
    one.step()
    resumed.step()
    assert weights.equal(twin)


def test_only_matrices_are_taken():
    with pytest.raises(ValueError, match=r"not for shape \(2, 3, 4\)"):
        Muon([nn.Parameter(torch.zeros(2, 3, 4))])
