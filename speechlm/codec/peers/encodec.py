"""EnCodec at 24 kHz, mono and causal, by the package ``encodec``.

Défossez et al., "High Fidelity Neural Audio Compression", 2022 (arXiv:2210.13438).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from speechlm.codec.peers.base import Peer, fetched, fill, package, quiet, read_weights

WEIGHTS = "encodec_24khz-d7cc33bc.th"
"""Name of the released file; the digits begin its SHA-256."""


class Encodec(Peer):
    """Any number of levels from 1 to 32 (0.75 kbps each), where the package offers five rates."""

    def __init__(self, model_id: str, model: torch.nn.Module, device: str | torch.device = "cpu"):
        super().__init__(model_id, model, device)
        self.sample_rate = self.model.sample_rate
        self.hop_length = self.model.encoder.hop_length
        self.num_codebooks = self.model.quantizer.n_q
        self.codebook_size = self.model.quantizer.bins

    def _codes(self, wave: Tensor, num_codebooks: int) -> Tensor:
        return self.model.quantizer.vq.encode(self.model.encoder(wave), num_codebooks).transpose(
            0, 1
        )

    def _wave(self, codes: Tensor) -> Tensor:
        return self.model.decoder(self.model.quantizer.decode(codes.transpose(0, 1)))


def load(name: str, file: Path | None, device: str | torch.device = "cpu") -> Encodec:
    """``encodec_24khz`` with the weights of ``file``, a state dict, or (None) of the release.

    Raises:
        SpeechLMError: when the package or the weights are missing, or the weights do not fit.
    """
    encodec = package("encodec")
    file = file or _download(name)
    weights = read_weights(file)
    with quiet():
        model = encodec.EncodecModel.encodec_model_24khz(pretrained=False)
    fill(model, weights, file, name)
    return Encodec(name, model, device)


def _download(name: str) -> Path:
    # The package goes through torch.hub too, and has it unpickle anything: here it only checks.
    url = package("encodec.model").ROOT_URL + WEIGHTS
    path = Path(torch.hub.get_dir(), "checkpoints", WEIGHTS)

    def fetch() -> None:
        torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )

    if not path.is_file():
        fetched(name, fetch, url, path)
    return path
