"""Recognisers of other libraries, by the name of a model."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation.recognition.base import RATE, Recogniser, Unusable


class TransformersRecogniser(Recogniser):
    """Any ``automatic-speech-recognition`` pipeline of transformers, by hub id or local folder."""

    def __init__(self, model: str) -> None:
        try:
            import transformers
        except ImportError:
            raise Unusable("transformers is not installed: pip install transformers") from None
        self.model = model
        self.about = f"{model}, transformers {transformers.__version__}"
        self.fingerprint = self.about

    @cached_property
    def _pipeline(self) -> Any:
        from transformers import pipeline

        try:
            return pipeline("automatic-speech-recognition", model=self.model, device="cpu")
        except Exception as error:  # the hub's client raises many types
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise Unusable(f"model {self.model!r} cannot be loaded: {reason}") from None

    def transcribe(self, wave: NDArray[np.float32]) -> str:
        return str(self._pipeline({"raw": wave, "sampling_rate": RATE})["text"]).strip()


class TorchaudioRecogniser(Recogniser):
    """A CTC bundle of ``torchaudio.pipelines`` by name, decoded greedily."""

    def __init__(self, model: str) -> None:
        from torchaudio import pipelines

        self._bundle: Any = getattr(pipelines, model, None)
        if not hasattr(self._bundle, "get_labels"):
            raise Unusable(f"torchaudio.pipelines has no CTC bundle {model!r}")
        self.about = f"{model}, torchaudio {version('torchaudio')}, greedy CTC"
        self.fingerprint = self.about

    @cached_property
    def _network(self) -> Any:
        try:
            return self._bundle.get_model().eval()
        except Exception as error:  # a download may fail in many ways
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise Unusable(f"the bundle's weights cannot be loaded: {reason}") from None

    def transcribe(self, wave: NDArray[np.float32]) -> str:
        import torch

        with torch.inference_mode():
            emissions, _ = self._network(torch.from_numpy(wave)[None])
        best = emissions[0].argmax(dim=-1).unique_consecutive().tolist()
        labels = self._bundle.get_labels()
        # Label 0 is the blank, and "|" stands between words.
        return "".join(labels[index] for index in best if index).replace("|", " ").strip()
