"""``speechlm convert``: what one recording says, in the voice of another."""

from __future__ import annotations

from pathlib import Path

import torch

from speechlm import audio, hub
from speechlm.errors import SpeechLMError
from speechlm.units.load import load
from speechlm.vocoder.model import VocodedUnits

BLOCK = 500
"""Columns of units that are decoded at once."""


def vocoder(model: str | None) -> VocodedUnits:
    """The vocoder that ``model`` names, a folder or a hub id; None: the shipped one.

    Raises:
        SpeechLMError: when it names none, or what takes no other voice.
    """
    tokenizer = load(hub.DEFAULT_VOCODER if model is None else model)
    if not isinstance(tokenizer, VocodedUnits):
        raise SpeechLMError(f"{model}: is no vocoder, and cannot take another voice")
    return tokenizer


def convert(source: Path, voice: Path, target: Path, model: str | None) -> float:
    """Write ``source`` as the speaker of ``voice`` might say it; give its seconds.

    Timing stays, unless the units of ``model`` have no durations.

    Raises:
        SpeechLMError: when a file cannot be read or written, or the model is no vocoder.
    """
    tokenizer = vocoder(model)
    rate = tokenizer.units.sample_rate
    wave, prompt = (torch.from_numpy(audio.read(path, rate)[0])[None] for path in (source, voice))
    stream = tokenizer.stream_decoder(prompt)
    units = tokenizer.encode(wave)
    samples = 0
    with audio.Writer(target, rate) as writer:
        for block in (*units.split(BLOCK, dim=2), None):
            piece = stream.flush() if block is None else stream.push(block)
            sound = piece[0].numpy()
            if tokenizer.timed:  # as long as the source, not as its frames
                sound = sound[: wave.shape[1] - samples]
            writer.write(sound)
            samples += len(sound)
    return samples / rate
