"""`radlite data`: what lies in a dataset, and whether it is fit to train on. Its text is somebody else's and is escaped."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from radlite import data_make_command as making
from radlite.errors import RadliteError
from radlite.escape import escaped, escaped_errors, say

if TYPE_CHECKING:
    from radlite.findings import Finding, Report

EXAMPLES = 3  # of a check, without --json


def add(commands, command, whole) -> None:
    """Adds the commands to a parser; `command` and `whole` are the command line's own helpers."""
    data = commands.add_parser("data", help="What lies in a dataset, and whether it is fit to train on.")
    parts = data.add_subparsers(required=True, metavar="WHAT")
    p = command(parts, "info", _run_info, "The facts in one paragraph.")
    p.add_argument("path", type=Path)
    p = command(parts, "stats", _run_stats, "Actions and states by dimension, words by field, lengths, instructions.")
    p.add_argument("path", type=Path)
    p.add_argument("--json", action="store_true")
    p = command(parts, "validate", _run_validate, "A table of checks; exit status 1 when too many episodes are bad.")
    p.add_argument("paths", type=Path, nargs="+", metavar="path")
    p.add_argument("--most", type=share, default=0.05, help="share of bad episodes in a source that is still accepted")
    p.add_argument("--quarantine", type=Path, metavar="OUT",
                   help="write the good episodes to OUT/NAME and the bad ones, with reasons, to OUT/NAME.bad.json")
    p.add_argument("--no-pictures", action="store_true", help="do not decode the pictures: quicker, and blind to broken ones")
    p.add_argument("--json", action="store_true", help="everything that was found, not only the first few")
    p = command(parts, "card", _run_card, "The dataset card, made from what is there.")
    p.add_argument("path", type=Path)
    p.add_argument("--origin", help="where the episodes come from; by default what the present card says")
    p.add_argument("--license", help="as the Hub abbreviates it; by default what the present card says, else 'other'")
    p.add_argument("--out", type=Path, help="Markdown file; printed otherwise")
    making.add(parts, command, whole)


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a share from 0 to 1, not {text}")
    return value


def _examine(path: Path, decode: bool = False) -> Report:
    from radlite.validate import examine

    with escaped_errors():
        return examine(path, decode=decode)


def _run_info(args) -> None:
    report = _examine(args.path)
    height, width, _ = report.image_shape
    lengths, tasks = report.lengths, report.instructions
    size = sum(p.stat().st_size for part in ("data", "meta", "videos") for p in (args.path / part).rglob("*") if p.is_file())
    often = sorted(tasks.items(), key=lambda item: -item[1])[:EXAMPLES]
    say(
        f"{escaped(args.path)}: {_count(report.num_episodes, report.embodiment + ' episode')} of {min(lengths)} to "
        f"{max(lengths)} frames, {_count(report.num_frames, 'frame')} of {height}x{width} pixels at {report.fps:g} a second "
        f"({report.num_frames / report.fps:,.0f} s in all), {size / 1e6:,.1f} MB on disk.\n"
        f"{report.with_chain / report.num_frames:.1%} of the frames have a chain of reasoning that can be read.\n"
        f"{_count(len(tasks), 'instruction')}, most often: {', '.join(f'{_quoted(task)} ({n})' for task, n in often) or '-'}.\n"
        f"Columns: {', '.join(f'{escaped(name)} ({escaped(kind)})' for name, kind in report.columns.items())}."
    )


def _run_stats(args) -> None:
    report = _examine(args.path)
    lengths, words = report.lengths, report.words
    if args.json:
        keys = ("path", "embodiment", "fps", "num_episodes", "num_frames", "vectors", "lengths", "instructions")
        fields = {f: {"frames": n, "mean": total / n, "most": most} for f, (n, total, most) in words.items()}
        print(json.dumps({key: getattr(report, key) for key in keys} | {"words": fields}, indent=1))
        return
    for name, stats in report.vectors.items():
        title = f"{name} ({_count(stats['count'][0], 'row')})"
        say(f"{title:<32}" + "".join(f"{t:>9}" for t in ("min", "1%", "mean", "99%", "max")))
        for k, dimension in enumerate(stats["names"] if stats["count"][0] else ()):
            row = (stats[key][k] for key in ("min", "q01", "mean", "q99", "max"))
            say(f"  {escaped(dimension):<30}" + "".join(f"{value:9.4f}" for value in row))
        say()
    say(f"{'words of a chain':<32}{'frames':>9}{'mean':>9}{'most':>9}")
    for name, (count, total, most) in words.items():
        say(f"  {name:<30}{count:9}{total / count:9.1f}{most:9}")
    say(f"\n{'frames of an episode':<32}{'min':>9}{'mean':>9}{'max':>9}")
    say(f"{'':<32}{min(lengths):9}{sum(lengths) / len(lengths):9.1f}{max(lengths):9}")
    say("\nepisodes, by instruction")
    for task, count in sorted(report.instructions.items(), key=lambda item: -item[1]):
        say(f"{count:8}  {_quoted(task)}")


