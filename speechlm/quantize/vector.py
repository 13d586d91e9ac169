"""One codebook: nearest-neighbour vector quantization."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.nn.onednn_linear import onednn_matmul
from speechlm.quantize.base import Quantized, Quantizer
from speechlm.utils import distributed

FORMER_NAMES = {"entries": "codebook", "counts": "cluster_size", "started": "initialized"}
"""Tensors of a :class:`VectorQuantizer` by their names in older checkpoints and model folders."""

_PUBLISHED = {new: old for old, new in FORMER_NAMES.items()}
_TENSOR = re.compile(rf"((?:.*\.)?quantizer\.(?:stages\.\d+\.)?)({'|'.join(_PUBLISHED)})")


def published_name(name: str) -> str:
    """The name by which a tensor of a network enters hashes of weights: the former one, if any.

    Compressed files hold such a hash, which the names of tensors are a part of.
    """
    match = _TENSOR.fullmatch(name)
    return name if match is None else match[1] + _PUBLISHED[match[2]]


def current_name(name: str) -> str:
    """The inverse of :func:`published_name`: today's name of a tensor in a file of weights."""
    prefix, _, last = name.rpartition(".")
    found = f"{prefix}.{FORMER_NAMES.get(last, last)}"
    return found if _TENSOR.fullmatch(found) else name


