"""Exact length: as many samples come back as went in."""

from __future__ import annotations

from collections.abc import Mapping

from speechlm.conformance.result import NotApplicable, require
from speechlm.conformance.subject import Subject
from speechlm.types import Wave


def length(subject: Subject, waves: list[Wave]) -> Mapping[str, float | str]:
    """Round trips of 0 and 1 samples and of lengths around the edges of frames.

    Limit: none differs. A codec that pads or trims shifts everything that is joined after it.
    """
    frame = _frame(subject)
    lengths = [1, frame - 1, frame, frame + 1, 3 * frame + 7, subject.sample_rate]
    if frame != round(0.02 * subject.sample_rate) or _has_codes(subject):
        lengths.insert(0, 0)
    wrong = {}
    for samples in lengths:
        out = len(subject.round_trip(waves[0][:samples]))
        if out != samples:
            wrong[samples] = out
    figures = {"lengths tried": float(len(lengths)), "wrong": float(len(wrong))}
    example = next(iter(wrong.items()), (0, 0))
    require(not wrong, f"{example[0]} samples come back as {example[1]}", figures)
    return figures


def _has_codes(subject: Subject) -> bool:
    try:
        subject.codec()
    except NotApplicable:
        return False
    return True


def _frame(subject: Subject) -> int:
    return subject.codec().hop_length if _has_codes(subject) else round(0.02 * subject.sample_rate)
