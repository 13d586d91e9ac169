"""The language model over text and units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechlm.errors import SpeechLMError
from speechlm.lm.backbone import build_backbone
from speechlm.lm.config import LMConfig
from speechlm.lm.depth import DepthTransformer
from speechlm.lm.likelihood import likelihood
from speechlm.lm.patterns import pattern
from speechlm.nn import PackedSequences, dropout

UNIT_NORM = 0.5
"""Of a unit's embedding at the start, on average, where it comes from a codec."""

Prediction = tuple[Tensor, Tensor, int, Tensor]


class UnitLM(nn.Module):
    """What training updates. For use, see :mod:`speechlm.lm.generate.generator`.

    Tokens (batch, rows, time) are joint ids. A column is embedded as the sum of its rows, and the
    backbone's output there predicts the next column: row 0 among special tokens, text and level 0
    (of the pattern ``flatten``: everything), the other rows among the units of their level, by a
    second transformer if the pattern is ``depth``.

    Raises:
        SpeechLMError: for a configuration of which no model can be made.
    """

    kinds_of_ids: Tensor

    def __init__(self, config: LMConfig):
        super().__init__()
        ids = config.ids
        self.config = config
        self.pattern = pattern(config.pattern, ids.num_codebooks)
        self.first = ids.specials + ids.text
        """The id of unit 0 of level 0."""
        self.size = self.first + ids.num_codebooks * ids.codebook_size
        self.outputs = self.size if config.pattern != "depth" else self.first + ids.codebook_size
        """Ids that the backbone itself predicts: 0 to this one."""
        if min(ids.specials, ids.codebook_size) < 1 or not 0 <= ids.pad < ids.specials:
            raise SpeechLMError("a language model needs special tokens, pad among them, and units")
        _check_sizes(config)
        try:
            self.backbone = build_backbone(config)
            self.depth = None
            if config.pattern == "depth" and ids.num_codebooks > 1:
                self.depth = DepthTransformer(config.dim, config.depth, ids, config.dropout)
        except (ValueError, RuntimeError) as error:  # torch's, for a size below zero
            raise SpeechLMError(f"language model: {str(error).splitlines()[0]}") from None
        self.embedding = nn.Embedding(self.size, config.dim, padding_idx=ids.pad)
        nn.init.normal_(self.embedding.weight, std=0.02)
        nn.init.zeros_(self.embedding.weight[ids.pad])
        self.ctc = nn.Linear(config.dim, ids.text + 1) if config.ctc else None
        """What each output over speech says of pieces of text; the last is none, the blank."""
        if not config.tie_word_embeddings:
            self.head = nn.Parameter(torch.randn(self.outputs, config.dim) * config.dim**-0.5)
        kinds = (
            torch.arange(self.size).sub(self.first).div(ids.codebook_size, rounding_mode="floor")
        )
        kinds = (kinds + 2).clamp(min=1)
        kinds[: ids.specials] = 0
        self.register_buffer("kinds_of_ids", kinds, persistent=False)

    def output_heads(self) -> list[nn.Module]:
        """The layers that predict; the others are :attr:`output` and ``depth.heads``."""
        return [] if self.ctc is None else [self.ctc]

    @torch.no_grad()
    def init_embeddings(self, vectors: Tensor) -> None:
        """Begin with what need not be learned from the units: which of them are alike.

        Their embeddings, and the matrices that predict them, become the principal components of
        ``vectors`` (codebooks, codebook_size, dim): units that sound alike are alike to the model.
        """
        flat = vectors.flatten(0, 1).float()
        axes = torch.linalg.svd(flat.T @ flat)[0]

        def put(table: Tensor, source: Tensor, norm: float) -> None:
            parts = source.float().flatten(0, 1) @ axes[:, : table.shape[1]]
            parts = parts * (norm / parts.norm(dim=1).mean())
            table[:, : parts.shape[1]] = parts

        units = self.config.ids.num_codebooks * self.config.ids.codebook_size
        put(self.embedding.weight[self.first : self.first + units], vectors, UNIT_NORM)
        if self.depth is not None:
            put(self.depth.embedding.weight, vectors[:-1], UNIT_NORM)
            put(self.depth.heads.flatten(0, 1), vectors[1:], 1.0)
        if not self.config.tie_word_embeddings:
            put(self.head[self.first :], vectors[:1] if self.depth is not None else vectors, 1.0)

    @property
    def kinds(self) -> list[str]:
        """What predicted tokens are told apart by: ``special``, ``text``, ``level 0``, ..."""
        levels = range(self.config.ids.num_codebooks)
        return ["special", "text", *(f"level {level}" for level in levels)]

    @property
    def output(self) -> Tensor:
        """The matrix (outputs, dim) that gives logits of the backbone's output."""
        return (
            self.embedding.weight[: self.outputs] if self.config.tie_word_embeddings else self.head
        )

    def row(self, row: int) -> slice:
        """The ids that a row may hold, as far as the backbone predicts them."""
        if self.pattern.rows == 1:
            return slice(0, self.outputs)
        start = self.first + row * self.config.ids.codebook_size
        return slice(start if row else 0, start + self.config.ids.codebook_size)

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (batch, time, dim) of tokens (batch, rows, time): summed over the rows."""
        columns = tokens.transpose(1, 2)
        bags = columns.reshape(-1, columns.shape[2])
        pad = self.config.ids.pad
        summed = F.embedding_bag(bags, self.embedding.weight, mode="sum", padding_idx=pad)
        return summed.view(*columns.shape[:2], -1)

    def forward(
        self, tokens: Tensor, packing: PackedSequences, hidden: Tensor | None = None
    ) -> Tensor:
        """The backbone's outputs (batch, time, dim) after each column.

        It does not see the columns that are ``hidden``, bool (batch, time).
        """
        x = dropout(self.embed(tokens), self.config.dropout, self.training)
        if hidden is not None:
            x = x.masked_fill(hidden.unsqueeze(2), 0.0)
        return self.backbone(x, packing)

    def loss(
        self,
        tokens: Tensor,
        mask: Tensor,
        segments: Tensor,
        weights: Tensor | None = None,
        h: Tensor | None = None,
        known: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean NLL, in nats, of the predicted tokens; and for each kind its sum and count (2,).

        ``mask`` (batch, rows, time) says which ``tokens`` are to be predicted, ``segments`` (batch,
        time) which example a column belongs to (:class:`~speechlm.nn.PackedSequences`). The first
        column of an example has nothing that predicts it, and is left out. With ``weights``, one
        for each id, the mean is a weighted one. ``h`` is what :meth:`forward` gives for these, if
        it is there already, and ``known`` the tokens as far as a frame's lower levels are told
        those above.
        """
        total, nll = self._likelihood(tokens, mask, segments, weights, h, known)
        predicted = nll >= 0
        kinds = self.kinds_of_ids[tokens[predicted]]
        sums = nll.new_zeros(len(self.kinds)).index_add_(0, kinds, nll[predicted])
        counts = torch.bincount(kinds, minlength=len(sums)).to(sums.dtype)
        figures = torch.stack([sums, counts], dim=1)
        return total, dict(zip(self.kinds, figures, strict=True))

    def weight(self, tokens: Tensor, mask: Tensor, segments: Tensor, weights: Tensor) -> Tensor:
        """The sum of the weights of what is predicted, over which :meth:`loss` takes its mean."""
        return ((mask & _inside(segments)) * weights[tokens]).sum()

    def nll(self, tokens: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        """NLL (batch, rows, time), in nats, of each predicted token; -1 where none is."""
        return self._likelihood(tokens, mask, segments)[1]

    def _likelihood(
        self,
        tokens: Tensor,
        mask: Tensor,
        segments: Tensor,
        weights: Tensor | None = None,
        h: Tensor | None = None,
        known: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        h = self(tokens, PackedSequences(segments)) if h is None else h
        mask = mask & _inside(segments)
        share = mask.float() if weights is None else mask * weights[tokens]
        share = (share / share.sum().clamp(min=1e-9)).flatten()
        total = h.new_zeros(())
        nll = torch.full_like(tokens, -1, dtype=torch.float32)
        for x, weight, first, places in self._predictions(tokens, mask, h, known):
            targets = tokens.flatten()[places] - first
            part, each = likelihood(x, weight, targets, share[places])
            total = total + part
            nll.view(-1)[places] = each
        return total, nll

    def _predictions(
        self, tokens: Tensor, mask: Tensor, h: Tensor, known: Tensor | None
    ) -> Iterator[Prediction]:
        """For each row: what predicts (n, dim), the matrix, its first id, and the n flat places."""
        rows, time = tokens.shape[1:]

        def place(example: Tensor, row: int, column: Tensor) -> Tensor:
            return (example * rows + row) * time + column

        for row in range(1 if self.depth is not None else rows):
            example, column = mask[:, row].nonzero(as_tuple=True)
            ids = self.row(row)
            yield (
                h[example, column - 1],
                self.output[ids],
                ids.start,
                place(example, row, column),
            )
        if self.depth is None:
            return
        example, column = mask[:, 1:].any(dim=1).nonzero(as_tuple=True)
        above = (tokens if known is None else known)[example, :-1, column]
        y = self.depth(h[example, column - 1], above)
        for row in range(1, rows):
            asked = mask[example, row, column]
            first = self.first + row * self.config.ids.codebook_size
            places = place(example[asked], row, column[asked])
            yield y[asked, row - 1], self.depth.heads[row - 1], first, places


def _check_sizes(config: LMConfig) -> None:
    names = ("dim", "num_layers", "num_heads", "num_kv_heads", "ffn_dim", "kernel")
    sizes = {name: getattr(config, name) for name in names}
    sizes |= {f"depth.{name}": size for name, size in asdict(config.depth).items()}
    for name, size in sizes.items():
        if size < 1:
            raise SpeechLMError(f"language model: {name} is 1 or more, not {size}")


def _inside(segments: Tensor) -> Tensor:
    """Bool (batch, 1, time): columns of an example, but for its first."""
    inside = torch.zeros_like(segments, dtype=torch.bool)
    inside[:, 1:] = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] >= 0)
    return inside.unsqueeze(1)
