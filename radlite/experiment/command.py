"""`radlite experiment paper | list | tables`: parses, calls, prints."""

from __future__ import annotations

import argparse
from pathlib import Path

ACTIONS = {
    "paper": "do every cell that is not done yet, then write tables and figures",
    "list": "what there is, what is done, and how long the rest takes here",
    "tables": "write tables and figures again, from the cells that are there",
}


def add(commands, command, whole) -> None:
    """Adds the command to a parser; `command` and `whole` are the command line's own helpers."""
    p = command(commands, "experiment", run, "The paper's tables in miniature: arms, cells of many trials, intervals.")
    p.formatter_class = argparse.RawDescriptionHelpFormatter
    p.epilog = "\n".join(f"{name:<8}{text}" for name, text in ACTIONS.items())
    p.add_argument("action", choices=ACTIONS)
    p.add_argument("--scale", choices=("full", "small", "tiny"), default="full",
                   help="small: five arms, one axis, 50 trials; tiny: a test, its figures mean nothing")
    p.add_argument("--out", type=Path, help="folder of the cells; default results/paper, or results/paper-SCALE")
    p.add_argument("--work", type=Path, help="folder of datasets and adapters; default runs/paper, or runs/paper-SCALE")
    p.add_argument("--tables", nargs="+", default=(), metavar="TABLE")
    p.add_argument("--arms", nargs="+", default=(), metavar="ARM")
    p.add_argument("--axes", nargs="+", default=(), metavar="AXIS")
    p.add_argument("--seeds", nargs="+", type=whole(0), default=(), metavar="SEED")
    p.add_argument("--trials", type=whole(1), help="in each cell that counts trials")
    p.add_argument("--workers", type=whole(1), help="processes; default one a core, up to four")
    p.add_argument("--no-pictures", action="store_true", help="no PNG beside the HTML figures")
    p.add_argument("--into", type=Path, nargs="+", default=(), help="text files whose marked parts are filled with the tables")


def run(args) -> None:
    """Does what was asked for."""
    from radlite.experiment.cells import cells
    from radlite.experiment.run import Experiment
    from radlite.experiment.scale import SCALES

    suffix = "" if args.scale == "full" else f"-{args.scale}"
    out, work = args.out or Path(f"results/paper{suffix}"), args.work or Path(f"runs/paper{suffix}")
    experiment = Experiment(out, SCALES[args.scale], work, args.workers)
    if args.action == "tables":
        return _tables(args, out)
    chosen = cells(experiment.scale, args.tables, args.arms, args.axes, args.seeds, args.trials)
    if args.action == "list":
        from radlite.experiment.plan import listing

        print(listing(experiment, chosen))
        return None
    done = experiment.run(chosen)
    print(f"{len(done)} cells done now, {len(chosen) - len(done)} were there; all in {out}")
    return _tables(args, out)


def _tables(args, out: Path) -> None:
    from radlite.experiment.embed import embed
    from radlite.experiment.figures import write
    from radlite.experiment.results import Results

    for path in write(Results.read(out), out, not args.no_pictures):
        print(path)
    for path in args.into:
        embed(path, out)
        print(path)
