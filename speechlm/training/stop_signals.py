"""SIGINT and SIGTERM end a training after the step under way."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from speechlm.utils import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Within the context, the first signal is noted; a second one ends the process at once.

    Outside the main thread, which alone receives signals in Python, nothing is changed.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._previous = {one: signal.signal(one, self._note) for one in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for one, handler in self._previous.items():
            signal.signal(one, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        for one, handler in self._previous.items():
            signal.signal(one, handler)

    def agreed(self) -> int | None:
        """The signal that any process of the run received; all of them have to call."""
        return distributed.all_reduce_max(self.signum) or None
