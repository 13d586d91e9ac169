"""Which file goes where when many are compressed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechlm.compression.batch import AUDIO_SUFFIXES, PACKED_SUFFIX, pair_files
from speechlm.errors import SpeechLMError

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@given(st.sets(NAMES, min_size=1))
def test_files_of_a_folder_keep_their_paths(
    tmp_path_factory: pytest.TempPathFactory, names
) -> None:
    folder = tmp_path_factory.mktemp("in")
    for name in names:
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        (folder / f"{name}.txt").touch()
    target = folder.parent / "out"
    pairs = pair_files([folder], target, AUDIO_SUFFIXES, PACKED_SUFFIX)
    assert {source for source, _ in pairs} == {folder / f"{name}.wav" for name in names}
    assert {out for _, out in pairs} == {target / f"{name}.slm" for name in names}


def test_one_file_goes_to_a_file_or_into_a_folder(tmp_path: Path) -> None:
    source = tmp_path / "a.raw.wav"
    source.touch()
    pair = source, tmp_path / "b.slm"
    assert pair_files([source], tmp_path / "b.slm", AUDIO_SUFFIXES, PACKED_SUFFIX) == [pair]
    pair = source, tmp_path / "a.raw.slm"
    assert pair_files([source], tmp_path, AUDIO_SUFFIXES, PACKED_SUFFIX) == [pair]


def test_targets_differ_from_each_other_and_from_sources(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "b.wav"):
        (tmp_path / name).touch()
    with pytest.raises(SpeechLMError, match="same target"):
        pair_files([tmp_path], tmp_path / "out", AUDIO_SUFFIXES, PACKED_SUFFIX)
    with pytest.raises(SpeechLMError, match="its own target"):
        pair_files([tmp_path / "b.wav"], tmp_path / "b.wav", AUDIO_SUFFIXES, PACKED_SUFFIX)
    with pytest.raises(SpeechLMError, match="holds no file"):
        pair_files([tmp_path], tmp_path / "out", [".mp3"], PACKED_SUFFIX)
    with pytest.raises(SpeechLMError, match="no such file"):
        pair_files([tmp_path / "c.wav"], tmp_path / "out", AUDIO_SUFFIXES, PACKED_SUFFIX)
