"""Somebody else's text, made safe to show: what stands in datasets may hold anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from radlite.errors import RadliteError


def escaped(text: object) -> str:
    r"""Text of a dataset for a terminal: control, bidirectional and other invisible characters as \x1b, \u202e and so on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def say(text: str = "") -> None:
    """Prints text that was escaped; a terminal that cannot show a letter gets its number."""
    coding = sys.stdout.encoding or "utf-8"
    print(text.encode(coding, "backslashreplace").decode(coding))


@contextmanager
def escaped_errors() -> Iterator[None]:
    """Errors within, escaped: they quote what lies in datasets."""
    try:
        yield
    except RadliteError as error:
        raise RadliteError(escaped(error.expected), escaped(error.found), escaped(error.fix)) from error


def quoted(text: object, most: int = 160) -> str:
    """Somebody else's text for an error message: short, and with every control or invisible character escaped."""
    shown = repr(text)
    return shown if len(shown) <= most else f"{shown[: most // 3]}...{shown[-most // 2 :]}"
