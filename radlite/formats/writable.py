"""Whether a file can be written, asked before the work that it is for: a wrong path must not cost an hour."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors


def check_writable(path: str | Path) -> None:
    """Tries to write beside `path`, and takes away again all that it made; what stands there is not touched.

    Raises:
        RadliteError: a folder of that name, or a disk that refuses the file or a folder that it lies in.
    """
    path = Path(path)
    if path.is_dir():
        raise RadliteError(f"a file to write at {path}", "a folder of that name", "choose another path")
    made: list[Path] = []
    try:
        with disk_errors(path):  # rights alone do not tell: a file system may refuse root as well
            for parent in reversed([parent for parent in path.parents if not parent.exists()]):
                parent.mkdir(exist_ok=True)
                made.append(parent)
            trial = path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.partial")
            trial.touch(exist_ok=False)
            trial.unlink()
    finally:
        with suppress(OSError):  # somebody else may have begun to use one
            for parent in reversed(made):
                parent.rmdir()
