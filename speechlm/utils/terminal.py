"""Consoles: results go to standard output, everything else to standard error.

What is printed comes from files, too, so nothing in it is markup.
"""

from rich.console import Console

console = Console(markup=False, emoji=False)
errors = Console(stderr=True, markup=False, emoji=False)


def visible(text: str) -> str:
    """Escape control characters, which a terminal would obey, and bytes that are no text."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )
