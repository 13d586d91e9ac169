"""Hooks of the documentation site: the command-line reference comes from the program itself."""

from __future__ import annotations

from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    if page.file.src_uri != "reference/cli.md":
        return markdown
    import typer
    from typer.cli import get_docs_for_click

    from speechlm.cli import app

    command = typer.main.get_command(app)
    return get_docs_for_click(obj=command, ctx=typer.Context(command), name="speechlm")
