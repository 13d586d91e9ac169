"""One codebook: how it starts, follows its data, and comes back from collapse."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from speechlm.hub import weights_hash
from speechlm.quantize import ResidualQuantizer, VectorQuantizer, perplexity
from speechlm.quantize.vector import FORMER_NAMES, kmeans, published_name

close = torch.testing.assert_close


@pytest.mark.parametrize("update", ["ema", "gradient"])
@torch.no_grad()
def test_an_entry_quantizes_to_itself(update):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 16, update).eval()
    codes = torch.arange(16)[None, None]
    entries = quantizer.decode(codes)
    close(entries[0].T, quantizer.codebook.detach())
    close(quantizer.encode(entries), codes)


@pytest.mark.parametrize("lookup", [None, 3])
@torch.no_grad()
def test_the_code_is_the_nearest_entry(lookup):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 16, "gradient", lookup).eval()
    z = torch.randn(2, 5, 30)
    rows = quantizer.project_in(z.transpose(1, 2))
    if lookup is None:
        nearest = torch.cdist(rows, quantizer.codebook[None]).argmin(dim=2)
    else:
        cosine = F.cosine_similarity(rows[:, :, None], quantizer.codebook, dim=3)
        nearest = cosine.argmax(dim=2)
    close(quantizer.encode(z)[:, 0], nearest)


@torch.no_grad()
def test_of_equal_entries_the_first_is_taken():
    quantizer = VectorQuantizer(2, 4).eval()
    quantizer.codebook.copy_(torch.tensor([[5.0, 5.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]))
    assert quantizer.encode(torch.tensor([[[1.0], [2.0]]])).tolist() == [[[1]]]


@given(seed=st.integers(0, 1000), decay=st.floats(0.5, 0.99), batches=st.integers(1, 6))
@torch.no_grad()
def test_moving_averages_are_the_textbook_ones(seed, decay, batches):
    """N <- d N + (1 - d) n, m <- d m + (1 - d) sum x, e = m / N (van den Oord et al. 2017)."""
    torch.manual_seed(seed)
    quantizer = VectorQuantizer(3, 4, decay=decay, dead_code_threshold=0.0)
    quantizer(torch.randn(2, 3, 40))  # k-means
    number = quantizer.cluster_size.double()
    mass = quantizer.codebook.double() * number[:, None]
    for _ in range(batches):
        z = torch.randn(2, 3, 25) + torch.randn(3, 1)
        rows = z.transpose(1, 2).reshape(-1, 3)
        entries = quantizer.codebook.clone()
        chosen = F.one_hot(torch.cdist(rows, entries).argmin(dim=1), 4).double()
        quantized = quantizer(z)
        # The batch is quantized with the entries that it then moves.
        close(quantized.z, F.embedding(quantized.codes[:, 0], entries).transpose(1, 2))
        number = decay * number + (1 - decay) * chosen.sum(dim=0)
        mass = decay * mass + (1 - decay) * chosen.T @ rows.double()
    close(quantizer.cluster_size.double(), number, atol=1e-4, rtol=1e-4)
    close(quantizer.codebook.double(), mass / number[:, None], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_first_training_batch_sets_the_entries():
    quantizer = VectorQuantizer(3, 5, "gradient")
    random = quantizer.codebook.clone()
    z = torch.randn(2, 3, 50)
    quantizer.eval()(z)
    close(quantizer.codebook, random)
    assert not quantizer.initialized
    torch.manual_seed(1)
    expected = kmeans(z.transpose(1, 2).reshape(-1, 3), 5)
    torch.manual_seed(1)
    quantizer.train()(z)
    close(quantizer.codebook, expected, check_stride=False)
    assert quantizer.initialized
    quantizer(torch.randn(2, 3, 50))
    close(quantizer.codebook, expected)


@given(seed=st.integers(0, 1000), rows=st.integers(1, 40), clusters=st.integers(1, 12))
def test_kmeans_never_does_worse_than_one_mean(seed, rows, clusters):
    torch.manual_seed(seed)
    x = torch.randn(rows, 3)
    centroids = kmeans(x, clusters)
    assert centroids.shape == (clusters, 3)
    within = torch.cdist(x, centroids).min(dim=1).values.square().sum()
    total = (x - x.mean(dim=0)).square().sum()
    # A row that fills an empty cluster can only help.
    assert within <= total * (1 + 1e-4) + 1e-6


def equal(entries: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(entries)


def far(entries: torch.Tensor) -> torch.Tensor:
    return 1e3 + torch.randn_like(entries)


def far_but_one(entries: torch.Tensor) -> torch.Tensor:
    return torch.cat([entries[:1], far(entries[1:])])


@pytest.mark.parametrize(
    ("update", "lookup", "collapse"),
    [
        ("ema", None, equal),
        ("ema", None, far),
        ("ema", None, far_but_one),
        ("gradient", None, equal),
        ("gradient", None, far),
        ("gradient", 3, equal),  # to a cosine, far is nothing else
    ],
)
@torch.no_grad()
def test_a_collapsed_codebook_recovers(update, lookup, collapse):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(4, 32, update, lookup, decay=0.9)
    quantizer(torch.randn(4, 4, 100))
    quantizer.codebook.copy_(collapse(quantizer.codebook))

    def effective() -> float:
        return float(perplexity(quantizer.encode(torch.randn(8, 4, 200)), 32))

    assert effective() < 4
    for _ in range(60):
        quantizer(torch.randn(4, 4, 100))
    assert effective() > 16


@pytest.mark.parametrize("update", ["ema", "gradient"])
@torch.no_grad()
def test_training_goes_on_from_entries_without_counts(update):
    """A model folder leaves the counts out: no reason to restart every entry."""
    torch.manual_seed(0)
    first = VectorQuantizer(4, 16, update)
    for _ in range(20):
        first(torch.randn(4, 4, 100))
    second = VectorQuantizer(4, 16, update)
    weights = {name: value for name, value in first.state_dict().items() if name != "cluster_size"}
    second.load_state_dict(weights, strict=False)
    second(torch.randn(4, 4, 100))
    # A moving average moves an entry by a hundredth of the way to the mean of its cell.
    close(second.codebook, first.codebook, atol=0.02, rtol=0)
    close(second.cluster_size.sum(), torch.tensor(400.0))


@torch.no_grad()
def test_entries_in_use_are_not_restarted():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(2, 4, "gradient", dead_code_threshold=0.1, decay=0.9)
    quantizer(torch.randn(1, 2, 100))
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    quantizer.codebook.copy_(corners)
    # A fifth of uniform use for one entry, which is twice the ratio at which it would go.
    z = corners.repeat_interleave(torch.tensor([45, 25, 25, 5]), dim=0).T[None]
    for _ in range(100):
        quantizer(z)
    close(quantizer.codebook.detach(), corners)
    z = corners.repeat_interleave(torch.tensor([48, 25, 25, 2]), dim=0).T[None]
    for _ in range(100):
        quantizer(z + 0.1 * torch.randn(2, 100))
    assert not torch.equal(quantizer.codebook.detach(), corners)


def test_the_codebook_loss_draws_entries_and_a_quarter_as_much_the_projection():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 16, "gradient", codebook_dim=3).eval()
    x = torch.randn(2, 7, 5)
    _, codes, loss = quantizer.quantize(x)
    h = quantizer.project_in(x)
    q = F.embedding(codes, quantizer.codebook)
    expected = (q - h.detach()).square().mean() + 0.25 * (h - q.detach()).square().mean()
    close(loss, expected)
    names = [name for name, _ in quantizer.named_parameters() if "out" not in name]
    weights = [quantizer.get_parameter(name) for name in names]
    for grad, same in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        close(grad, same)
        assert grad.any()


@torch.no_grad()
def test_a_restarted_entry_counts_as_used_uniformly():
    """So that it has time to be used before it is restarted again, at any ratio of restarts."""
    quantizer = VectorQuantizer(2, 4, decay=0.9, dead_code_threshold=0.5)
    quantizer(torch.randn(1, 2, 40, generator=torch.Generator().manual_seed(0)))
    # Ten vectors an entry is uniform use. Two entries are far from all data and dead.
    quantizer.codebook.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [90.0, 0.0], [0.0, 90.0]]))
    quantizer.cluster_size.copy_(torch.tensor([20.0, 20.0, 0.1, 0.1]))
    quantizer(torch.tensor([[1.0, -1.0] * 20, [0.0] * 40])[None])
    assert (quantizer.codebook.abs() <= 1).all()
    torch.testing.assert_close(quantizer.cluster_size, torch.tensor([20.0, 20.0, 10.0, 10.0]))


@pytest.mark.parametrize("nested", [False, True])
def test_tensors_load_under_their_former_names(nested):
    """And hashes of weights, which compressed files hold, do not depend on the names."""
    torch.manual_seed(0)
    network = torch.nn.Module()
    network.quantizer = ResidualQuantizer(4, 2, 8) if nested else VectorQuantizer(4, 8)
    state = network.state_dict()
    former = {published_name(name): torch.ones_like(value) for name, value in state.items()}
    assert {name.rpartition(".")[2] for name in former} == set(FORMER_NAMES)
    network.load_state_dict(former)
    for name, value in network.state_dict().items():
        assert torch.equal(value, former[published_name(name)])
    assert weights_hash(network.state_dict()) == weights_hash(former)
