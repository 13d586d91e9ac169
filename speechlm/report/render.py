"""HTML pages from templates: one file that opens from disk and asks for nothing else."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechlm.evaluation.format import number

SOUNDS = {"flac": "lossless FLAC", "opus": "Opus at about 64 kbit/s", "mp3": "MP3 at 64 kbit/s"}
"""Names of the audio formats of a page."""


def render(template: str, shown: dict[str, Any], **more: Any) -> str:
    """A page with the style and the script in it."""
    environment = Environment(
        loader=PackageLoader("speechlm.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    here = files("speechlm.report") / "templates"
    return environment.get_template(template).render(
        shown,
        style=Markup((here / "style.css").read_text("utf-8")),
        script=Markup((here / "script.js").read_text("utf-8")),
        **more,
    )
