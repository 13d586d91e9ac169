"""How numbers and judgements are written, on the page and on the terminal."""

from __future__ import annotations

import math

from speechlm.evaluation.statistics import Interval

NONE, MINUS = "\u2013", "\u2212"  # an en dash for no value, a true minus sign


def number(value: float | None, digits: int) -> str:
    """Fixed digits, a true minus sign, a dash for none."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)  # + 0.0: no minus zero


def signed(value: float, digits: int) -> str:
    """A difference, with its sign unless it rounds to zero."""
    text = number(value, digits)
    return f"+{text}" if round(value, digits) > 0 else text


def with_interval(found: Interval, digits: int, sign: bool = False) -> str:
    """``12.3 (11.0 to 13.9)``, or the mean alone where there is no interval."""
    text = signed if sign else number
    mean = text(found.mean, digits)
    if not math.isfinite(found.low):
        return mean
    return f"{mean} ({text(found.low, digits)} to {text(found.high, digits)})"


def extent(n: int, speakers: int | None, of: str = "clips") -> str:
    """``120 clips of 47 speakers``; without speakers where these are not known."""
    if speakers is None:
        return f"{n} {of}"
    return f"{n} {of} of {speakers} {'speaker' if speakers == 1 else 'speakers'}"


def verdict(change: Interval, better: str | None) -> str:
    """``better`` or ``worse`` when the interval of a difference excludes zero, else nothing."""
    if better is None or not change.excludes_zero:
        return ""
    return "better" if (change.mean > 0) == (better == "higher") else "worse"
