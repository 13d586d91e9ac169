"""Imports between the parts of the package point one way: a part knows of those before it only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import speechlm

PACKAGE = Path(speechlm.__file__).parent
LAYERS = [
    "errors",
    "types",
    "utils",
    "text",
    "audio",
    "config",
    "resources",
    "bitstream",
    "hub",
    "publish",
    "whisper",
    "nn",
    "kernels",
    "quantize",
    "codec",
    "rate_control",
    "compression",
    "tokenizers",
    "vocoder",
    "alignment",
    "quantize_weights",
    "lm",
    "data",
    "training",
    "evaluation",
    "conformance",
    "report",
    "adapt",
    "benchmarks",
    "api",
    "serve",
    "demo",
    "cli",
]
EXCEPTIONS = {
    # The compiled path of a frame takes the weights out of the codec's modules and checks that
    # they are of the kind that it computes.
    ("kernels.frame_codec", "codec"),
    ("kernels.frame_codec", "quantize"),
    # Files of compressed speech hold a hash of weights that covers the former names of tensors.
    ("hub", "quantize"),
}


def imports(path: Path) -> Iterator[str]:
    """What of the package a file imports, anywhere in it: dotted names without the package's."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "speechlm":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("speechlm."):
            yield (node.module or "").removeprefix("speechlm.")
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names if alias.name.startswith("speechlm."))
            yield from (name.removeprefix("speechlm.") for name in names)


def test_no_part_knows_of_a_later_one() -> None:
    wrong, used = set(), set()
    files = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE]
    files += [PACKAGE / f"{name}.py" for name in LAYERS if (PACKAGE / f"{name}.py").is_file()]
    for path in files:
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        part = module.split(".")[0]
        for name in imports(path):
            other = name.split(".")[0]
            if other != part and LAYERS.index(other) > LAYERS.index(part):
                edge = module.removesuffix(".__init__"), other
                (used if edge in EXCEPTIONS else wrong).add(edge)
    assert wrong == set()
    assert used == EXCEPTIONS


def test_every_part_has_its_place() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts - {"__init__", "__main__"} <= set(LAYERS)
