"""Cutting a stream into chunks of any size, none among them."""

from __future__ import annotations

from hypothesis import strategies as st
from torch import Tensor


def chunk_sizes(most: int = 9) -> st.SearchStrategy[list[int]]:
    """Sizes of the first chunks; what is left of a stream comes as one more."""
    return st.lists(st.integers(0, most), max_size=12)


def cut(x: Tensor, sizes: list[int]) -> list[Tensor]:
    """``x`` (..., time) in chunks of ``sizes``, the rest last; together they are ``x``."""
    chunks = []
    for size in sizes:
        chunks.append(x[..., :size])
        x = x[..., size:]
    return [*chunks, x]
