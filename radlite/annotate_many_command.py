"""`radlite annotate-many`: a folder of clips in, one human dataset out, and a list of what failed and why."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from radlite.annotate_command import add_recipe, recipe_of
from radlite.data_command import share
from radlite.errors import RadliteError
from radlite.escape import escaped, escaped_errors, say
from radlite.formats.writable import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from radlite.annotate.manifest import ListedClip
    from radlite.annotate.many import Outcome
    from radlite.annotate.recipe import Recipe


def add(commands, command, whole) -> None:
    """Adds the command to a parser; the other arguments are the command line's own helpers."""
    text = "Annotate a folder of clips, several at a time, here or on a Ray cluster; exit status 1 when too many fail."
    p = command(commands, "annotate-many", _run, text)
    p.add_argument("folder", type=Path, help="the clips; what is done in each stands in manifest.csv or manifest.jsonl (clip, "
                                             "instruction, landmarks, objects, caption), or is told by --instruction")
    p.add_argument("--out", type=Path, required=True, metavar="DATASET", help="the dataset's folder")
    p.add_argument("--manifest", type=Path, metavar="FILE", help="another manifest, .csv or .jsonl; paths are still the folder's")
    p.add_argument("--instruction", metavar="TEXT", help="without a manifest: what is done in every video of the folder")
    p.add_argument("--caption", metavar="TEXT", help="without a manifest: what is to be seen in every video; looked for, too")
    p.add_argument("--work", type=Path, metavar="DIR", help="finished clips, which are not done again; DATASET.work by default")
    p.add_argument("--report", type=Path, metavar="JSON", help="what became of each clip; DATASET.clips.json by default")
    p.add_argument("--overwrite", action="store_true", help="replace the dataset that stands there")
    p.add_argument("--license", default="other", help="as the Hub abbreviates it; 'other' by default")
    p.add_argument("--workers", type=whole(1), default=min(2, os.cpu_count() or 1), help="clips at a time, on this machine")
    p.add_argument("--ray", nargs="?", const="local", metavar="ADDRESS",
                   help="Ray Data instead of processes: a Ray of its own on this machine, or the cluster at this address (auto, "
                        "host:port), whose machines see the clips and --work at the same paths")
    p.add_argument("--retries", type=whole(0), default=2, help="how often a clip that failed is tried again; 2 by default")
    p.add_argument("--most", type=share, default=0.05, help="share of failed clips that is still accepted; 0.05 by default")
    add_recipe(p)


def _run(args) -> int:
    from radlite.annotate.clip_store import ClipStore
    from radlite.annotate.engines import local_processes, ray_data
    from radlite.annotate.manifest import list_clips
    from radlite.annotate.many import annotate_many, write_annotated
    from radlite.formats.staging import replace_text

    with escaped_errors():
        clips, recipe = list_clips(args.folder, args.manifest, args.instruction, args.caption), _everywhere(recipe_of(args))
        if recipe.names and any(clip.caption for clip in clips):
            raise RadliteError("--names or captions", "both", "name the captions' things with --names, too")
        if args.out.exists() and not args.overwrite:
            raise RadliteError(f"no folder at {args.out} yet", "one", "choose another one, or replace it with --overwrite")
        table = args.report or args.out.with_name(args.out.name + ".clips.json")
        check_writable(table)
        store = ClipStore(args.work or args.out.with_name(args.out.name + ".work"))
        with ray_data(args.ray, args.workers) if args.ray else local_processes(args.workers) as engine:
            tell = _Teller(len(clips))
            outcomes = annotate_many(args.folder, clips, recipe, store, engine, retries=args.retries, told=tell)
        report = _report(args, clips, outcomes)
        path = replace_text(table, json.dumps(report, indent=1) + "\n")
        info = write_annotated(args.out, clips, outcomes, store, args.overwrite, args.license)
    for line in _summary(report, path):
        say(line)
    written = f"{info.num_episodes} human episodes, {info.num_frames} frames in {args.out}" if info else "no dataset was written"
    say(escaped(written))
    return 0 if report["passed"] else 1


def _everywhere(recipe: Recipe) -> Recipe:
    """Folders of models by their whole paths: a worker may stand elsewhere.

    Raises:
        RadliteError: boxes recorded for one clip, meant for all.
    """
    if Path(recipe.objects).is_file():
        fix = "name the file of each clip in the manifest, or call it NAME.objects.json beside the clip NAME.mp4"
        raise RadliteError("'none' or a model as --objects, for many clips", f"the file {recipe.objects}", fix)
    objects, narrator = (str(Path(m).resolve()) if Path(m).is_dir() else m for m in (recipe.objects, recipe.narrator))
    return replace(recipe, objects=objects, narrator=narrator)


class _Teller:
    """Says what became of a clip, with how many are finished."""

    def __init__(self, count: int) -> None:
        self.count, self.finished = count, 0

    def __call__(self, clip: ListedClip, outcome: Outcome) -> None:
        self.finished += outcome.state != "failed"
        blank = f", {outcome.blank} of them show next to nothing" if outcome.blank else ""
        told = {"done": f"{outcome.frames} frames{blank}, {outcome.seconds:.1f} s", "kept": "finished before"}
        what = told.get(outcome.state) or f"FAILED, try {outcome.tries}: {outcome.reason}"
        say(f"{self.finished}/{self.count} {escaped(clip.clip)}: {escaped(what)}")


def _report(args, clips: Sequence[ListedClip], outcomes: Sequence[Outcome]) -> dict:
    states = Counter(outcome.state for outcome in outcomes)
    counts = {state: states[state] for state in ("done", "kept", "failed")}
    rows = [asdict(clip) | asdict(outcome) for clip, outcome in zip(clips, outcomes, strict=True)]
    passed = states["failed"] < len(clips) and states["failed"] / len(clips) <= args.most
    return {"folder": str(args.folder), "dataset": str(args.out), "clips": len(clips), **counts, "most": args.most,
            "passed": passed, "rows": rows}  # fmt: skip


def _summary(report: dict, path: Path) -> list[str]:
    failed = [row for row in report["rows"] if row["state"] == "failed"]
    lines = [f"failed: {row['clip']} (line {row['line']}, {row['tries']} tries): {row['reason']}" for row in failed]
    verdict, part = "passed" if report["passed"] else "FAILED", len(failed) / report["clips"]
    lines.append(f"{verdict}: {report['done']} clips done, {report['kept']} finished before, {len(failed)} of {report['clips']} "
                 f"failed ({part:.1%}, {report['most']:.1%} accepted); {path}")  # fmt: skip
    return list(map(escaped, lines))