def _run_validate(args) -> int:
    from radlite.formats.card import told_by_card
    from radlite.quarantine import quarantine

    if args.quarantine and args.no_pictures:
        raise RadliteError("pictures that were looked at, for --quarantine", "--no-pictures", "leave out one of the two")
    reports = [_examine(path, decode=not args.no_pictures) for path in args.paths]
    failed = [report for report in reports if report.share_bad > args.most]
    licenses = [told_by_card(Path(r.path))[1] for r in reports]
    with escaped_errors():
        written = quarantine(reports, args.quarantine, licenses) if args.quarantine else []
    if args.json:
        print(json.dumps({"most": args.most, "passed": not failed, "remarks": _between(reports),
                          "sources": [r.to_dict() for r in reports]}, indent=1))  # fmt: skip
        return 1 if failed else 0
    for line in (*_table(reports), *_examples(reports), *_between(reports)):
        say(line)
    for path in written:
        say(f"good episodes in {escaped(path).removesuffix('.bad.json')}, bad ones listed in {escaped(path)}")
    for report in reports:
        verdict = "more than" if report in failed else "not more than"
        say(f"{'FAILED' if report in failed else 'passed'}: {escaped(report.path)}: {len(report.bad)} of "
             f"{_count(report.num_episodes, 'episode')} bad ({report.share_bad:.1%}, {verdict} {args.most:.1%})")  # fmt: skip
    return 1 if failed else 0


def _table(reports: list[Report]) -> list[str]:
    """One row a check, one column a source."""
    from radlite.findings import ERRORS, REMARKS
    from radlite.formats.card import ACTION_KEY

    rows = [("", [escaped(Path(r.path).resolve().name)[:24] for r in reports])]
    rows += [(title, [f"{of(r)}" for r in reports]) for title, of in (
        ("embodiment", lambda r: r.embodiment), ("episodes", lambda r: r.num_episodes), ("frames", lambda r: r.num_frames),
        ("frames a second", lambda r: f"{r.fps:g}"))]  # fmt: skip
    for heading, checks in (("errors", ERRORS), ("remarks", REMARKS)):
        rows.append((f"{heading}: episodes (frames)", [""] * len(reports)))
        rows += [(f"  {title}", [_cell(report, check) for report in reports]) for check, title in checks.items()]
    for axis, span, unit in (("translation", slice(0, 3), "m"), ("rotation", slice(3, 6), "rad"), ("gripper", slice(6, 7), "")):
        rows.append((f"action range, {axis}", [_range(r.vectors.get(ACTION_KEY), span, unit) for r in reports]))
    rows.append(("bad episodes", [f"{len(r.bad)} ({r.share_bad:.1%})" for r in reports]))
    widths = [max(len(cells[k]) for _, cells in rows) for k in range(len(reports))]
    lines = (f"{title:<44}" + "".join(f"  {c:>{w}}" for c, w in zip(cells, widths, strict=True)) for title, cells in rows)
    return [line.rstrip() for line in lines]


def _cell(report: Report, check: str) -> str:
    """How often; "-" where the check does not apply."""
    from radlite.findings import COLUMNS
    from radlite.formats.card import ACTION_KEY, STATE_KEY

    column = COLUMNS.get(check)
    if column in (ACTION_KEY, STATE_KEY) and column not in report.vectors or check == "no chain" and report.embodiment == "robot":
        return "-"
    if check == "picture" and not report.pictures:
        return "not looked at"
    found = report.of(check)
    return f"{len(found)} ({sum(f.frames for f in found)})" if found else "0"


def _range(stats: dict | None, span: slice, unit: str) -> str:
    if stats is None or not stats["count"][0]:
        return "-"
    return f"{min(stats['min'][span]):.3g} to {max(stats['max'][span]):.3g} {unit}".strip()


def _examples(reports: list[Report]) -> list[str]:
    """The first bad episodes of each check; all of the bad ones are counted above."""
    from radlite.findings import ERRORS, REMARKS

    lines = []
    for report in reports:
        for check, title in (ERRORS | REMARKS).items():
            found = report.of(check)
            if found:
                lines += ["", f"{escaped(Path(report.path).resolve().name)}: {title}"]
                lines += [f"  {_told(f)}" for f in found[:EXAMPLES]]
            if len(found) > EXAMPLES:
                lines.append(f"  and {_count(len(found) - EXAMPLES, 'more episode')}; --json tells all")
    return [*lines, ""]


def _told(finding: Finding) -> str:
    more = f" and {_count(finding.frames - 1, 'more frame')}" if finding.frames > 1 else ""
    column = f", column {escaped(finding.column)!r}" if finding.column else ""
    return f"episode {finding.episode}, frame {finding.step}{more}{column}: {escaped(finding.detail)}"


def _between(reports: list[Report]) -> list[str]:
    """What is odd between sources that are fine by themselves."""
    if len({r.fps for r in reports}) < 2:
        return []
    rates = ", ".join(f"{escaped(Path(r.path).resolve().name)} {r.fps:g}" for r in reports)
    return [f"frame rates differ ({rates}): a mixture takes them as they are, and 'next' means another time in each"]


def _run_card(args) -> None:
    from radlite.formats.card import card_text, told_by_card, units_of
    from radlite.formats.lerobot_writer import INDEX_COLUMNS
    from radlite.formats.staging import replace_text
    from radlite.validate import open_rows

    with escaped_errors():
        rows, dataset, camera = open_rows(args.path)
    known = units_of(rows.features, camera)
    others = [name for name in rows.features if name not in (*known, *INDEX_COLUMNS, "timestamp")]
    units = known | dict.fromkeys(others, "not read by radlite")
    keys = ("embodiment", "num_episodes", "num_frames", "fps", "image_shape", "instructions")
    info = {key: getattr(dataset, key) for key in keys}
    origin, license = told_by_card(args.path)
    text = card_text(info, units, args.origin or origin or "not told", args.license or license)
    text = "\n".join(map(escaped, text.split("\n")))
    if args.out:
        replace_text(args.out, text)
    else:
        say(text.rstrip("\n"))


def _quoted(text: str) -> str:
    return f'"{escaped(text)}"' if len(text) <= 120 else f'"{escaped(text[:117])}..."'


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
