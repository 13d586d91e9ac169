"""The page that describes entropy coding is right: its decoder decodes what we write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from speechlm.bitstream.entropy import EntropyCoder, EntropyModel
from speechlm.bitstream.entropy.model import SHAPES
from speechlm.bitstream.level_counts import unpack_counts

from .models import arrays, cut, likely_codes, random_codes

PAGE = (Path(__file__).parents[3] / "docs" / "spec" / "entropy-coding.md").read_text()


def decoder_of_the_page():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/spec/entropy-coding.md", "exec"), names)
    return names["decode"]


@pytest.mark.parametrize("kind", ["random", "likely", "ragged"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_decoder_of_the_page_decodes_what_we_write(kind, seed):
    weights = arrays(seed=seed)
    model = EntropyModel(weights)
    codes = likely_codes(model, 4, 40, seed) if kind == "likely" else random_codes(4, 40, 32, seed)
    if kind == "ragged":
        codes = cut(codes, seed)
    payload = EntropyCoder(model).encode(codes)
    counts, size = unpack_counts(payload, 40, 4)
    plain = {name: array.tolist() for name, array in weights.items()}
    frames = decoder_of_the_page()(payload[size:], counts.tolist(), plain)
    assert frames == [[code for code in frame if code >= 0] for frame in codes.T.tolist()]


def test_the_page_lists_the_arrays():
    for name in SHAPES:
        stem, _, part = name.partition(".")
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{stem}")]
        assert not part or f"`.{part}`" in row or f"`{name}`" in row
