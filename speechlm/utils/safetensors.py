"""Files of weights whose bytes depend on their content alone."""

from __future__ import annotations

import json
from pathlib import Path


def sort_metadata(path: Path) -> None:
    """Rewrite the header of a safetensors file with its metadata in the order of their names.

    The library writes them in a random order, so that equal models would differ in their bytes.
    """
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > size:
            raise ValueError(f"{path}: the header of safetensors has another form than expected")
        file.seek(8)
        file.write(text.ljust(size))
