"""The log of a run: one JSON object a line, and TensorBoard beside it."""

from __future__ import annotations

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from speechlm.utils.files import atomic_path


class MetricsLogger:
    """Appends to ``log.jsonl``; lines from after the step that a run resumes at are dropped."""

    def __init__(self, folder: Path, step: int):
        self.path = folder / "log.jsonl"
        if self.path.exists():
            lines = self.path.read_text().splitlines()
            with atomic_path(self.path) as path:
                path.write_text("".join(f"{line}\n" for line in lines if _before(line, step)))
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Log ``values`` of a ``kind``: ``train`` or ``valid``."""
        with self.path.open("a") as file:
            rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
            file.write(json.dumps({"step": step, "kind": kind, **rounded}) + "\n")
        for name, value in values.items():
            self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self.board.close()


def _before(line: str, step: int) -> bool:
    try:
        return bool(json.loads(line)["step"] <= step)
    except (ValueError, KeyError, TypeError):
        # A kill in the middle of a write leaves half a line.
        return False