class VectorQuantizer(Quantizer):
    """A codebook of ``codebook_size`` vectors, learned by moving averages or by gradient.

    ``update="ema"``: entries follow the mean of what they quantize (van den Oord et al. 2017,
    appendix A.1; SoundStream). ``update="gradient"``: entries follow a codebook loss (VQ-VAE).
    With ``codebook_dim`` below ``dim`` the search happens in a projection of that many dimensions
    on l2-normalised vectors (Yu et al. 2021, "ViT-VQGAN"; DAC); this needs ``update="gradient"``.

    The first training batch (its first part, where it comes in parts) sets the entries by k-means;
    they then follow a whole batch at a time. An entry used less than ``dead_code_threshold`` times
    as often as under uniform use is replaced by a vector of the present batch. The ratio, unlike a
    fixed count, means the same for every batch and codebook size.

    Raises:
        ValueError: for an unknown ``update``, a ``codebook_dim`` with moving averages, or an empty
            codebook.

    Attributes:
        codebook: entries (codebook_size, codebook_dim or dim).
        cluster_size: running number of vectors that each entry quantizes in a batch.
        initialized: whether k-means has set the entries.
    """

    num_codebooks = 1
    codebook: Tensor
    cluster_size: Tensor
    initialized: Tensor

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        update: str = "ema",
        codebook_dim: int | None = None,
        decay: float = 0.99,
        dead_code_threshold: float = 0.1,
    ):
        super().__init__()
        if update not in ("ema", "gradient"):
            raise ValueError(f"update is 'ema' or 'gradient', not {update!r}")
        if codebook_dim is not None and update == "ema":
            raise ValueError("a low-dimensional look-up is trained by gradient, not by ema")
        if codebook_size < 1:
            raise ValueError(f"a codebook has one entry or more, not {codebook_size}")
        self.codebook_size = codebook_size
        self.update = update
        self.codebook_dim = codebook_dim
        self.decay = decay
        self.dead_code_threshold = dead_code_threshold
        self.project_in = nn.Linear(dim, codebook_dim) if codebook_dim else nn.Identity()
        self.project_out = nn.Linear(codebook_dim, dim) if codebook_dim else nn.Identity()
        codebook = torch.randn(codebook_size, codebook_dim or dim)
        if update == "ema":
            self.register_buffer("codebook", codebook)
        else:
            self.codebook = nn.Parameter(codebook)
        self.register_buffer("cluster_size", torch.zeros(codebook_size))
        self.register_buffer("initialized", torch.tensor(False))
        self._waiting: list[tuple[Tensor, ...]] = []

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for old, new in FORMER_NAMES.items():
            if prefix + old in state_dict:
                state_dict[prefix + new] = state_dict.pop(prefix + old)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, z: Tensor, num_codebooks: Tensor | None = None) -> Quantized:
        x = z.transpose(1, 2)
        y, codes, loss = self.quantize(x)
        commitment = (x - y.detach()).square().mean()
        # y carries the gradient of the codebook; z passes with slope one.
        y = (y + (x - x.detach())).transpose(1, 2)
        return Quantized(y, codes[:, None], {"commitment": commitment, "codebook": loss})

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize ``x`` (..., dim) as data, without a gradient to it.

        Returns the quantized vectors (their gradient reaches the codebook's own parameters only),
        the codes (...), and the codebook loss. In training mode the codebook learns.
        """
        h = self.project_in(x.detach())
        rows = h.detach().reshape(-1, h.shape[-1])
        if self.training and not self.initialized and not self._waiting:
            self._start(rows)
        codes = self.nearest(rows).view(h.shape[:-1])
        # Looked up before the codebook moves: a restart puts another vector in an entry's place.
        q = F.embedding(codes, self.codebook)
        if self.training:
            self._follow(rows, codes.flatten())
        if self.update == "ema":
            return q, codes, x.new_zeros(())
        loss = (q - h.detach()).square().mean()
        if self.codebook_dim is None:
            return q.detach(), codes, loss
        # The projections learn from the reconstruction, straight through the look-up, and the
        # input projection must stay near its entries or the look-up drifts.
        loss = loss + 0.25 * (h - q.detach()).square().mean()
        return self.project_out(h + (q - h).detach()), codes, loss

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self.check_num_codebooks(num_codebooks)
        x = self.project_in(z.transpose(1, 2))
        return self.nearest(x.reshape(-1, x.shape[-1])).view(x.shape[:-1])[:, None]

    def decode(self, codes: Tensor) -> Tensor:
        return self.embed(codes[:, 0]).transpose(1, 2)

    def embed(self, codes: Tensor) -> Tensor:
        """Vectors (..., dim) of codes (...)."""
        return self.project_out(F.embedding(codes, self.codebook))

    def nearest(self, rows: Tensor) -> Tensor:
        """Index of the nearest entry to each row (n, dim); of equal ones the first."""
        with torch.no_grad():
            scores = self.scores(rows)
        if scores.device.type == "cpu" and not torch.compiler.is_exporting():
            # numpy's search is vectorised: ten times as fast, and a tenth of a training step.
            return torch.from_numpy(scores.numpy().argmax(axis=1))
        return scores.argmax(dim=1)

    def scores(self, rows: Tensor) -> Tensor:
        """Similarity (n, codebook_size) of rows to entries.

        Half the negative squared distance, up to a constant for each row; with ``codebook_dim``,
        the cosine, up to a factor for each row.
        """
        if self.codebook_dim is not None:
            return rows @ F.normalize(self.codebook, dim=1).T
        return onednn_matmul(rows, self.codebook, self._offsets())

    def _offsets(self) -> Tensor:
        return -0.5 * self.codebook.square().sum(dim=1)

    @torch.no_grad()
    def _start(self, rows: Tensor) -> None:
        self.codebook.copy_(kmeans(distributed.all_gather(rows), self.codebook_size))

    @torch.no_grad()
    def _follow(self, rows: Tensor, codes: Tensor) -> None:
        batch = distributed.accumulate_rows(self._waiting, rows, codes)
        if batch is None:
            return
        rows, codes = batch
        self.initialized.fill_(True)
        uniform = distributed.world_size() * len(rows) / self.codebook_size
        if not self.cluster_size.any():
            # Just started, or loaded from a model folder, which leaves the counts out.
            self.cluster_size.fill_(uniform)
        counts = torch.bincount(codes, minlength=self.codebook_size).to(rows.dtype)
        counts = distributed.all_reduce_sum(counts)
        self.cluster_size.lerp_(counts, 1 - self.decay)
        if self.update == "ema":
            sums = torch.zeros_like(self.codebook).index_add_(0, codes, rows)
            sums = distributed.all_reduce_sum(sums)
            # A mean weighted by the running count: entries that saw nothing do not move.
            weight = (1 - self.decay) / self.cluster_size.clamp_min(1e-5)
            self.codebook.add_((sums - counts[:, None] * self.codebook) * weight[:, None])
        dead = self.cluster_size < self.dead_code_threshold * uniform
        number = int(dead.sum())
        if number:
            # The processes draw alike: their generators are seeded alike.
            rows = distributed.all_gather(rows)
            chosen = torch.randint(len(rows), (number,), device=rows.device)
            self.codebook[dead] = rows[chosen]
            self.cluster_size[dead] = uniform


def kmeans(rows: Tensor, clusters: int, iterations: int = 10) -> Tensor:
    """Lloyd's algorithm from random rows; an empty cluster is set to a random row.

    Rows (n, dim), centroids (clusters, dim). With fewer rows than clusters, rows repeat.
    """
    n = len(rows)
    order = torch.randperm(n, device=rows.device)
    centroids = rows[order.repeat(-(-clusters // n))[:clusters]].clone()
    for _ in range(iterations):
        nearest = torch.addmm(-0.5 * centroids.square().sum(1), rows, centroids.T).argmax(1)
        counts = torch.bincount(nearest, minlength=clusters)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, rows)
        centroids = sums / counts.clamp_min(1)[:, None]
        empty = counts == 0
        chosen = torch.randint(n, (int(empty.sum()),), device=rows.device)
        centroids[empty] = rows[chosen]
    return centroids
