"""The clips of the evaluation's tests."""

from __future__ import annotations

from tests.evaluation.conftest import clips

__all__ = ["clips"]
