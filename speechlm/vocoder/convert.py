"""``speechlm convert``: what one recording says, in the voice of another."""

from __future__ import annotations

from pathlib import Path

import torch

from speechlm import audio
from speechlm.vocoder.model import VocodedUnits

BLOCK = 500
"""Columns of units that are decoded at once."""


def convert(source: Path, voice: Path, target: Path, model: str | None) -> float:
    """Write ``source`` as the speaker of ``voice`` might say it; give its seconds.

    Timing stays, unless the units of ``model`` have no durations.

    Raises:
        SpeechLMError: when a file cannot be read or written, or the model is no vocoder.
    """
    tokenizer = VocodedUnits.from_pretrained(model)
    rate = tokenizer.units.sample_rate
    wave, prompt = (torch.from_numpy(audio.read(path, rate)[0])[None] for path in (source, voice))
    stream = tokenizer.stream_decoder(prompt)
    units = tokenizer.encode(wave)
    samples = 0
    with audio.AudioWriter(target, rate) as writer:
        for block in (*units.split(BLOCK, dim=2), None):
            piece = stream.flush() if block is None else stream.push(block)
            sound = piece[0].numpy()
            if tokenizer.timed:  # as long as the source, not as its frames
                sound = sound[: wave.shape[1] - samples]
            writer.write(sound)
            samples += len(sound)
    return samples / rate
