"""Peers with random weights, where their cost or their structure alone is measured."""

from __future__ import annotations

from typing import Any, cast

import torch

from speechlm.codec.peers.base import Peer, package, quiet
from speechlm.errors import SpeechLMError


def with_random_weights(name: str) -> Peer:
    """``encodec_24khz`` or ``dac_16khz``, initialised from seed 0.

    Raises:
        SpeechLMError: for another name, or when the package is missing.
    """
    with torch.random.fork_rng(), torch.no_grad(), quiet():
        torch.manual_seed(0)
        if name == "encodec_24khz":
            from speechlm.codec.peers.encodec import Encodec

            encodec = package("encodec")
            model = encodec.EncodecModel.encodec_model_24khz(pretrained=False)
            return Encodec(name, _with_random_codebooks(model))
        if name == "dac_16khz":
            from speechlm.codec.peers.dac import Dac

            # The published 16 kHz model: its strides, and otherwise the defaults of the class.
            model = package("dac").DAC(
                encoder_rates=[2, 4, 5, 8],
                decoder_rates=[8, 5, 4, 2],
                n_codebooks=12,
                sample_rate=16000,
            )
            return Dac(name, model)
    raise SpeechLMError(f"{name}: random weights are for encodec_24khz and dac_16khz")


def _with_random_codebooks(model: Any) -> torch.nn.Module:
    """EnCodec's codebooks are zeros until training sets them, which gives one code for all.

    Here their entries are as large as the encoder's output for noise, and smaller in each further
    codebook, as residuals are.
    """
    scale = float(model.encoder(0.1 * torch.randn(1, 1, model.sample_rate)).std())
    for number, layer in enumerate(model.quantizer.vq.layers):
        layer._codebook.embed.normal_(std=scale * 0.8**number)
    return cast(torch.nn.Module, model)
