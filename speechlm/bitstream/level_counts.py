"""How many levels each frame has, in few bits: an adaptive binary range coder, all in integers.

The coder is the carrying one of LZMA (Martin 1979, Subbotin 1999); the probabilities are counts of
what came before in the same chunk (Krichevsky & Trofimov 1981). Nothing is computed in floating
point, so the same bytes mean the same counts everywhere.
"""

from __future__ import annotations

import math

import numpy as np

from speechlm.bitstream.errors import BitstreamError

_FULL = 1 << 32
_LEAST = 1 << 24  # the range is renewed below this
_LIMIT = 255  # counts of a context are halved when they add up to so much

_SAME, _SIGN, _MORE = 0, 3, 5  # first contexts of each decision
_CONTEXTS = 11


def pack_counts(counts: np.ndarray, most: int) -> bytes:
    """Pack the number of levels of each frame (frames,), 0 to ``most``, which is 1 or more.

    Whatever bytes follow, :func:`unpack_counts` finds the same counts, and where they end.
    """
    coder = _Encoder()
    walk = _Walk(most)
    for count in counts.tolist():
        walk.step(coder, count)
    return coder.finish()


def unpack_counts(data: bytes, frames: int, most: int) -> tuple[np.ndarray, int]:
    """Counts (frames,) at the start of ``data``, and the bytes that they take.

    Raises:
        BitstreamError: when ``data`` does not start with what :func:`pack_counts` gives.
    """
    coder = _Decoder(data)
    walk = _Walk(most)
    counts = np.array([walk.step(coder) for _ in range(frames)], np.int64)
    packed = pack_counts(counts, most)
    if not data.startswith(packed):
        raise BitstreamError("is damaged")
    return counts, len(packed)


class CountMeter:
    """What :func:`pack_counts` makes of counts as they come, in bits and fractions of them.

    A new one for each chunk, of which ``most`` is the largest count.
    """

    def __init__(self, most: int) -> None:
        self._walk = _Walk(most)
        self._coder = _Meter()

    def push(self, count: int) -> float:
        """Bits of the next frame's count."""
        before = self._coder.bits
        self._walk.step(self._coder, count)
        return self._coder.bits - before


class _Walk:
    """From each count to the next by yes-or-no decisions, each with the odds of its context.

    Same as before? (context: how many of the last two steps were.) If not: up? (context: the last
    change was.) Then: further by one? until no. (context: direction, and first step or a later
    one; another two contexts for the far end.) What the bounds 0 and ``most`` leave no choice in is
    not coded.
    """

    def __init__(self, most: int) -> None:
        self._most = self._count = most
        self._up = False
        self._stayed = 2
        self._odds = [[0, 0] for _ in range(_CONTEXTS)]

    def step(self, coder: _Encoder | _Decoder | _Meter, count: int = -1) -> int:
        """Code ``count``, or with a decoder find it."""
        before, most = self._count, self._most
        same = coder.code(self._odds[_SAME + self._stayed], count == before)
        self._stayed = min(2, self._stayed + 1) if same else 0
        if same:
            return before
        if before == 0:
            self._up = True
        elif before == most:
            self._up = False
        else:
            self._up = coder.code(self._odds[_SIGN + self._up], count > before)
        room = most - before if self._up else before
        move = 1
        while move < room:
            context = _MORE + 3 * self._up + min(move - 1, 2)
            if not coder.code(self._odds[context], abs(count - before) > move):
                break
            move += 1
        self._count = before + move if self._up else before - move
        return self._count


def _share(odds: list[int]) -> int:
    """The probability of no, in 4096ths, that ``odds`` (times no, times yes) make."""
    no, yes = odds
    return 4096 * (2 * no + 1) // (2 * (no + yes) + 2)


def _learn(odds: list[int], decision: bool) -> None:
    odds[decision] += 1
    if sum(odds) == _LIMIT:
        odds[0] >>= 1
        odds[1] >>= 1


class _Meter:
    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, odds: list[int], decision: bool) -> bool:
        share = _share(odds)
        self.bits -= math.log2((4096 - share if decision else share) / 4096)
        _learn(odds, decision)
        return decision


class _Encoder:
    def __init__(self) -> None:
        self._low, self._range = 0, _FULL
        self._out = bytearray()

    def code(self, odds: list[int], decision: bool) -> bool:
        bound = (self._range >> 12) * _share(odds)
        if decision:
            self._add(bound)
            self._range -= bound
        else:
            self._range = bound
        while self._range < _LEAST:
            self._out.append(self._low >> 24)
            self._low = self._low << 8 & _FULL - 1
            self._range <<= 8
        _learn(odds, decision)
        return decision

    def finish(self) -> bytes:
        """As few more bytes as name the range whatever follows them."""
        for size in range(3):
            step = _FULL >> 8 * size
            up = -self._low % step
            if up + step <= self._range:
                self._add(up)
                return bytes(self._out) + (self._low >> 8 * (4 - size)).to_bytes(size, "big")
        raise AssertionError("a range of 2**24 holds a multiple of 2**16 and all that follow it")

    def _add(self, value: int) -> None:
        self._low += value
        if self._low >= _FULL:
            self._low -= _FULL
            place = len(self._out) - 1
            while self._out[place] == 0xFF:
                self._out[place] = 0
                place -= 1
            self._out[place] += 1


class _Decoder:
    def __init__(self, data: bytes) -> None:
        self._rest = iter(data)
        self._range = _FULL
        self._above = 0  # what is coded, above the low end of the range
        for _ in range(4):
            self._shift()

    def code(self, odds: list[int], decision: bool) -> bool:
        """The decision that comes next; that of the caller is not looked at."""
        bound = (self._range >> 12) * _share(odds)
        decision = self._above >= bound
        if decision:
            self._above -= bound
            self._range -= bound
        else:
            self._range = bound
        while self._range < _LEAST:
            self._shift()
            self._range <<= 8
        _learn(odds, decision)
        return decision

    def _shift(self) -> None:
        self._above = self._above << 8 | next(self._rest, 0)
