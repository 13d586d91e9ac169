"""Recipes, corpora and suites by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechlm import resources
from speechlm.errors import SpeechLMError
from speechlm.resources import CORPUS, RECIPE, SUITE

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("kind", resources.FOLDERS)
def test_everything_that_is_listed_is_found_by_name_and_by_path(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = resources.shipped_resources(kind)
    assert len({one.name for one in found}) == len(found)
    for one in found:
        if one.path.name == resources.SCRIPT:
            assert resources.find_script(one.name) == one.path
            continue
        assert resources.find(kind, one.name) == one.path
        assert resources.find(kind, f"{resources.FOLDERS[kind]}/{one.name}.yaml") == one.path
        assert one.is_stage or resources.find_script(one.name) is None


def test_a_file_of_the_user_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "an4").mkdir()  # the recordings, maybe
    assert resources.find(CORPUS, "an4") == ROOT / "data" / "an4.yaml"
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "codec.yaml").touch()
    assert resources.find(RECIPE, "recipes/codec.yaml") == Path("recipes/codec.yaml")


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        (RECIPE, "codec-17k", "no such file or recipe; alike: codec-16k"),
        (CORPUS, "an5", "no such file or corpus; alike: an4"),
        (SUITE, "../eval/lm", "no such file or suite"),
        (SUITE, "", "no such file or suite"),
    ],
)
def test_what_is_not_there(kind: str, name: str, says: str) -> None:
    with pytest.raises(SpeechLMError, match=f"{name}: {says}.*speechlm recipes lists them"):
        resources.find(kind, name)


def test_a_copy_is_not_overwritten_and_does_not_need_the_package(tmp_path: Path) -> None:
    script = resources.copy_recipe("codec-fsq", tmp_path)
    assert script == tmp_path / "recipes" / "codec-fsq" / "run.sh"
    # It continues codec-16k.
    assert (tmp_path / "recipes" / "codec-16k" / "run.sh").is_file()
    assert not (tmp_path / "recipes" / "lm-units").exists()
    with pytest.raises(SpeechLMError, match=r"run\.sh: exists; name another folder"):
        resources.copy_recipe("codec-fsq", tmp_path)
    assert resources.copy_recipe("codec-nano", tmp_path).is_file()
    with pytest.raises(SpeechLMError, match="is no recipe that ships"):
        resources.copy_recipe(str(tmp_path / "recipes" / "codec.yaml"), tmp_path)
