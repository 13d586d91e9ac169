"""What a file holds, told without the model."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from speechlm.bitstream import BitstreamError, inspect
from tests.bitstream.streams import default_header, encode, random_codes

HEADER = default_header(3)
STREAM = encode(HEADER, random_codes(HEADER, 1001), trim=320)  # 20 s in chunks of 268 frames


def test_a_good_file(tmp_path):
    path = tmp_path / "good.slm"
    path.write_bytes(STREAM)
    info = inspect(path)
    assert (info.model, info.weights_hash) == ("speechlm-codec-16k", "0123abcd")
    assert (info.sample_rate, info.hop, info.frame_rate) == (16000, 320, 50.0)
    assert (info.bits, info.levels, info.chunk_frames) == (10, 3, 268)
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


def test_a_file_without_sound(tmp_path):
    path = tmp_path / "none.slm"
    path.write_bytes(encode(HEADER))
    assert inspect(path).seconds == 0
    assert math.isnan(inspect(path).kbps)


def test_what_cannot_be_inspected_is_one_line(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(100))
    for name, words in [
        ("missing.slm", "missing.slm: No such file"),
        ("", "Is a directory"),
        ("a.wav", "a.wav: is not a speechlm file"),
    ]:
        with pytest.raises(BitstreamError, match=words):
            inspect(tmp_path / name)


def test_no_torch_is_needed():
    code = "import sys, speechlm.bitstream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
