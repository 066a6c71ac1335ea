"""Cleaning of text that comes from data, before it is shown anywhere.

Instructions and reasoning come from datasets and from models: anyone may have written them. Control
characters can break a terminal or a file, and bidirectional marks can make a line read differently from what
it says. `clean` removes both and cuts what is too long. It does not make text safe for HTML; that is
`radlite.show.html.escape`.
"""

from __future__ import annotations

import unicodedata

_SPACES = frozenset("\t\n\r\v\f\x85\u2028\u2029")
# Cc control, Cf format (bidi marks, zero width, tags), Cs lone surrogates (not encodable), Co private, Cn
# unassigned.
_DROPPED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))


def clean(text: object, limit: int = 4000) -> str:
    """One line of printable text: controls and bidi marks dropped, white space collapsed, cut with "..." at
    `limit`.

    Args:
        text: anything; `None` gives "".
        limit: most characters to keep.

    Returns:
        The cleaned text, at most `limit` characters long.
    """
    if text is None:
        return ""
    raw = str(text)[: 4 * limit + 64]  # bounds the work for a text of many megabytes
    kept = (
        " " if c in _SPACES else c for c in raw if c in _SPACES or unicodedata.category(c) not in _DROPPED
    )
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else line[: max(0, limit - 3)].rstrip() + "..."
