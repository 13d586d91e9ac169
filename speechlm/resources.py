"""Recipes, corpora and suites that come with the package, found by name.

In a checkout they are the folders ``recipes/``, ``data/`` and ``eval/`` at its top; a wheel has
them in ``speechlm/assets/``. ``codec`` and ``recipes/codec.yaml`` name the same recipe in both,
from any folder.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from speechlm.errors import SpeechLMError

PACKAGE = Path(str(files("speechlm")))
SAMPLE = PACKAGE / "assets" / "sample.flac"
"""The recording that the package ships; suites name it ``speechlm:assets/sample.flac``."""
SCRIPT = "run.sh"
RECIPE, CORPUS, SUITE = "recipe", "corpus", "suite"
FOLDERS = {RECIPE: "recipes", CORPUS: "data", SUITE: "eval"}


@dataclass(frozen=True)
class Resource:
    """A recipe, corpus or suite. ``path`` is its YAML file, or the script of a recipe of stages."""

    kind: str
    name: str
    path: Path

    @property
    def description(self) -> str:
        """The first sentence of the comment that the file begins with."""
        lines = self.path.read_text("utf-8").splitlines()
        comment = []
        for line in lines[1:] if lines[:1] == ["#!/usr/bin/env bash"] else lines:
            if not line.startswith("# "):
                break
            comment.append(line.removeprefix("# "))
        return re.split(r"(?<=[.?])\s|:$|:\s+speechlm", " ".join(comment))[0]

    @property
    def is_stage(self) -> bool:
        """Whether it is one of the stages of a recipe that has a script."""
        return self.path.name != SCRIPT and (self.path.parent / SCRIPT).is_file()

    @property
    def command(self) -> str:
        """What runs it."""
        if self.kind == SUITE:
            probes = "\nlabels:" in self.path.read_text("utf-8")
            return f"speechlm {'probe' if probes else 'eval'} {self.name}"
        return f"speechlm {'train' if self.kind == RECIPE else 'prepare'} {self.name}"


def root() -> Path:
    """The folder that holds ``recipes/``, ``data/`` and ``eval/``."""
    installed = PACKAGE / "assets"
    return installed if (installed / "recipes").is_dir() else PACKAGE.parent


def find(kind: str, name: str) -> Path:
    """The YAML file ``name``: a path, or the name of a ``RECIPE``, ``CORPUS`` or ``SUITE``.

    Raises:
        SpeechLMError: when it is neither, with names that are alike.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = root() / FOLDERS[kind] / _file(kind, path)
    if not path.is_absolute() and ".." not in path.parts and shipped.is_file():
        return shipped
    known = [resource.name for resource in shipped_resources(kind)]
    near = difflib.get_close_matches(path.stem, known, n=3)
    alike = f"; alike: {', '.join(near)}" if near else ""
    raise SpeechLMError(f"{name}: no such file or {kind}{alike}; speechlm recipes lists them")


def find_script(name: str) -> Path | None:
    """The script of a shipped recipe of several stages; None when ``name`` is no such recipe."""
    script = root() / "recipes" / name / SCRIPT
    is_name = len(Path(name).parts) == 1 and name not in (".", "..") and not Path(name).is_file()
    return script if is_name and _has_stages(script) else None


def shipped_resources(kind: str) -> list[Resource]:
    """What ships of a kind, by name. A recipe of several stages is one, and so is each stage."""
    folder = root() / FOLDERS[kind]
    found = [
        Resource(kind, path.relative_to(folder).with_suffix("").as_posix(), path)
        for path in _declarations(folder)
    ]
    if kind == RECIPE:
        scripts = [path for path in folder.glob(f"*/{SCRIPT}") if _has_stages(path)]
        found += [Resource(kind, path.parent.name, path) for path in scripts]
    return sorted(found, key=lambda resource: resource.name)


def copy_recipe(name: str, target: Path) -> Path:
    """Copy a shipped recipe below ``target``, laid out as in the repository.

    A recipe of several stages comes with what its script uses: the scripts and single recipes
    beside it, corpora and suites.

    Returns:
        The script or YAML file in the copy.

    Raises:
        SpeechLMError: when there is no such recipe, or ``target`` has it already.
    """
    script = find_script(name)
    source = script or find(RECIPE, name)
    if not source.is_relative_to(root()):
        raise SpeechLMError(f"{name}: is no recipe that ships with the package")
    copied = target / source.relative_to(root())
    if copied.exists():
        raise SpeechLMError(f"{copied}: exists; name another folder")
    for path in [source] if script is None else _used_by(script):
        place = target / path.relative_to(root())
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            shutil.copyfile(path, place)
            place.chmod(0o755 if path.name == SCRIPT else 0o644)
    return copied


def _used_by(script: Path) -> Iterator[Path]:
    """The files of a recipe of several stages, of those that it continues, and what they share."""
    recipes = script.parents[1]
    yield from (*script.parent.glob("*.yaml"), script)
    for name in re.findall(rf'"\$RECIPES/([\w-]+)/{SCRIPT}"', script.read_text("utf-8")):
        yield from (*(recipes / name).glob("*.yaml"), recipes / name / SCRIPT)
    yield from (*recipes.glob("*.sh"), *recipes.glob("*.yaml"))
    for folder in (FOLDERS[CORPUS], FOLDERS[SUITE]):
        yield from (root() / folder).glob("*.yaml")


def _file(kind: str, path: Path) -> Path:
    """The file that a name stands for, relative to the folder of its kind."""
    if len(path.parts) > 1 and path.parts[0] == FOLDERS[kind]:
        path = Path(*path.parts[1:])
    return path if path.suffix in (".yaml", ".yml") else path.parent / f"{path.name}.yaml"


def _declarations(folder: Path) -> Iterator[Path]:
    """The YAML files of a kind: at the top, and of recipes one folder below."""
    yield from folder.glob("*.yaml")
    if folder.name == FOLDERS[RECIPE]:  # data/ holds what is prepared, too
        for path in folder.glob("*/*.yaml"):
            if "\nkind:" in f"\n{path.read_text('utf-8')}":  # no settings of accelerate
                yield path


def _has_stages(script: Path) -> bool:
    return script.is_file() and any(script.parent.glob("*.yaml"))
