"""Recipes, corpora and suites that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from speechlm import resources
from speechlm.cli.common import Json, print_json, print_line
from speechlm.utils.terminal import console

app = typer.Typer(invoke_without_command=True)


@app.callback()
def recipes(context: typer.Context, json: Json = False) -> None:
    """List the recipes, corpora and suites that come with the package, or copy a recipe.

    Stages of a recipe, such as codec-16k/06-decoder, are listed with --json.
    """
    if context.invoked_subcommand:
        return
    found = [one for kind in resources.FOLDERS for one in resources.shipped_resources(kind)]
    if json:
        keys = "kind", "name", "command", "description", "path"
        print_json([{key: str(getattr(one, key)) for key in keys} for one in found])
        return
    table = Table(Column("command", no_wrap=True), "what it is")
    for kind in resources.FOLDERS:
        for one in found:
            if one.kind == kind and not one.is_stage:
                table.add_row(one.command, one.description)
        table.add_section()
    console.print(table)


@app.command()
def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe, as codec-16k or lm.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to copy it to.")],
) -> None:
    """Copy a recipe with all that it uses, to be changed."""
    print_line(f"recipe: {resources.copy_recipe(name, folder)}")
