"""What a file holds, told without the model."""

from __future__ import annotations

import io
import math
import subprocess
import sys

import pytest

from speechlm.bitstream import BitstreamError, Writer, inspect
from speechlm.bitstream.entropy import EntropyCoder
from speechlm.errors import SpeechLMError
from tests.bitstream.entropy.models import cut, likely_codes, model
from tests.bitstream.streams import default_header, encode, random_codes, small_header

HEADER = default_header(3)
STREAM = encode(HEADER, random_codes(HEADER, 1001), trim=320)  # 20 s in chunks of 268 frames


def test_a_good_file(tmp_path):
    path = tmp_path / "good.slm"
    path.write_bytes(STREAM)
    info = inspect(path)
    assert (info.model, info.weights_hash) == ("speechlm-codec-16k", "0123abcd")
    assert (info.sample_rate, info.hop_length, info.frame_rate) == (16000, 320, 50.0)
    assert (info.bits, info.num_codebooks, info.chunk_frames) == (10, 3, 268)
    assert (info.frames, info.samples, info.seconds) == (1001, 320000, 20.0)
    assert (info.chunks, info.damaged, info.file_bytes) == (4, 0, len(STREAM))
    assert info.kbps == pytest.approx(len(STREAM) * 8 / 20 / 1000)
    assert 1.5 < info.kbps < 1.55


def test_damage_is_counted(tmp_path):
    path = tmp_path / "bad.slm"
    damaged = bytearray(STREAM)
    damaged[1200] ^= 1
    path.write_bytes(damaged)
    info = inspect(path)
    assert (info.chunks, info.damaged, info.frames, info.samples) == (3, 1, 1001, 320000)
    path.write_bytes(STREAM[:1200])
    info = inspect(path)
    assert (info.chunks, info.damaged, info.samples) == (1, 1, None)
    assert info.seconds == 536 / 50


def test_chunks_one_by_one(tmp_path):
    path = tmp_path / "good.slm"
    path.write_bytes(STREAM)
    assert inspect(path).each == []
    info = inspect(path, each=True)
    assert [chunk.frames for chunk in info.each] == [268, 268, 268, 197]
    assert [chunk.start for chunk in info.each] == [0, 5.36, 10.72, 16.08]
    assert {(chunk.codebooks_per_frame, chunk.payload) for chunk in info.each} == {(3, "packed")}
    assert info.header_bytes + sum(chunk.bytes for chunk in info.each) == info.file_bytes
    assert info.level_bytes == [1001 * 10 / 8] * 3
    assert info.budget["codes of level 3"] == 1001 * 10 / 8


def test_levels_of_entropy_coded_chunks_need_the_context_model(tmp_path):
    context = model()
    coder = EntropyCoder(context)
    header = small_header(bits=5, num_codebooks=4, chunk_frames=50, context=coder.hash)
    codes = cut(likely_codes(context, 4, 120))
    file = io.BytesIO()
    writer = Writer(file, header, coder)
    writer.write(codes)
    writer.finish(120 * header.hop_length)
    path = tmp_path / "coded.slm"
    path.write_bytes(file.getvalue())
    blind, seen = inspect(path), inspect(path, coder)
    assert blind.payloads == seen.payloads == {"entropy-coded": 3}
    assert blind.level_bytes is None
    assert "codes of level 1" not in blind.budget
    # The range code of each of three chunks ends within two bytes of what its codes take.
    assert 0 <= blind.code_bytes - sum(seen.level_bytes) < 3 * 2
    assert seen.level_codes == (codes >= 0).sum(axis=1).tolist()
    assert min(seen.level_bytes) > 0
    with pytest.raises(BitstreamError, match=f"by the entropy model {coder.hash}, not"):
        inspect(path, EntropyCoder(model(seed=2)))


def test_a_file_without_sound(tmp_path):
    path = tmp_path / "none.slm"
    path.write_bytes(encode(HEADER))
    assert inspect(path).seconds == 0
    assert math.isnan(inspect(path).kbps)


def test_what_cannot_be_inspected_is_one_line(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(100))
    for name, words in [
        ("missing.slm", "missing.slm: No such file"),
        ("", "is a directory"),
        ("a.wav", "a.wav: is not a speechlm file"),
    ]:
        with pytest.raises(SpeechLMError, match=words):
            inspect(tmp_path / name)


def test_no_torch_is_needed():
    code = "import sys, speechlm.bitstream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
