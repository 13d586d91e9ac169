"""Honest numbers: metrics, judges, peers, suites.

``quality(reference, estimate, rate)`` is the short way in; ``speechlm.report.suites.run`` is
what ``speechlm eval`` calls.
"""

from __future__ import annotations

from speechlm.evaluation.quality import quality, scores

__all__ = ["quality", "scores"]
