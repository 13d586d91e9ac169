"""A trained vocoder with the tokenizer of its units."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.nn import State
from speechlm.tokenizers.base import Units, UnitTokenizer
from speechlm.tokenizers.load import TOKENIZER
from speechlm.tokenizers.load import load as load_units
from speechlm.tokenizers.semantic import SemanticUnits
from speechlm.tokenizers.serialization import FrameTokens
from speechlm.types import Codes
from speechlm.vocoder.config import VocoderConfig
from speechlm.vocoder.network import VocoderNetwork


class VocodedUnits(UnitTokenizer):
    """Units of ``tokenizer``, which ``network`` makes sound.

    Raises:
        SpeechLMError: when the vocoder is one of other units.
    """

    def __init__(self, tokenizer: UnitTokenizer, network: VocoderNetwork):
        self.tokenizer, self.units = tokenizer, tokenizer.units
        self.network = network.eval().requires_grad_(False)
        self.form = tokenizer.form if isinstance(tokenizer, SemanticUnits) else None
        check(framed(tokenizer), network.config)

    @staticmethod
    def from_pretrained(
        name: str | Path | None = None,
        num_codebooks: int | None = None,
        device: str | torch.device = "cpu",
    ) -> VocodedUnits:
        """Load a vocoder with its tokenizer: a folder, a shipped model or a hub id.

        Args:
            name: None is the default vocoder.
            num_codebooks: of its units, from the first; None: all.
            device: where it computes.

        Raises:
            SpeechLMError: when there is no such model, or it is not a vocoder.
        """
        name = hub.DEFAULT_VOCODER if name is None else name
        vocoder = load_units(name, num_codebooks, device=device)
        if not isinstance(vocoder, VocodedUnits):
            raise SpeechLMError(f"{name}: is not a vocoder")
        return vocoder

    @property
    def device(self) -> torch.device:
        return self.network.usual.device

    def to(self, device: str | torch.device) -> Self:
        self.tokenizer.to(device)
        self.network.to(device)
        return self

    def double(self) -> Self:
        """Synthesise in float64."""
        self.network.double()
        return self

    @property
    def timed(self) -> bool:
        """Whether units tell how long each lasts; if not, the vocoder predicts it."""
        return self.form is None or self.form.timed(self.units.num_codebooks)

    def encode(self, wave: Tensor) -> Tensor:
        return self.tokenizer.encode(wave)

    def encode_pieces(self, waves: Iterable[Tensor]) -> Iterator[Tensor]:
        return self.tokenizer.encode_pieces(waves)

    def begin(self, wave: Tensor) -> Tensor:
        return self.tokenizer.begin(wave)

    def places(self, codes: Codes, seconds: Sequence[float]) -> list[int] | None:
        return self.tokenizer.places(codes, seconds)

    def decode(
        self, units: Tensor, length: int | None = None, voice: Tensor | None = None
    ) -> Tensor:
        stream = self.stream_decoder(voice)
        return torch.cat([stream.push(units), stream.flush()], dim=1)[:, :length]

    def stream_decoder(self, voice: Tensor | None = None) -> VocoderStream:
        """``voice`` None: the mean of the voices of training."""
        return VocoderStream(self, voice)


class VocoderStream:
    """Decodes frame by frame. Sound comes ``decoder_delay`` samples after its units."""

    def __init__(self, vocoder: VocodedUnits, voice: Tensor | None):
        self.network, self.form = vocoder.network, vocoder.form
        with torch.inference_mode():
            usual = self.network.usual
            known = usual[None] if voice is None else self.network.voice(voice.to(usual.device))
        self.voice = known
        self.state: State = None
        self.last: Tensor | None = None
        self.skip = self.network.decoder_delay
        self.spoken: State = None

    @torch.inference_mode()
    def push(self, units: Tensor) -> Tensor:
        """Samples (batch, ready) after ``units`` (batch, codebooks, columns)."""
        frames = self._frames(units).to(self.voice.device)
        if frames.shape[2]:
            self.last = frames[:, :, -1:]
        return self._sound(frames)

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """The samples still owed: a frame is ``hop_length`` samples in all. The stream ends."""
        if self.last is None:
            return torch.zeros(1, 0, device=self.voice.device)
        config = self.network.config
        # What is not yet out is the delay, less than so many frames.
        rest = self._sound(self.last.expand(-1, -1, config.ahead + 1))
        return rest[:, : rest.shape[1] - config.hop_length + config.hop_length // config.parts]

    def _sound(self, frames: Tensor) -> Tensor:
        if self.state is None:
            self.voice = self.voice.expand(len(frames), -1)
            self.state = self.network.initial_state(self.voice)
        wave, self.state = self.network.step(frames, self.voice, self.state)
        dropped = min(self.skip, wave.shape[1])
        self.skip -= dropped
        return wave[:, dropped:]

    def _frames(self, codes: Tensor) -> Tensor:
        """Units (batch, codebooks, frames) of columns of the form."""
        if self.form is None or isinstance(self.form, FrameTokens):
            return codes
        if len(codes) != 1:
            raise SpeechLMError("units that differ in length are decoded one recording at a time")
        units, lengths = self.form.read(codes[0].cpu().numpy())
        if lengths is None:
            lengths = self._predicted(units)
        return torch.from_numpy(np.repeat(units, lengths))[None, None]

    def _predicted(self, units: np.ndarray) -> np.ndarray:
        said = torch.from_numpy(units)[None].to(self.voice.device)
        if self.spoken is None:
            self.spoken = self.network.durations.initial_state(said)
        lasting, self.spoken = self.network.durations.step(said, self.spoken)
        found: np.ndarray = lasting[0].exp().round().clamp(1, 100).long().cpu().numpy()
        return found


def framed(tokenizer: UnitTokenizer) -> Units:
    """The units of a tokenizer's frames, whatever form it gives them."""
    if isinstance(tokenizer, SemanticUnits):
        source = tokenizer.source
        return SemanticUnits(source, FrameTokens(source.clusters), source.hop_length).units
    return tokenizer.units


def check(units: Units, config: VocoderConfig) -> None:
    """Raises: SpeechLMError, unless the vocoder is one of such units."""
    names = ("sample_rate", "hop_length", "num_codebooks", "codebook_size", "weights")
    if any(getattr(units, name) != getattr(config, name) for name in names):
        raise SpeechLMError(f"{config.name} is a vocoder of other units than {units}")


def load(folder: Path, num_codebooks: int | None = None, framed: bool = False) -> VocodedUnits:
    """The vocoder in a model folder; see :func:`speechlm.tokenizers.load.load`."""
    config, weights = hub.load_model(folder, VocoderConfig)
    network = hub.build(lambda: VocoderNetwork(config), weights, folder)
    hub.fill(network, weights, folder)
    if config.codec is not None:
        own = config.codec == TOKENIZER
        codec = load_units(folder / TOKENIZER if own else config.codec, config.num_codebooks)
        return VocodedUnits(codec, network)
    return VocodedUnits(load_units(folder / TOKENIZER, num_codebooks, framed), network)
