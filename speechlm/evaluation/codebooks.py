"""How much of each codebook a system uses."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


def usage(audio: Iterable[Path], codebook_size: int | None) -> list[dict[str, Any]]:
    """By level, over all clips: frames, entries used, and perplexity 2^H of the entries.

    ``audio`` are the cache's files, with the codes (codebooks, frames) of each beside it.
    Perplexity is the plug-in estimate, which is low while frames are few against ``codebook_size``
    entries.
    """
    if codebook_size is None:
        return []
    counts: list[np.ndarray] = []
    for path in audio:
        file = path.with_suffix(".npy")
        if not file.is_file():
            continue
        for level, codes in enumerate(np.load(file)):
            if level == len(counts):
                counts.append(np.zeros(codebook_size, np.int64))
            counts[level] += np.bincount(codes[codes >= 0], minlength=codebook_size)
    return [
        {
            "frames": int(count.sum()),
            "entries": codebook_size,
            "used": int((count > 0).sum()),
            "perplexity": round(_perplexity(count), 2),
        }
        for count in counts
    ]


def _perplexity(count: np.ndarray) -> float:
    share = count[count > 0] / count.sum()
    return float(2 ** -(share * np.log2(share)).sum())
