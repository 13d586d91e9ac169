"""Several examples packed into one sequence, without attention or state across them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


class PackedSequences:
    """The positions of the examples in a packed batch (batch, time).

    An example is a run of positions with the same number in ``segments`` (batch, time); -1 is
    padding. Modules that mix positions (attention, a recurrence) process each example by itself,
    from its own start, so nothing leaks and no (time, time) masks are built. Examples of similar
    length are grouped and padded on the right, which causal modules do not see; less than half of
    a group is padding.

    Attributes:
        positions: int64 (batch, time), from 0 in each example.
        starts: bool (batch, time), whether an example begins there.
    """

    def __init__(self, segments: Tensor):
        batch, time = segments.shape
        self.shape = segments.shape
        starts = torch.ones_like(segments, dtype=torch.bool)
        starts[:, 1:] = segments[:, 1:] != segments[:, :-1]
        clock = torch.arange(time, device=segments.device).expand(batch, time)
        self.positions = clock - torch.where(starts, clock, 0).cummax(dim=1).values
        self.starts = starts & (segments >= 0)
        self._groups = None if self._dense(segments) else list(self._group(segments))

    def _dense(self, segments: Tensor) -> bool:
        """Whether each sequence is one example that fills it."""
        return bool((self.starts.sum() == len(segments)) and (segments >= 0).all())

    def _group(self, segments: Tensor) -> Iterator[Tensor]:
        """Indices (examples, length) into the flattened positions; -1 is padding."""
        flat = segments.flatten()
        first = self.starts.flatten().nonzero().squeeze(1)
        run = self.starts.flatten().cumsum(0)
        lengths = torch.bincount(run[flat >= 0], minlength=len(first) + 1)[1:]
        buckets = (lengths * 2 - 1).clamp(min=1).log2().floor()  # of one power of two each
        for bucket in buckets.unique():
            chosen = buckets == bucket
            offsets = torch.arange(int(lengths[chosen].max()), device=flat.device)
            inside = offsets < lengths[chosen, None]
            yield torch.where(inside, first[chosen, None] + offsets, -1)

    def apply(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``function`` of each example of ``x`` (batch, time, ...) alone.

        ``function`` takes (examples, length, ...) and gives (examples, length, features); it must
        be causal. The output (batch, time, features) is zero where there is no example.
        """
        if self._groups is None:
            return function(x)
        if not self._groups:
            return torch.zeros_like(function(x))
        flat = x.flatten(0, 1)
        places, results = [], []
        for group in self._groups:
            inside = group >= 0
            results.append(function(flat[group.clamp(min=0)])[inside])
            places.append(group[inside])
        result = torch.cat(results)
        whole = result.new_zeros(len(flat), *result.shape[1:])
        return whole.index_copy(0, torch.cat(places), result).view(*self.shape, -1)
