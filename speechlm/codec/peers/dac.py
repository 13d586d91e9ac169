"""The Descript Audio Codec at 16, 24 and 44.1 kHz, by the package ``descript-audio-codec``.

Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", 2023 (arXiv:2306.06546).
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speechlm.codec.peers.base import (
    Peer,
    fetched,
    fill,
    first_line,
    package,
    quiet,
    read_weights,
)
from speechlm.errors import SpeechLMError

SAMPLE_RATES = {"dac_16khz": 16000, "dac_24khz": 24000, "dac_44khz": 44100}


class Dac(Peer):
    """The network alone, as ``DAC.forward`` runs it.

    The package's files also level the loudness and carry the gain, for which codes have no place.
    With an odd stride the network gives a few samples less than its frames cover (8 of 320 in the
    release for 16 kHz): those are zero.
    """

    def __init__(self, model_id: str, model: torch.nn.Module, device: str | torch.device = "cpu"):
        super().__init__(model_id, model, device)
        self.sample_rate = self.model.sample_rate
        self.hop_length = int(self.model.hop_length)
        self.num_codebooks = self.model.n_codebooks
        self.codebook_size = self.model.codebook_size

    def _codes(self, wave: Tensor, num_codebooks: int) -> Tensor:
        whole = self.model.preprocess(wave, self.sample_rate)
        return self.model.encode(whole, num_codebooks)[1]

    def _wave(self, codes: Tensor) -> Tensor:
        return self.model.decode(self.model.quantizer.from_codes(codes)[0])


def load(name: str, file: Path | None, device: str | torch.device = "cpu") -> Dac:
    """``dac_16khz``, ``dac_24khz`` or ``dac_44khz`` with the weights of ``file``, or (None) of the
    release of 8 kbps (24 kbps at 24 kHz).

    ``file`` is as the package writes it: ``state_dict``, and the arguments of ``dac.DAC`` in
    ``metadata``.

    Raises:
        SpeechLMError: when the package or the weights are missing, or the weights do not fit.
    """
    dac = package("dac")
    file = file or _download(name)
    saved = read_weights(file)
    try:
        kwargs, weights = dict(saved["metadata"]["kwargs"]), saved["state_dict"]
    except (KeyError, TypeError, ValueError):
        raise SpeechLMError(f"{file}: not a weights file of descript-audio-codec") from None
    known = inspect.signature(dac.DAC).parameters
    try:
        with quiet():  # of arguments, the package too leaves aside what its class does not know
            model = dac.DAC(**{key: kwargs[key] for key in kwargs if key in known})
    except Exception as error:  # whatever arguments raise that make no network
        raise SpeechLMError(f"{file}: makes no DAC: {first_line(error)}") from None
    if model.sample_rate != SAMPLE_RATES[name]:
        raise SpeechLMError(f"{file}: not {name}, but a model for {model.sample_rate} Hz")
    fill(model, weights, file, name)
    return Dac(name, model, device)


def _download(name: str) -> Path:
    utils: Any = package("dac.utils")
    kind, rate = name.removeprefix("dac_"), "8kbps"
    tag = utils.__MODEL_LATEST_TAGS__[kind, rate]
    url = utils.__MODEL_URLS__[kind, tag, rate]
    # Where the package keeps it, and looks for it before it asks the network.
    path = Path.home() / ".cache" / "descript" / "dac" / f"weights_{kind}_{rate}_{tag}.pth"
    return fetched(name, lambda: utils.download(kind, rate, tag), url, path)
