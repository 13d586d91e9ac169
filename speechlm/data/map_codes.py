"""A function for ``datasets.Dataset.map`` that adds a column of codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.base import UnitTokenizer


class MapCodes:
    """``dataset.map(MapCodes("codec-16k"), batched=True)`` adds the column ``codes``.

    Each is a list (codebooks, frames). The column of audio is that of ``datasets.Audio``: mappings
    with ``array`` (samples,) or (channels, samples) and ``sampling_rate``, or decoders with
    ``get_all_samples``. The object pickles by the name of the model, so that it works with
    ``num_proc`` and with the cache of ``datasets``.

    Args:
        model: a codec, tokenizer or vocoder: a folder, a shipped model or a hub id.
        num_codebooks: from the first; None: all.
        audio: the column to read.
        codes: the column to write.
        device: where the tokenizer computes.
    """

    def __init__(
        self, model: str, num_codebooks: int | None = None, audio: str = "audio",
        codes: str = "codes", device: str = "cpu",
    ) -> None:  # fmt: skip
        self.model, self.num_codebooks, self.device = model, num_codebooks, device
        self.audio, self.codes = audio, codes
        self._tokenizer: UnitTokenizer | None = None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_tokenizer": None}

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """The column of codes of a batch.

        Raises:
            SpeechLMError: when there is no column of audio, or it holds none.
        """
        import torch

        if self.audio not in batch:
            raise SpeechLMError(f"no column {self.audio}; there are {', '.join(batch)}")
        if self._tokenizer is None:
            self._tokenizer = UnitTokenizer.from_pretrained(
                self.model, self.num_codebooks, self.device
            )
        waves = (_wave(value, self._tokenizer.units.sample_rate) for value in batch[self.audio])
        encoded = (self._tokenizer.encode(torch.from_numpy(wave)[None])[0] for wave in waves)
        return {self.codes: [codes.cpu().tolist() for codes in encoded]}


def _wave(value: Any, sample_rate: int) -> np.ndarray:
    """Mono float32 (samples,) of a value of ``datasets.Audio``."""
    from speechlm import audio

    if hasattr(value, "get_all_samples"):
        samples = value.get_all_samples()
        array, rate = samples.data.numpy(), samples.sample_rate
    elif isinstance(value, Mapping) and value.get("array") is not None:
        array, rate = np.asarray(value["array"]), value["sampling_rate"]
    else:
        raise SpeechLMError("the column of audio holds no samples: cast it to datasets.Audio")
    mono = array.mean(axis=0) if array.ndim == 2 else array
    return audio.resample(mono.astype(np.float32), int(rate), sample_rate)
