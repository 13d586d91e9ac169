"""Speech that goes in circles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def longest_loop(units: NDArray[np.integer]) -> int:
    """Frames of the longest loop in ``units`` (frames,), of one level; 0 when there is none.

    A loop is a stretch that repeats a cycle, of any number of units, at least once as a whole:
    every unit of it but those of the first cycle is the one that came a cycle earlier. A unit that
    is held is a loop with a cycle of one.
    """
    longest = 0
    for period in range(1, len(units) // 2 + 1):
        same = np.concatenate([[False], units[period:] == units[:-period], [False]])
        edges = np.flatnonzero(np.diff(same))
        run = int((edges[1::2] - edges[::2]).max(initial=0))
        if run >= period:
            longest = max(longest, run + period)
    return longest
