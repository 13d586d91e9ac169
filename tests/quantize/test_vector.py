"""One codebook: how it starts, follows its data, and comes back from collapse."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from speechlm.quantize import VectorQuantizer, perplexity
from speechlm.quantize.vector import kmeans

close = torch.testing.assert_close


@pytest.mark.parametrize("update", ["ema", "gradient"])
@torch.no_grad()
def test_an_entry_quantizes_to_itself(update):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 16, update).eval()
    codes = torch.arange(16)[None, None]
    entries = quantizer.decode(codes)
    close(entries[0].T, quantizer.entries.detach())
    close(quantizer.encode(entries), codes)


@pytest.mark.parametrize("lookup", [None, 3])
@torch.no_grad()
def test_the_code_is_the_nearest_entry(lookup):
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 16, "gradient", lookup).eval()
    z = torch.randn(2, 5, 30)
    rows = quantizer.project_in(z.transpose(1, 2))
    if lookup is None:
        nearest = torch.cdist(rows, quantizer.entries[None]).argmin(dim=2)
    else:
        cosine = F.cosine_similarity(rows[:, :, None], quantizer.entries, dim=3)
        nearest = cosine.argmax(dim=2)
    close(quantizer.encode(z)[:, 0], nearest)


@torch.no_grad()
def test_of_equal_entries_the_first_is_taken():
    quantizer = VectorQuantizer(2, 4).eval()
    quantizer.entries.copy_(torch.tensor([[5.0, 5.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]))
    assert quantizer.encode(torch.tensor([[[1.0], [2.0]]])).tolist() == [[[1]]]


@given(seed=st.integers(0, 1000), decay=st.floats(0.5, 0.99), batches=st.integers(1, 6))
@torch.no_grad()
def test_moving_averages_are_the_textbook_ones(seed, decay, batches):
    """N <- d N + (1 - d) n, m <- d m + (1 - d) sum x, e = m / N (van den Oord et al. 2017)."""
    torch.manual_seed(seed)
    quantizer = VectorQuantizer(3, 4, decay=decay, restart=0.0)
    quantizer(torch.randn(2, 3, 40))  # k-means
    number = quantizer.counts.double()
    mass = quantizer.entries.double() * number[:, None]
    for _ in range(batches):
        z = torch.randn(2, 3, 25) + torch.randn(3, 1)
        rows = z.transpose(1, 2).reshape(-1, 3)
        entries = quantizer.entries.clone()
        chosen = F.one_hot(torch.cdist(rows, entries).argmin(dim=1), 4).double()
        quantized = quantizer(z)
        # The batch is quantized with the entries that it then moves.
        close(quantized.z, F.embedding(quantized.codes[:, 0], entries).transpose(1, 2))
        number = decay * number + (1 - decay) * chosen.sum(dim=0)
        mass = decay * mass + (1 - decay) * chosen.T @ rows.double()
    close(quantizer.counts.double(), number, atol=1e-4, rtol=1e-4)
    close(quantizer.entries.double(), mass / number[:, None], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_first_training_batch_sets_the_entries():
    quantizer = VectorQuantizer(3, 5, "gradient")
    random = quantizer.entries.clone()
    z = torch.randn(2, 3, 50)
    quantizer.eval()(z)
    close(quantizer.entries, random)
    assert not quantizer.started
    torch.manual_seed(1)
    expected = kmeans(z.transpose(1, 2).reshape(-1, 3), 5)
    torch.manual_seed(1)
    quantizer.train()(z)
    close(quantizer.entries, expected, check_stride=False)
    assert quantizer.started
    quantizer(torch.randn(2, 3, 50))
    close(quantizer.entries, expected)


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
    quantizer.entries.copy_(collapse(quantizer.entries))

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
    weights = {name: value for name, value in first.state_dict().items() if name != "counts"}
    second.load_state_dict(weights, strict=False)
    second(torch.randn(4, 4, 100))
    # A moving average moves an entry by a hundredth of the way to the mean of its cell.
    close(second.entries, first.entries, atol=0.02, rtol=0)
    close(second.counts.sum(), torch.tensor(400.0))


@torch.no_grad()
def test_entries_in_use_are_not_restarted():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(2, 4, "gradient", restart=0.1, decay=0.9)
    quantizer(torch.randn(1, 2, 100))
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    quantizer.entries.copy_(corners)
    # A fifth of uniform use for one entry, which is twice the ratio at which it would go.
    z = corners.repeat_interleave(torch.tensor([45, 25, 25, 5]), dim=0).T[None]
    for _ in range(100):
        quantizer(z)
    close(quantizer.entries.detach(), corners)
    z = corners.repeat_interleave(torch.tensor([48, 25, 25, 2]), dim=0).T[None]
    for _ in range(100):
        quantizer(z + 0.1 * torch.randn(2, 100))
    assert not torch.equal(quantizer.entries.detach(), corners)


def test_the_codebook_loss_draws_entries_and_a_quarter_as_much_the_projection():
    torch.manual_seed(0)
    quantizer = VectorQuantizer(5, 16, "gradient", lookup=3).eval()
    x = torch.randn(2, 7, 5)
    _, codes, loss = quantizer.quantize(x)
    h = quantizer.project_in(x)
    q = F.embedding(codes, quantizer.entries)
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
    quantizer = VectorQuantizer(2, 4, decay=0.9, restart=0.5)
    quantizer(torch.randn(1, 2, 40, generator=torch.Generator().manual_seed(0)))
    # Ten vectors an entry is uniform use. Two entries are far from all data and dead.
    quantizer.entries.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [90.0, 0.0], [0.0, 90.0]]))
    quantizer.counts.copy_(torch.tensor([20.0, 20.0, 0.1, 0.1]))
    quantizer(torch.tensor([[1.0, -1.0] * 20, [0.0] * 40])[None])
    assert (quantizer.entries.abs() <= 1).all()
    torch.testing.assert_close(quantizer.counts, torch.tensor([20.0, 20.0, 10.0, 10.0]))
