"""Signals that end a process: they unwind it, so that temporary files go."""

from __future__ import annotations

import signal
from types import FrameType


def exit_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise ``SystemExit``, unless they are handled or ignored already.

    SIGINT raises ``KeyboardInterrupt`` without that.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
    raise SystemExit(128 + number)
