"""The models that a server keeps in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from speechlm import audio
from speechlm.codec import Codec
from speechlm.errors import SpeechLMError
from speechlm.lm.speech_lm import SpeechLM
from speechlm.serve.settings import ServerSettings
from speechlm.vocoder.model import VocodedUnits

DEFAULT_VOICES = ("default", "alloy")
"""Names of the model's own voice; the second is the one that clients of OpenAI's API send."""
Voice = Callable[[], torch.Tensor | None]
"""Gives the recording (samples,) of a voice, on the computing thread; None: the model's own."""
VOICE_SECONDS = 10.0
"""Seconds of a recording of a voice that are used."""


class Models:
    """Codec, language model and vocoder of a server, and its voices.

    Raises:
        SpeechLMError: when one cannot be loaded.
    """

    def __init__(self, settings: ServerSettings) -> None:
        torch.set_num_threads(settings.threads)
        self.voices = {} if settings.voices is None else _recordings(settings.voices)
        self.codec = Codec.from_pretrained(settings.codec)
        self.speech_lm = SpeechLM.from_pretrained(settings.language_model)
        tokenizer = self.speech_lm.tokenizer
        if settings.vocoder is None and isinstance(tokenizer, VocodedUnits):
            self.vocoder = tokenizer
        else:
            self.vocoder = VocodedUnits.from_pretrained(settings.vocoder)

    def warm_up(self) -> None:
        """Run each task once, which compiles what is compiled on first use."""
        wave = torch.zeros(self.speech_lm.sample_rate // 4)
        self.speech_lm.generate(speech=wave, max_seconds=0.1)
        self.speech_lm.generate(text="one", max_seconds=0.1)
        self.speech_lm.model.transcribe(self.speech_lm.encode_prompt(wave)[1])
        self.codec.decode(self.codec.encode(torch.zeros(1, self.codec.sample_rate // 4)))

    @property
    def voice_names(self) -> list[str]:
        """Voices that :meth:`named_voice` takes."""
        return [*DEFAULT_VOICES, *self.voices]

    def named_voice(self, name: str) -> Voice:
        """Reads the recording (samples,) of a voice when it is called; None: the model's own.

        Raises:
            SpeechLMError: when there is no such voice.
        """
        if name in DEFAULT_VOICES:
            return lambda: None
        if name not in self.voices:
            raise SpeechLMError(f"no voice {name!r}; there are {', '.join(self.voice_names)}")
        return partial(self._read_voice, self.voices[name])

    def _read_voice(self, path: Path) -> torch.Tensor:
        rate = self.speech_lm.sample_rate
        wave, _ = audio.read(path, rate)
        return torch.from_numpy(wave[: round(VOICE_SECONDS * rate)])


def _recordings(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        if path.stem in found or path.stem in DEFAULT_VOICES:
            raise SpeechLMError(f"{path}: the voice {path.stem!r} exists already; rename the file")
        audio.info(path)
        found[path.stem] = path
    return found
