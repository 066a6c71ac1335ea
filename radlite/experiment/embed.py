"""Tables inside other texts: what stands between two markers is what the table's file holds, and nobody types a figure."""

from __future__ import annotations

import re
from pathlib import Path

from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors, replace_text

MARKED = re.compile(r"(<!-- table: (?P<name>[a-z]+)(?P<rows>, rows only)? -->\n).*?(<!-- end of table -->)", re.DOTALL)


def embedded(text: str, folder: Path) -> str:
    """The text with every part between `<!-- table: NAME -->` and `<!-- end of table -->` filled from `folder/NAME.md`.

    `<!-- table: NAME, rows only -->` takes the table without its heading, sentences and paragraph.

    Raises:
        RadliteError: no part is marked, or a table's file is missing.
    """
    def fill(match: re.Match) -> str:
        path = Path(folder) / f"{match['name']}.md"
        if not path.exists():
            raise RadliteError(f"a table at {path}", "no such file", "run `radlite experiment paper` first")
        table = path.read_text(encoding="utf-8").strip()
        if match["rows"]:
            table = "\n".join(line for line in table.splitlines() if line.startswith("|"))
        return f"{match[1]}\n{table}\n\n{match[4]}"

    if not MARKED.search(text):
        raise RadliteError("a part between <!-- table: NAME --> and <!-- end of table -->", "none", "mark where tables go")
    return MARKED.sub(fill, text)


def embed(path: Path, folder: Path) -> None:
    """Fills the marked parts of a file."""
    path = Path(path)
    with disk_errors(path):
        text = path.read_text(encoding="utf-8")
    replace_text(path, embedded(text, folder))
