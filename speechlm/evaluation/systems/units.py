"""Resynthesis: units of a tokenizer, and their vocoder in the clip's own voice."""

from __future__ import annotations

import math

import numpy as np

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.evaluation.systems.base import Absent, Encoded, System
from speechlm.evaluation.systems.model import NETWORK_VERSION
from speechlm.types import Wave


class Resynthesis(System):
    """What is left of speech in units. ``model`` is a vocoder, or a codec: then of all its levels.

    The price is that of the units, each in whole bits, without entropy coding; and of the voice, 16
    bits a dimension, once. The prompt is the clip itself: who speaks is no part of the question.
    Where units do not tell how long they last, the vocoder does: nothing is in time then.

    Raises:
        Absent: when the model is not there, or has no vocoder.
    """

    kbps = 0.0

    def __init__(self, model: str | None) -> None:
        import torch

        from speechlm.tokenizers.load import load
        from speechlm.vocoder import VocodedUnits

        try:
            self.tokenizer = load(model)
            self.tokenizer.stream_decoder(torch.zeros(1, 16000))
        except SpeechLMError as reason:
            raise Absent(str(reason)) from None
        units = self.tokenizer.units
        self.sample_rate, self.codebook_size = units.sample_rate, units.codebook_size
        if not units.variable:
            self.tokens_per_second = units.frame_rate * units.num_codebooks
        self.voice_bits, weights = 0, ""
        if isinstance(self.tokenizer, VocodedUnits):
            network = self.tokenizer.network
            self.voice_bits = 16 * network.config.voice.size
            self.timed = self.tokenizer.timed
            weights = f", vocoder {hub.weights_hash(network.state_dict())}"
        self.about = f"{units} of {units.codebook_size} at {units.frame_rate:g} Hz{weights}"

    @property
    def fingerprint(self) -> str:
        return f"{super().fingerprint} network-{NETWORK_VERSION}"

    def encode(self, wave: Wave) -> Encoded:
        import torch

        whole = torch.tensor(wave)[None]
        with torch.inference_mode():
            codes = self.tokenizer.encode(whole)
        bits = codes.numel() * math.ceil(math.log2(self.tokenizer.units.codebook_size))
        bits += self.voice_bits
        return Encoded((codes, whole), bits, math.ceil(bits / 8), codes[0].numpy())

    def decode(self, encoded: Encoded, samples: int) -> Wave:
        import torch

        codes, prompt = encoded.payload
        with torch.inference_mode():
            wave = self.tokenizer.decode(codes, voice=prompt)[0].numpy().astype(np.float32)
        return wave[:samples] if self.timed else wave
