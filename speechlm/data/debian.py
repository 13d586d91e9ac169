"""Fetch and unpack Debian packages without installing them, so without any privilege."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from speechlm.errors import SpeechLMError


def unpacked(packages: list[str], cache: Path, corpus: str) -> tuple[Path, dict[str, str]]:
    """Give a folder that holds the files of ``packages``, and the version of each package.

    A package is downloaded once (``cache/NAME_VERSION_ARCH.deb``) and unpacked once
    (``cache/unpacked/``); what is there already needs neither the network nor ``apt-get``.

    Raises:
        SpeechLMError: when the machine has no Debian package client, or a download fails.
    """
    root = cache / "unpacked"
    root.mkdir(parents=True, exist_ok=True)
    versions = {}
    for package in packages:
        archive = _archive(cache, package) or _download(package, cache, corpus)
        done = root / f".{archive.stem}"
        if not done.exists():
            _run(["dpkg-deb", "-x", str(archive.resolve()), str(root.resolve())], cache, corpus)
            done.touch()
        versions[package] = archive.stem.split("_")[1].replace("%3a", ":")
    return root, versions


def _archive(cache: Path, package: str) -> Path | None:
    found = sorted(cache.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _download(package: str, cache: Path, corpus: str) -> Path:
    # apt writes under the final name from the first byte on, so it writes elsewhere first.
    partial = cache / "partial"
    partial.mkdir(exist_ok=True)
    _run(["apt-get", "download", package], partial, corpus)
    arrived = _archive(partial, package)
    if arrived is None:
        raise SpeechLMError(f"apt-get download {package}: no archive arrived in {partial}")
    return arrived.replace(cache / arrived.name)


def _run(command: list[str], folder: Path, corpus: str) -> None:
    if shutil.which(command[0]) is None:
        raise SpeechLMError(
            f"{corpus} is read from Debian packages and this machine has no {command[0]}: use a "
            "Debian or Ubuntu machine or container for asterisk, festvox-ru, fillets, tuxpaint "
            "and amazon-queen (data/folder.yaml takes your own recordings anywhere)"
        )
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    if result.returncode:
        last = (result.stderr.strip() or "no message").splitlines()[-1]
        raise SpeechLMError(f"{' '.join(command)}: {last}; try apt-get update first")
