from __future__ import annotations

from pathlib import Path

import pytest

from speechlm.data.config import FolderConfig, LhotseConfig, load
from speechlm.errors import SpeechLMError
from tests.data.trees import text_file

DECLARED = sorted((Path(__file__).parents[2] / "data").glob("*.yaml"))


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: path.stem)
def test_every_declaration_is_valid(path: Path) -> None:
    config = load(path, needed(path))
    assert config.name == path.stem
    assert config.output == f"data/prepared/{path.stem}"
    assert config.description


def needed(path: Path) -> list[str]:
    """What a user must name: a folder of recordings, or texts."""
    folders = {"an4", "folder", "libritts", "librispeech", "speechocean762"}
    return ["path=x"] if path.stem in folders else ["texts=[x]"] if path.stem == "hibari" else []


def test_there_are_declarations() -> None:
    assert len(DECLARED) >= 10


def test_overrides_reach_into_the_tree() -> None:
    config = load(
        DECLARED[0].with_name("folder.yaml"),
        ["path=a b", "name=mine", "split.dev=.25", "split.by=utterance", "transcripts=[x.jsonl]"],
    )
    assert isinstance(config, FolderConfig)
    assert (config.path, config.output) == ("a b", "data/prepared/mine")
    assert (config.split.dev, config.split.by, config.transcripts) == (
        0.25,
        "utterance",
        ["x.jsonl"],
    )


def test_recipe_options_are_free() -> None:
    config = load(DECLARED[0].with_name("librispeech.yaml"), ["path=x", "options.num_jobs=2"])
    assert isinstance(config, LhotseConfig)
    assert config.options["num_jobs"] == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["pathh=x"], "unknown key pathh; known: name, kind, .*path, transcripts"),
        (["path=x", "split.share=1"], "unknown key split.share; known: by, dev, test"),
        ([], "path has no value; add path=... to the command"),
        (["path=x", "min_seconds=long"], "min_seconds: .*long"),
        (["path=x", "split.by=day"], "split.by=day must be"),
        (["path=x", "split.dev=.7", "split.test=.7"], "split.dev and split.test"),
        (["path=x", "split.dev=-1"], "split.dev and split.test"),
        (["path=x", "kind=tape"], "needs kind: one of asterisk, "),
        (["path=x", "name=${nowhere}"], "nowhere"),
        (["path=[x"], "expected ',' or ']'"),
    ],
)
def test_mistakes_are_one_line(overrides: list[str], message: str) -> None:
    path = DECLARED[0].with_name("folder.yaml")
    with pytest.raises(SpeechLMError, match=message) as caught:
        load(path, overrides)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["name: [", "- a\n- b\n", "just text\n", "", "\t:"])
def test_files_that_are_no_declaration(tmp_path: Path, text: str) -> None:
    path = text_file(tmp_path / "x.yaml", text)
    with pytest.raises(SpeechLMError) as caught:
        load(path, [])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="no such file"):
        load(tmp_path / "x.yaml", [])
