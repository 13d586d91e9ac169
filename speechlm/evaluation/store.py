"""Finished work by the hash of what went in, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from speechlm.errors import SpeechLMError
from speechlm.utils import files


def default_folder() -> Path:
    """``speechlm/evaluation`` in the user's cache folder; it may be deleted at any time."""
    return files.cache() / "evaluation"


def key(*parts: object) -> str:
    """A name for a result: a hash of all that it follows from.

    Raises:
        ValueError: where a part is empty: what stands for nothing would match what it should not.
    """
    if not parts or any(part is None or not str(part).strip() for part in parts):
        raise ValueError(f"a key of nothing: {parts}")
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


class Store:
    """Small results in one SQLite file, decoded audio as files beside it.

    Only the suite's own process writes records; each is on disk when ``put`` returns. A suite in
    jobs has a file for each ``job``, so that no two machines write one; whoever opens the store
    later takes over what is in the others.
    """

    def __init__(self, folder: Path, job: str = "") -> None:
        self.folder = folder
        try:
            (folder / "audio").mkdir(parents=True, exist_ok=True)
            file = f"results{job and '-'}{job}.sqlite"
            self._database = sqlite3.connect(folder / file, timeout=60, isolation_level=None)
            # No write-ahead log: it needs memory that processes share, which machines do not.
            self._database.execute("PRAGMA journal_mode=DELETE")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
            )
            for other in sorted(folder.glob("results*.sqlite")):
                if other.name != file:
                    self._take_over(other)
        except (OSError, sqlite3.Error) as error:
            raise SpeechLMError(f"{folder}: no cache can be kept here: {error}") from None

    def _take_over(self, other: Path) -> None:
        self._database.execute("ATTACH ? AS other", (str(other),))
        if self._database.execute("SELECT 1 FROM other.sqlite_master").fetchone():
            self._database.execute("INSERT OR IGNORE INTO results SELECT * FROM other.results")
        self._database.execute("DETACH other")

    def get(self, name: str) -> Any:
        """What ``put`` was given for this key, or None."""
        row = self._database.execute("SELECT value FROM results WHERE key = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, name: str, value: Any) -> None:
        """Keep a value that JSON can hold."""
        self._database.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?)", (name, json.dumps(value))
        )

    def audio(self, name: str) -> Path:
        """Where the audio of this key is, or will be."""
        return self.folder / "audio" / name[:2] / f"{name}.flac"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
