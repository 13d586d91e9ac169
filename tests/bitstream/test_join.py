"""Joined streams: every chunk as it was, every length kept."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.bitstream import Reader, inspect, join
from speechlm.errors import SpeechLMError
from tests.bitstream.streams import encode, items, ragged_codes, small_header


@settings(
    deadline=None,
    max_examples=40,
)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 3), st.integers(1, 9), st.integers(1, 12)),
        min_size=1,
        max_size=4,
    )
)
def test_joining_keeps_codes_and_lengths(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("join")
    paths, columns, lengths = [], [], []
    for i, (frames, trim, num_codebooks, chunk_frames) in enumerate(drawn):
        header = small_header(num_codebooks=num_codebooks, chunk_frames=chunk_frames)
        codes = ragged_codes(header, frames, i)
        trim = min(trim, frames * header.hop_length)
        paths.append(folder / f"{i}.slm")
        paths[-1].write_bytes(encode(header, codes, trim=trim))
        columns += [[int(code) for code in column if code >= 0] for column in codes.T]
        lengths.append(frames * header.hop_length - trim)
    file = io.BytesIO()
    assert join(paths, file) == sum(lengths)

    (folder / "once.slm").write_bytes(file.getvalue())
    assert inspect(folder / "once.slm").parts == len(paths)
    again = io.BytesIO()
    assert join([folder / "once.slm", paths[0]], again) == sum(lengths) + lengths[0]

    reader = Reader(io.BytesIO(again.getvalue()))
    found, ends = [], []
    for chunk in reader:
        found += [[int(code) for code in column if code >= 0] for column in chunk.codes.T]
        if chunk.trim is not None:
            ends.append(chunk.sample + chunk.frames * reader.header.hop_length - chunk.trim)
    assert found == columns + columns[: drawn[0][0]]
    assert ends[: len(lengths)] == np.cumsum(lengths).tolist()
    assert reader.samples == sum(lengths) + lengths[0]


def test_what_cannot_be_joined_is_one_line(tmp_path):
    good = encode(small_header(), ragged_codes(small_header(), 20))
    (tmp_path / "good.slm").write_bytes(good)
    (tmp_path / "cut.slm").write_bytes(good[:-3])
    other = small_header(weights_hash="12345678")
    (tmp_path / "other.slm").write_bytes(encode(other, ragged_codes(other, 20)))
    for name, words in [
        ("cut.slm", "cut.slm: is cut short in chunk 2"),
        ("other.slm", "other.slm: its weights hash is 12345678, but .*good.slm has 00ff00ff"),
        ("none.slm", "none.slm: No such file"),
    ]:
        with pytest.raises(SpeechLMError, match=words):
            join([tmp_path / "good.slm", tmp_path / name], io.BytesIO())


def test_one_file_joined_is_itself(tmp_path):
    data = encode(small_header(), ragged_codes(small_header(), 20), trim=7)
    (tmp_path / "one.slm").write_bytes(data)
    file = io.BytesIO()
    join([tmp_path / "one.slm"], file)
    assert file.getvalue() == data
    assert len(items(data)) == 3
