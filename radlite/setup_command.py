"""`radlite setup`: fetches once what a stage needs and no package holds."""

from __future__ import annotations

from pathlib import Path

from radlite.escape import escaped, escaped_errors, say


def add(commands, command, whole) -> None:
    """Adds the command to the parser; the other arguments are the command line's own helpers."""
    text = "Fetch once what a stage of annotation needs."
    parts = command(commands, "setup", None, text).add_subparsers(required=True, metavar="STAGE")
    text = "The model of MediaPipe's hand landmarker (7.8 MB) into a cache, checked against its SHA-256."
    p = command(parts, "hands", _run_hands, text)
    p.add_argument("--out", type=Path, help="the file; by default hand_landmarker.task in $RADLITE_CACHE or ~/.cache/radlite")
    p.add_argument("--url", help="a mirror of the model; by default where MediaPipe publishes it")
    p.add_argument("--sha256", help="what the file must have; by default that of the published version 1")


def _run_hands(args) -> None:
    from radlite.annotate.hand_model import SHA256, URL, fetch_model

    sha256 = args.sha256 or SHA256
    with escaped_errors():
        path, fetched = fetch_model(args.out, args.url or URL, sha256)
    say(f"{escaped(path)}: {'fetched' if fetched else 'is there already'}, SHA-256 {escaped(sha256)}")
