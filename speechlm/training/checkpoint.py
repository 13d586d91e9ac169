"""Checkpoints that survive a kill at any moment."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write nested containers of tensors and numbers; the old file stays whole until the end."""
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, as data only: nothing in the file is executed.

    Raises:
        SpeechLMError: when the file is not a checkpoint, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch writes check sums and does not read them.
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(f"{path}: not a checkpoint of speechlm: {reason}") from None
