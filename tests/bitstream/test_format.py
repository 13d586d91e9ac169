"""The page that describes the format is right: its decoder decodes, its table is what we write."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import Header, Writer
from tests.bitstream.streams import default_header, encode, headers, ragged_codes, random_codes

PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "bitstream.md").read_text()


def decoder_of_the_page():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/spec/bitstream.md", "exec"), names)
    return names["decode"]


@settings(max_examples=50, deadline=None)
@given(
    headers,
    st.lists(
        st.tuples(st.integers(1, 32), st.integers(0, 40), st.booleans(), st.booleans()), max_size=4
    ),
)
def test_the_decoder_of_the_page_decodes_what_we_write(header: Header, drawn):
    file = io.BytesIO()
    writer = Writer(file, header)
    written: list[list[int]] = []
    parts, frames = [], 0
    for i, (num_codebooks, count, ragged, ends) in enumerate(drawn):
        num_codebooks = min(num_codebooks, header.num_codebooks)
        codes = random_codes(header, count, i, num_codebooks)
        if ragged:
            codes = ragged_codes(header, count, i)
        writer.write(codes)
        written += [[code for code in frame if code >= 0] for frame in codes.T.tolist()]
        frames += count
        if ends:
            parts.append(frames * header.hop_length - min(5, frames * header.hop_length))
            writer.finish(parts[-1], last=False)
            frames = 0
    parts.append(frames * header.hop_length - min(5, frames * header.hop_length))
    writer.finish(parts[-1])
    fields, chunks, found = decoder_of_the_page()(file.getvalue())
    assert Header(*fields) == header
    assert [frame for chunk in chunks for frame in chunk] == written
    assert found == parts


def test_the_sizes_of_the_page():
    rows = re.findall(
        r"^\| ([\d.]+) \| (\d+) \| (\d+) \(.*?\) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) % \|$",
        PAGE,
        re.MULTILINE,
    )
    assert [row[0] for row in rows] == ["0.5", "1.0", "1.5", "3.0", "6.0"]
    for kbps, num_codebooks, chunk_frames, size, real, over in rows:
        header = default_header(int(num_codebooks))
        stream = encode(header, random_codes(header, 501), trim=320)
        assert header.chunk_frames == int(chunk_frames)
        assert len(stream) == int(size.replace(",", ""))
        assert f"{len(stream) * 8e-4:.3f}" == real
        assert f"{100 * (len(stream) / (float(kbps) * 1250) - 1):.1f}" == over
    minute = encode(default_header(1), np.zeros((1, 3001), int), trim=320)
    assert f"{100 * (len(minute) / 3750 - 1):.1f} % over nominal.\n" in PAGE
    long, short = (len(default_header(num_codebooks).to_bytes()) for num_codebooks in (3, 12))
    assert f"takes {long} bytes, or {short} with chunks of fewer than 128 frames" in PAGE
