"""What a metric is: reference, estimate, rate -> a number, or NaN with a reason."""

from __future__ import annotations

import importlib
import importlib.metadata
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np

from speechlm.types import Wave


class Unscored(Exception):
    """Raised by a metric that has no value for this pair; its message is the reason shown."""


class Unavailable(Unscored):
    """The metric cannot run on this machine (a package is absent), whatever the audio."""


@dataclass(frozen=True)
class Score:
    """One metric of one clip. ``value`` is finite, or NaN together with a ``reason``.

    ``weight`` is the clip's share in a mean: 1, or the number of words behind a word error rate,
    so that a weighted mean of rates is the rate of the whole set. ``lasting`` says that the same
    audio will always give this score: what a missing package prevented is worth another try.
    """

    value: float
    reason: str = ""
    weight: float = 1.0
    lasting: bool = True

    def __post_init__(self) -> None:
        if math.isfinite(self.value) == bool(self.reason):
            raise ValueError(f"a score is finite or has a reason, got {self.value} {self.reason!r}")


def failed(reason: str, lasting: bool = True) -> Score:
    """The score of a metric that has no value here."""
    return Score(math.nan, reason, lasting=lasting)


@dataclass(frozen=True)
class Metric:
    """A named measure of an estimate beside its reference.

    ``compute(reference, estimate, rate)`` takes two float arrays (samples,) of equal length in
    [-1, 1] at ``rate`` Hz, and returns a float or raises ``Unscored``. ``version`` changes when the
    same audio would get another number; with the versions of ``packages`` it keys the cache.
    ``about`` names the formula's source in one line, for the page. ``better`` is None where the
    reference's own value is the one to reach. One that is ``timed`` compares
    moments: the two must be in time with each other, and of one length.
    """

    name: str
    title: str
    better: Literal["higher", "lower"] | None
    about: str
    compute: Callable[[Wave, Wave, int], float]
    unit: str = ""
    version: int = 1
    packages: tuple[str, ...] = ()
    digits: int = 2
    timed: bool = True

    def __call__(self, reference: Wave, estimate: Wave, rate: int) -> Score:
        """The score of ``estimate``: never an exception, never a default."""
        problem = _problem(reference, estimate, self.timed)
        if problem:
            return failed(problem)
        try:
            value = float(self.compute(reference, estimate, rate))
        except Unscored as reason:
            return failed(str(reason), lasting=not isinstance(reason, Unavailable))
        except Exception as error:  # a judge's crash costs its own cell, and is shown there
            return failed(f"{type(error).__name__}: {error}")
        if not math.isfinite(value):
            return failed(f"not a finite number ({value})")
        return Score(value)

    @property
    def fingerprint(self) -> str:
        """Changes whenever the metric's numbers may."""
        versions = (f"{package}={_installed(package)}" for package in self.packages)
        return " ".join((f"{self.name}-{self.version}", *versions))


def require(module: str, package: str, install: str = "'speechlm[eval]'") -> ModuleType:
    """Import ``module``, or raise ``Unavailable`` naming the package and what brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise Unavailable(
            f"{package} cannot be imported ({error}): pip install {install}"
        ) from None


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _problem(reference: Wave, estimate: Wave, timed: bool) -> str:
    if reference.ndim != 1 or estimate.ndim != 1:
        return f"not mono: shapes {reference.shape} and {estimate.shape}"
    if timed and len(reference) != len(estimate):
        return f"lengths differ: {len(reference)} and {len(estimate)} samples"
    if not (len(reference) and len(estimate)):
        return "no samples"
    if not (np.isfinite(reference).all() and np.isfinite(estimate).all()):
        return "NaN or infinity among the samples"
    if not reference.any():
        return "the reference is silent"
    return ""
