"""SIGINT and SIGTERM end a training after the step under way."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor

from speechlm.utils import distributed

SIGNALS = (signal.SIGINT, signal.SIGTERM)
REPEAT_SECONDS = 1.0
"""A launcher passes on what the terminal has sent to all its processes: a signal that comes so soon
after the first is taken for the same."""
MESSAGE = b"\nstopping: the step is finished and saved; once more to end at once\n"


class StopSignals:
    """Within the context, the first signal is noted; a second one ends the process at once.

    Signals that are ignored stay so, as SIGINT is in a background job. Outside the main thread,
    which alone receives signals in Python, nothing is changed.

    Args:
        device: where the processes of the run exchange what they received.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.signum = 0
        self._time = 0.0
        self._votes: Tensor | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            noted = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
            self._previous = {one: signal.signal(one, self._note) for one in noted}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()

    def _restore(self) -> None:
        for one, handler in self._previous.items():
            signal.signal(one, handler)
        self._previous = {}

    def _note(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.signum:
            self.signum, self._time = signum, now
            os.write(2, MESSAGE)  # not by a library, within whose code the signal may have come
        elif now - self._time > REPEAT_SECONDS:
            self._restore()
            signal.raise_signal(signum)

    def agreed(self) -> int:
        """The signal after which all processes stop at this step; 0 for none. All of them call it.

        Several processes exchange in each step what they received, and act on what they exchanged
        in the step before: that has arrived, so that no process waits for its device.
        """
        if distributed.world_size() == 1:
            return self.signum
        votes = self._votes
        self._votes = distributed.all_reduce_max(torch.tensor(self.signum, device=self.device))
        return 0 if votes is None else int(votes)
