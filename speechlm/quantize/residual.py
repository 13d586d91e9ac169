"""Residual quantization: each level quantizes what the levels before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.quantize.base import Quantized, Quantizer
from speechlm.quantize.finite_scalar import ScalarGrid
from speechlm.quantize.vector import VectorQuantizer
from speechlm.utils import distributed


class ResidualQuantizer(Quantizer):
    """Vector quantizers in a row (Juang & Gray 1982; SoundStream, Zeghidour et al. 2021).

    The plumbing on which most collapses hang:

    - residuals are detached between levels: a level is no path for another's gradient;
    - one straight-through estimator spans the sum of the levels, with slope exactly one;
    - codebooks start by k-means one level a training step, each on another batch, since the
      residuals of a level mean nothing before the levels under it are in place;
    - commitment is asked of the levels that an example keeps.

    ``forward`` takes the number of levels of every example (structured dropout, chosen by the
    caller), so that one model serves all rates.

    Raises:
        ValueError: for no levels, and as :class:`VectorQuantizer` does.
    """

    vectors: Tensor | None
    places: Tensor

    def __init__(
        self,
        dim: int,
        num_codebooks: int,
        codebook_size: int,
        update: str = "ema",
        codebook_dim: int | None = None,
        decay: float = 0.99,
        dead_code_threshold: float = 0.1,
    ):
        super().__init__()
        if num_codebooks < 1:
            raise ValueError(f"one level or more, not {num_codebooks}")
        self.num_codebooks = num_codebooks
        self.codebook_size = codebook_size
        modules = [
            VectorQuantizer(dim, codebook_size, update, codebook_dim, decay, dead_code_threshold)
            for _ in range(num_codebooks)
        ]
        self.stages = cast(Sequence[VectorQuantizer], nn.ModuleList(modules))
        self.register_buffer("vectors", None, persistent=False)
        self.register_buffer("places", None, persistent=False)

    def forward(self, z: Tensor, num_codebooks: Tensor | None = None) -> Quantized:
        x = z.transpose(1, 2)
        if num_codebooks is None:
            num_codebooks = torch.full((len(x),), self.num_codebooks, device=x.device)
        residual = x.detach()
        total = torch.zeros_like(x)
        codes, commitments, codebook = [], [], []
        for k, stage in enumerate(self.stages):
            fresh = self.training and not bool(stage.initialized)
            y, code, loss = stage.quantize(residual)
            keep = (k < num_codebooks).to(x.dtype)[:, None, None]
            # The residual as seen by the encoder: detached sums, live input.
            error = (x - total.detach() - y.detach()).square()
            share = distributed.all_reduce_mean(keep.mean()) if self.training else keep.mean()
            commitments.append((error * keep).mean() / share.clamp_min(1e-6))
            codebook.append(loss)
            codes.append(code)
            total = total + y * keep
            residual = residual - y.detach()
            if fresh:
                break
        done = len(codes)
        codes += [torch.zeros_like(codes[0])] * (self.num_codebooks - done)
        z = (total + (x - x.detach())).transpose(1, 2)
        losses = {
            "commitment": torch.stack(commitments).mean(),
            "codebook": torch.stack(codebook).mean(),
        }
        return Quantized(z, torch.stack(codes, dim=1), losses)

    @torch.no_grad()
    def encode(self, z: Tensor, num_codebooks: int | None = None, beam: int = 1) -> Tensor:
        """Codes of ``z``; a ``beam`` above one keeps that many partial sums at each level.

        At one or two levels the greedy codes are among those compared, and no frame gets worse. At
        more, better beginnings may crowd them out: the error falls on average, not in each frame.
        """
        num_codebooks = self.check_num_codebooks(num_codebooks)
        if beam < 1:
            raise ValueError(f"a beam keeps one partial sum or more, not {beam}")
        x = z.transpose(1, 2)
        rows = x.reshape(-1, x.shape[-1])
        search = self._greedy if beam == 1 else self._beam
        return search(rows, num_codebooks, beam).view(*x.shape[:2], num_codebooks).transpose(1, 2)

    def _greedy(self, rows: Tensor, num_codebooks: int, beam: int) -> Tensor:
        codes = []
        for stage in islice(self.stages, num_codebooks):
            code = stage.nearest(stage.project_in(rows))
            rows = rows - stage.embed(code)
            codes.append(code)
        return torch.stack(codes, dim=1)

    def _beam(self, rows: Tensor, num_codebooks: int, beam: int) -> Tensor:
        n, dim = rows.shape
        residual = rows[:, None]
        codes = torch.zeros(n, 1, 0, dtype=torch.int64, device=rows.device)
        for stage in islice(self.stages, num_codebooks):
            width = residual.shape[1]
            flat = residual.reshape(-1, dim)
            branches = min(beam, self.codebook_size)
            best = stage.scores(stage.project_in(flat)).topk(branches, dim=1).indices
            left = flat[:, None] - stage.embed(best)
            left = left.view(n, width * branches, dim)
            pick = left.square().sum(-1).topk(min(beam, width * branches), dim=1, largest=False)[1]
            residual = left.gather(1, pick[..., None].expand(-1, -1, dim))
            path = codes.gather(1, (pick // branches)[..., None].expand(-1, -1, codes.shape[2]))
            code = best.view(n, width * branches).gather(1, pick)
            codes = torch.cat([path, code[..., None]], dim=2)
        return codes[:, 0]

    def decode(self, codes: Tensor) -> Tensor:
        if self.vectors is not None:
            return self._looked_up(codes, self.vectors).sum(dim=1).transpose(1, 2)
        total = self.stages[0].embed(codes[:, 0])
        for k in range(1, codes.shape[1]):
            total = total + self.stages[k].embed(codes[:, k])
        return total.transpose(1, 2)

    def decode_prefixes(self, codes: Tensor) -> Tensor:
        if self.vectors is None:
            return super().decode_prefixes(codes)
        return self._looked_up(codes, self.vectors).cumsum(dim=1).transpose(2, 3)

    def _looked_up(self, codes: Tensor, vectors: Tensor) -> Tensor:
        place = codes + self.places[: codes.shape[1]]
        return F.embedding(torch.where(codes < 0, len(vectors) - 1, place), vectors)

    @torch.no_grad()
    def codebook_vectors(self) -> Tensor:
        every = torch.arange(self.codebook_size, device=self.stages[0].codebook.device)
        return torch.stack([stage.embed(every) for stage in self.stages])

    def freeze(self) -> None:
        # The last is what an absent code adds.
        self.vectors = F.pad(self.codebook_vectors().flatten(0, 1), (0, 0, 0, 1))
        self.places = (
            self.codebook_size
            * torch.arange(self.num_codebooks, device=self.vectors.device)[:, None]
        )


class ResidualScalarQuantizer(Quantizer):
    """Finite scalar quantization in stages, each on a grid as wide as the last one's cells.

    A stage with L values leaves a residual within half a spacing, ``1 / (L - 1)``; scaled up by
    ``L - 1`` it fills [-1, 1] again, so no stage starves as in plain residual FSQ. Four stages of
    three values equal one grid of 17: later stages are bit planes of the first.

    Raises:
        ValueError: for no levels, or a dimension of two values, whose half spacing is no less than
            what the stage was given.
    """

    def __init__(self, dim: int, num_codebooks: int, grid: tuple[int, ...]):
        super().__init__()
        if num_codebooks < 1 or min(grid, default=0) < 3:
            raise ValueError(
                f"{num_codebooks} levels of a grid {grid}: it needs one, of three values or more"
            )
        self.num_codebooks = num_codebooks
        self.grid = ScalarGrid(grid)
        self.codebook_size = self.grid.codebook_size
        self.project_in = nn.Linear(dim, len(grid))
        self.project_out = nn.Linear(len(grid), dim)

    def forward(self, z: Tensor, num_codebooks: Tensor | None = None) -> Quantized:
        x = torch.tanh(self.project_in(z.transpose(1, 2)))
        if num_codebooks is None:
            num_codebooks = torch.full((len(x),), self.num_codebooks, device=x.device)
        points, codes = self._stages(x.detach(), self.num_codebooks)
        keep = torch.arange(self.num_codebooks, device=x.device) < num_codebooks[:, None]
        q = (points * keep[:, :, None, None]).sum(dim=1)
        y = self.project_out(q + (x - x.detach()))
        return Quantized(y.transpose(1, 2), codes)

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        x = torch.tanh(self.project_in(z.transpose(1, 2)))
        return self._stages(x, self.check_num_codebooks(num_codebooks))[1]

    def decode(self, codes: Tensor) -> Tensor:
        points = self.grid.point(codes.clamp_min(0)) * (codes >= 0)[..., None]
        for k in range(1, codes.shape[1]):
            points[:, k] = points[:, k] * self._scale(k)
        x = points.sum(dim=1).to(self.project_out.weight.dtype)
        return self.project_out(x).transpose(1, 2)

    def _stages(self, x: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor]:
        points, codes = [], []
        for k in range(num_codebooks):
            scale = self._scale(k).to(x.dtype)
            point = self.grid.round(x / scale)
            codes.append(self.grid.index(point))
            points.append(point * scale)
            x = x - points[-1]
        return torch.stack(points, dim=1), torch.stack(codes, dim=1)

    def _scale(self, stage: int) -> Tensor:
        return (self.grid.spacing.double() / 2) ** stage
