"""Honest numbers: metrics, judges, peers, suites, and a page to listen to.

``quality(reference, estimate, rate)`` is the short way in; ``speechlm.evaluation.suites.run`` is
what ``speechlm eval`` calls.
"""

from __future__ import annotations

from speechlm.evaluation.quality import quality, scores

__all__ = ["quality", "scores"]
