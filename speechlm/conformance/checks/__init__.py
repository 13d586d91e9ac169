"""The checks, in the order of the report. Each takes a subject and recordings and returns figures.

A check raises :class:`~speechlm.conformance.result.Failure` where its limit is exceeded, and
:class:`~speechlm.conformance.result.NotApplicable` where it has no meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from speechlm.conformance.checks.batch import batch
from speechlm.conformance.checks.bits import bits
from speechlm.conformance.checks.causality import causality, context
from speechlm.conformance.checks.chunks import chunks
from speechlm.conformance.checks.growth import growth
from speechlm.conformance.checks.length import length
from speechlm.conformance.checks.level import clipping, level, offset, silence
from speechlm.conformance.checks.loss import loss
from speechlm.conformance.checks.portable import instruction_sets, threads
from speechlm.conformance.checks.tandem import tandem
from speechlm.conformance.subject import Subject
from speechlm.types import Wave

__all__ = ["CHECKS", "Check"]

Check = Callable[[Subject, list[Wave]], Mapping[str, float | str]]

CHECKS: dict[str, Check] = {
    "length": length,
    "batch": batch,
    "chunks": chunks,
    "threads": threads,
    "instruction sets": instruction_sets,
    "causality": causality,
    "context": context,
    "bits": bits,
    "re-encoding": tandem,
    "level": level,
    "offset": offset,
    "clipping": clipping,
    "silence": silence,
    "lost frame": loss,
    "growth": growth,
}
