"""The branches of classifier-free guidance, which are stacked along the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CFGBranches:
    """Which branches of classifier-free guidance are stacked along the batch, after the full one.

    Attributes:
        no_text: a branch whose input has no text, which guides level 0.
        no_semantic: a branch whose input has neither text nor semantic stream, which guides the
            levels below; without it, ``no_text`` does.
    """

    no_text: bool = False
    no_semantic: bool = False

    @property
    def count(self) -> int:
        """Number of branches."""
        return 1 + self.no_text + self.no_semantic

    def semantic(self, h: Tensor) -> Tensor:
        """The rows of ``h`` (count * batch, ...) for level 0: the full branch, then ``no_text``."""
        return h if not self.no_semantic else torch.cat(h.chunk(self.count)[: 1 + self.no_text])

    def acoustic(self, h: Tensor) -> Tensor:
        """The rows of ``h`` for the levels below: the full branch, then that which guides them."""
        rows = h.chunk(self.count)
        return h if len(rows) < 3 else torch.cat([rows[0], rows[-1]])


NO_CFG = CFGBranches()
