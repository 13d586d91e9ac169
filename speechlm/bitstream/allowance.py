"""How much sound a stream may claim for the bytes that it has.

Frames without codes take next to nothing, and a gap in the numbers of chunks nothing at all: a
file of some hundred bytes could claim hours. A writer of ours puts at most 20 s into a chunk, which
takes at least 6 bytes.
"""

from __future__ import annotations

SECONDS = 600.0
"""That any stream may hold."""
SECONDS_PER_BYTE = 4.0
"""That it may hold more for each byte."""


def frames_left(frames: int, received: int, frame_rate: float) -> int:
    """How many more may follow ``frames`` frames, after ``received`` bytes of the stream."""
    return max(0, int((SECONDS + SECONDS_PER_BYTE * received) * frame_rate) - frames)
