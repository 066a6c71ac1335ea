"""Write a folder so that it is there whole or not at all; and read back a JSON file of one.

Files go to a hidden folder beside the target, are flushed to disk, and only then take the target's name.
Whatever stops the writer (a full disk, an error in the caller's generator, Ctrl-C), the hidden folder is
removed and what stood at the target before still stands there.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from radlite.errors import RadliteError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (`OSError`) while writing `path` into a `RadliteError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        fix = "free some disk space and write again" if full else "choose a folder that you may write to"
        raise RadliteError(
            f"to be able to write {path}", str(error), f"{fix}; nothing was changed there"
        ) from error


def replace_text(path: Path, text: str) -> Path:
    """Writes a text file that is there whole or not at all, with the folders it lies in; returns its path.

    Raises:
        RadliteError: the disk refuses; what stood there still stands.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_suffix(f".{secrets.token_hex(4)}.partial")  # another process may be writing the same file
        try:
            temp.write_text(text, encoding="utf-8")
            os.replace(temp, path)
        finally:
            temp.unlink(missing_ok=True)
    return path


@contextmanager
def staged_folder(target: Path, overwrite: bool, known: set[str]) -> Iterator[Path]:
    """Give an empty folder to fill; on a clean exit it becomes `target`, otherwise it disappears.

    Args:
        target: where the folder shall stand; missing parents are made (and unmade on failure).
        overwrite: replace a folder that is there already.
        known: the only names a folder may hold at its top to be replaced, so that a mistyped path that
            leads to somebody's home folder is refused rather than deleted.

    Raises:
        RadliteError: the target exists or holds other things, or the disk refuses.
    """
    target = target.resolve()
    temp = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    made: list[Path] = []
    try:
        with disk_errors(target):
            _check_target(target, overwrite, known)
            _make_parents(target, made)
            temp.mkdir()
        yield temp
        with disk_errors(target):
            _flush(temp)
            _check_target(target, overwrite, known)  # again: minutes may have passed
            _swap(temp, target)
    finally:
        shutil.rmtree(temp, ignore_errors=True)  # already gone when all went well
        with suppress(OSError):  # a parent that is in use stays
            for parent in reversed(made):
                parent.rmdir()


def _check_target(target: Path, overwrite: bool, known: set[str]) -> None:
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise RadliteError(
            f"a free place for a folder at {target}", "a file of that name", "choose another path"
        )
    names = {entry.name for entry in target.iterdir()}
    if names and not overwrite:
        fix = "choose another path, or pass overwrite=True to replace it"
        raise RadliteError(f"no folder at {target} yet", "one that is not empty", fix)
    if names - known:
        fix = "choose another path: overwrite=True replaces only that"
        raise RadliteError(f"only what radlite wrote at {target}", f"also {min(names - known)!r}", fix)


def _make_parents(target: Path, made: list[Path]) -> None:
    missing = [parent for parent in target.parents if not parent.exists()]
    for parent in reversed(missing):  # outermost first
        parent.mkdir(exist_ok=True)
        made.append(parent)


def _flush(folder: Path) -> None:
    """Wait until every file is on the disk: a full or failing disk may only say so now."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def _swap(temp: Path, target: Path) -> None:
    """Rename `temp` to `target`; an old folder steps aside first (folders cannot be replaced in one call)."""
    if not target.exists():
        os.replace(temp, target)
        return
    old = target.with_name(f".{target.name}.old-{secrets.token_hex(4)}")
    os.replace(target, old)
    try:
        os.replace(temp, target)
    except BaseException:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        RadliteError: the file is not there or holds something else; `what` says what it should have been part of.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RadliteError(f"{what}, with {Path(path).name} in it", f"{path}: {error}", "check the path") from error
    if not isinstance(value, dict):
        raise RadliteError(f"a JSON object in {path}", type(value).__name__, "write the folder again")
    return value
