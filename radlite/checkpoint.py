"""Saving what was learnt: safetensors and JSON in a folder that is there whole or not at all, with a checksum per file.

A folder is written beside its target, flushed, and swapped in (`formats.staging`). Reading verifies `manifest.json`, so a
file that was cut off or changed is refused and never half-loaded. Nothing here is a pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors, read_json, staged_folder

MANIFEST, STATE, TENSORS = "manifest.json", "radlite.json", "state.safetensors"
KNOWN = {MANIFEST, STATE, TENSORS, "adapter_model.safetensors", "adapter_config.json", "model.safetensors", "README.md"}


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    read_into(digest, path)
    return digest.hexdigest()


def read_into(digest: hashlib._Hash, path: Path) -> None:
    """Feeds a digest with a file, which may be larger than memory."""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


def write_folder(target: Path, fill: Callable[[Path], None], known: set[str] = KNOWN) -> None:
    """Lets `fill` write files into an empty folder, adds the manifest, and swaps the folder in for `target`.

    `known` are the only names that a folder may hold to be replaced.

    Raises:
        RadliteError: the disk is full or the place may not be written; what stood at `target` still stands.
    """
    with staged_folder(Path(target), overwrite=True, known=known) as temp, disk_errors(Path(target)):
        try:
            fill(temp)
        except SafetensorError as error:  # its own kind, also for a full disk
            raise OSError(str(error)) from error
        files = {p.name: {"sha256": sha256_of(p), "bytes": p.stat().st_size} for p in sorted(temp.iterdir())}
        (temp / MANIFEST).write_text(json.dumps(files, indent=1))


def verify_folder(folder: Path) -> None:
    """Checks every file against the manifest.

    Raises:
        RadliteError: no such folder, no manifest, or a file that is missing or not what was written.
    """
    folder = Path(folder)
    files = read_json(folder / MANIFEST, "a folder written by radlite train")
    for name, entry in files.items():
        path = folder / name
        if not isinstance(entry, dict) or Path(name).name != name:
            raise RadliteError("file names with their sha256 in the manifest", repr(name)[:80], "write the folder again")
        if not path.is_file() or sha256_of(path) != entry.get("sha256"):
            found = "another content" if path.is_file() else "no such file"
            raise RadliteError(f"{path} as it was written", found, "use an earlier checkpoint, or train again")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file on the CPU.

    Raises:
        RadliteError: no such file, or not safetensors.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RadliteError("a safetensors file", f"{path}: {error}", "check the path, or train again") from error
