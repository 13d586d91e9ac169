"""Settings of the server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from speechlm.errors import SpeechLMError


@dataclass(frozen=True)
class ServerSettings:
    """What ``speechlm serve`` serves, and within which limits.

    Raises:
        SpeechLMError: for a value out of range, or an address beyond this machine without a token.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    """Clients send it as ``Authorization: Bearer TOKEN``; needed unless ``host`` is loopback."""
    codec: str | None = None
    language_model: str | None = None
    vocoder: str | None = None
    voices: Path | None = None
    """Folder of recordings; the name of a voice is that of its file without the suffix."""
    queue: int = 32
    """Requests that wait, at most; one more is refused with status 503."""
    active: int = 4
    """Requests that are computed in turns."""
    batch: int = 8
    """Continuations that are generated in one batch."""
    timeout: float = 120.0
    """Seconds that a request may take in all, waiting included."""
    max_upload: int = 64 << 20
    """Bytes of a request."""
    max_seconds: float = 600.0
    """Seconds of audio of a request."""
    max_characters: int = 4096
    """Characters of a text; the limit of OpenAI's API."""
    threads: int = 1

    def __post_init__(self) -> None:
        for name in ("queue", "active", "batch", "timeout", "max_upload", "max_seconds", "threads"):
            if not getattr(self, name) > 0:
                raise SpeechLMError(f"{name} is above 0, not {getattr(self, name):g}")
        if self.voices is not None and not self.voices.is_dir():
            raise SpeechLMError(f"{self.voices}: no such folder of voices")
        if self.token == "":
            raise SpeechLMError("the token is empty")
        if not is_loopback(self.host) and self.token is None:
            raise SpeechLMError(
                f"{self.host} can be reached from other machines: give a --token, or serve on "
                "127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
