"""The model of MediaPipe's hand landmarker: where it lies on this machine, and how it gets there.

Current mediapipe wheels hold no models. `radlite setup hands` fetches this one once, into a cache; nothing else of radlite's
annotation of hands needs a network. A file counts only if its SHA-256 is the known one, and stands there whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import IO

from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors

URL = "https://storage.googleapis.com/mediapipe-models/hand_landmarker/hand_landmarker/float16/1/hand_landmarker.task"
SHA256 = "fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1"
"""Of version 1 of the model, float16, 7,819,105 bytes: the figure that many public projects pin it to."""

MOST_BYTES = 1 << 26  # 64 MiB; the model has 7.8 MB
WAIT = 30.0  # seconds without a byte


def model_path() -> Path:
    """Where the model lies or will lie: in $RADLITE_CACHE, else in the user's cache folder."""
    own, common = os.environ.get("RADLITE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    folder = Path(own) if own else (Path(common) if common else Path("~/.cache")) / "radlite"
    return folder.expanduser() / "hand_landmarker.task"


def fetch_model(path: Path | None = None, url: str = URL, sha256: str = SHA256) -> tuple[Path, bool]:
    """Puts the model at `path` (default: `model_path()`), unless the very same file is there.

    Args:
        path: the file to make; a folder above it is made as well.
        url: http or https; a mirror's, for instance.
        sha256: 64 hex digits that the file must have.

    Returns:
        (the path, whether it was fetched now).

    Raises:
        RadliteError: no network, no such file there, a file that is cut off, too large or another one, a disk that refuses, or
            a url or checksum that is none. What stood at the path still stands.
    """
    path, sha256 = model_path() if path is None else Path(path), sha256.lower()
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise RadliteError("a SHA-256 of 64 hex digits", repr(sha256)[:80], "copy all of it, or leave it out")
    if not re.match("https?://", url):
        raise RadliteError("an address of http or https", repr(url)[:80], "give a file on this machine as the model itself")
    if path.is_file() and _sha256(path) == sha256:
        return path, False
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            found = _download(url, file, path)
        if found != sha256:
            fix = "try again; if it stays so, something between here and there changes files. Nothing was kept"
            raise RadliteError(f"a file with the SHA-256 {sha256}", found, fix)
        with disk_errors(path):
            os.chmod(part, 0o644)  # mkstemp gives 0600
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path, True


def _download(url: str, file: IO[bytes], path: Path) -> str:
    """Copies what lies at `url` into `file`; returns its SHA-256."""
    digest, count = hashlib.sha256(), 0
    elsewhere = f"go online, or copy that file from elsewhere to {path}"
    try:
        with urllib.request.urlopen(url, timeout=WAIT) as answer:
            told = int(answer.headers.get("Content-Length") or -1)
            while block := _within(answer.read(1 << 16), count):
                digest.update(block)
                count += len(block)
                with disk_errors(path):
                    file.write(block)
    except urllib.error.HTTPError as error:
        raise RadliteError(f"a file at {url}", f"the answer {error.code}", f"check the address, or {elsewhere}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RadliteError(f"{url} to be within reach", str(reason)[:200] or type(reason).__name__, elsewhere) from error
    if told not in (-1, count):
        raise RadliteError(f"{told:,} bytes from {url}", f"{count:,}", "it was cut off: try again. Nothing was kept")
    with disk_errors(path):
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _within(block: bytes, count: int) -> bytes:
    if count + len(block) > MOST_BYTES:
        raise RadliteError(f"at most {MOST_BYTES >> 20} MiB", "more", "check the address: this is no hand landmarker")
    return block


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
