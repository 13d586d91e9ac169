"""Any codec by name."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

from speechlm.codec.base import Codec
from speechlm.codec.neural import NeuralCodec
from speechlm.hub import PEER_CODECS, is_peer


def load(name: str | Path | None = None, device: str | torch.device = "cpu") -> Codec:
    """A model folder, a hub id, a peer, or (None) the shipped default.

    Peers are ``encodec_24khz``, ``dac_16khz``, ``dac_24khz`` and ``dac_44khz``, with the released
    weights, which their packages download once; or with a weights file in the same format:
    ``dac_16khz=path/to/weights.pth``. (A folder of such a name is ``./dac_16khz``.)

    Raises:
        SpeechLMError: when there is no such model, or its files do not fit together; for a peer
            also when its package or its weights are not there.
    """
    if is_peer(name):
        peer, named, file = str(name).partition("=")
        module = importlib.import_module(f"speechlm.codec.peers.{PEER_CODECS[peer]}")
        return module.load(peer, Path(file).expanduser() if named else None, device)
    return NeuralCodec.from_pretrained(name, device)
