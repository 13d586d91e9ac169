"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from speechlm.errors import SpeechLMError
from speechlm.files import atomic_path


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write nested containers of tensors and numbers; the old file stays whole until the end."""
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, as data only: nothing in the file is executed.

    Raises:
        SpeechLMError: when the file is not a checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise SpeechLMError(f"{path}: not a checkpoint of speechlm: {reason}") from None
