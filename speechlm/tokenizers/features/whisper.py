"""The encoder of Whisper as a teacher, by CTranslate2: no network and no hub needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from speechlm import whisper
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features.base import Teacher

RATE, HOP = 16000, 320
BEFORE, CORE, AFTER = 50, 25, 25
"""Frames that a window hears before those that it gives, the latter, and what it hears after."""
WINDOWS = 64
"""At once."""


class WhisperEncoder(Teacher):
    """The output of Whisper's encoder, 50 frames a second (Radford et al. 2022).

    What it says of a frame depends much on where in its window of 30 s the frame is: the features
    of one recording after 7 s of silence, and without it, correlate by .71. So each window here is
    of two seconds and gives the half second in its third quarter: then they correlate by .90.

    On any ``device`` CTranslate2 computes on the CPU, so units stay what they are.

    Args:
        model: as :func:`speechlm.whisper.find` takes it.

    Raises:
        SpeechLMError: when a package or the model is not there.
    """

    sample_rate, hop_length = RATE, HOP

    def __init__(self, model: str | None) -> None:
        found, content = whisper.find(model)
        from ctranslate2 import StorageView
        from ctranslate2.models import Whisper
        from faster_whisper.feature_extractor import FeatureExtractor
        from faster_whisper.utils import download_model

        try:
            folder = found if Path(found).is_dir() else download_model(found)
            self.network = Whisper(folder, device="cpu", compute_type="float32", intra_threads=1)
        except Exception as error:  # the hub's client and CTranslate2 raise many types
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SpeechLMError(f"Whisper model {found!r} cannot be loaded: {reason}") from None
        self.model, self.storage = model, StorageView
        self.spectrum = FeatureExtractor(feature_size=self.network.n_mels)
        self.fingerprint = f"whisper-1 {content[:16]}"
        self.dim = self._encode([np.zeros(HOP, np.float32)]).shape[2]

    def __reduce__(self) -> tuple[type[WhisperEncoder], tuple[str | None]]:
        return WhisperEncoder, (self.model,)  # CTranslate2's networks cannot be pickled

    def _features(self, wave: Tensor) -> Tensor:
        frames = len(wave) // HOP
        size, step = (BEFORE + CORE + AFTER) * HOP, CORE * HOP
        padded = np.pad(wave.cpu().numpy(), (BEFORE * HOP, (CORE + AFTER) * HOP))
        windows = [padded[at : at + size] for at in range(0, len(wave), step)]
        groups = [windows[at : at + WINDOWS] for at in range(0, len(windows), WINDOWS)]
        found = np.concatenate([self._encode(group) for group in groups])
        given = found[:, BEFORE : BEFORE + CORE].reshape(-1, found.shape[2])
        return torch.from_numpy(given[:frames]).to(self.device)

    def _encode(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """Features (windows, frames, dim) of windows of as many whole frames, at most 30 s."""
        # Its spectrum has two frames for one of ours, and one more at the end.
        mel = np.stack([self.spectrum(window, padding=0) for window in windows])
        mel = np.ascontiguousarray(mel[:, :, : 2 * (len(windows[0]) // HOP)], np.float32)
        found = self.network.encode(self.storage.from_array(mel), to_cpu=True)
        return np.array(found, np.float32)
