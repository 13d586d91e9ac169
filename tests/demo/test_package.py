"""The npm package reads what Python writes and writes the same bytes."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from speechlm.bitstream import Header, PacketWriter, Writer
from speechlm.bitstream.entropy import EntropyCoder, EntropyModel
from tests.bitstream.entropy.models import arrays, cut, random_codes
from tests.bitstream.streams import ragged_codes, small_header
from tests.tools import require

from .node import DEMO, node

RECODE = Path(__file__).parent / "recode.mjs"
WEIGHTS = arrays(num_codebooks=4, codebook_size=32)


def frames(codes: np.ndarray) -> list[list[int]]:
    return [[int(code) for code in frame if code >= 0] for frame in codes.T]


def case(header: Header, parts: list[np.ndarray], entropy: EntropyCoder | None, trim: int) -> dict:
    """A stream of ``parts``, each with a length of its own, in a file and in packets."""
    file, packets = io.BytesIO(), io.BytesIO()
    for out in (file, PacketWriter(packets)):
        writer = Writer(out, header, entropy)
        for number, part in enumerate(parts):
            writer.write(part)
            writer.finish(part.shape[1] * header.hop_length - trim, last=number == len(parts) - 1)
    fields = (
        "model", "weights_hash", "sample_rate", "hop_length", "bits", "num_codebooks",
        "chunk_frames",
    )  # fmt: skip
    return {
        "header": [
            *(getattr(header, name) for name in fields),
            header.num_codebooks,
            header.chunk_frames,
        ],
        "entropy": None if entropy is None else entropy.hash,
        "parts": [{"levels": len(part), "frames": frames(part)} for part in parts],
        "trim": trim,
        "file": base64.b64encode(file.getvalue()).decode(),
        "packets": base64.b64encode(packets.getvalue()).decode(),
    }


def cases() -> list[dict]:
    made = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        num_codebooks, chunk = int(rng.integers(1, 33)), int(rng.integers(1, 60))
        header = small_header(
            model="модель"[: rng.integers(1, 7)],
            bits=int(rng.integers(1, 17)),
            num_codebooks=num_codebooks,
            chunk_frames=chunk,
        )
        parts = [ragged_codes(header, int(rng.integers(0, 90)), seed + i) for i in range(2)]
        made.append(case(header, parts, None, 0 if min(part.size for part in parts) == 0 else 99))
    coder = EntropyCoder(EntropyModel(WEIGHTS))
    for seed in range(6):
        header = small_header(bits=5, num_codebooks=4, chunk_frames=30, context=coder.hash)
        codes = random_codes(4, 70, 32, seed)
        made.append(case(header, [codes, cut(codes, seed)], coder, 1))
    return made


def test_both_implementations_write_the_same_bytes(tmp_path):
    save_file(WEIGHTS, tmp_path / "context.safetensors")
    written = cases()
    results = json.loads(node(RECODE, tmp_path / "context.safetensors", stdin=written))
    assert len(results) == len(written)
    for given, result in zip(written, results, strict=True):
        expected = [frame for part in given["parts"] for frame in part["frames"]]
        assert result["read"] == expected
        assert result["received"] == expected
        assert result["file"] == given["file"]
        assert result["packets"] == given["packets"]


def test_the_tests_of_the_package_pass():
    output = node("--test", *sorted(DEMO.glob("slm/test/*.test.js")))
    assert "# fail 0" in output
    assert "# pass 0" not in output


def test_the_package_can_be_packed_and_used(tmp_path):
    npm = shutil.which("npm")
    require(npm is not None, "npm (Debian: npm)")
    command = [str(npm), "pack", "--silent", "--offline", "--pack-destination", str(tmp_path)]
    subprocess.run(command, cwd=DEMO / "slm", check=True, capture_output=True, timeout=60)
    (archive,) = tmp_path.glob("*.tgz")
    package = tmp_path / "node_modules" / "speechlm-slm"
    shutil.unpack_archive(archive, tmp_path)
    shutil.move(tmp_path / "package", package)
    assert not (package / "test").exists()
    types = json.loads((package / "package.json").read_text())["types"]
    declared = (package / types).read_text()
    script = 'import * as slm from "speechlm-slm"; console.log(Object.keys(slm).join(" "))'
    names = node("--input-type=module", "--eval", script, cwd=tmp_path).split()
    assert "Reader" in names
    for name in names:
        assert f"class {name} " in declared or f"function {name}(" in declared
