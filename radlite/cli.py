"""The command line: parses, calls the function of the same name, prints. Every stage is a command."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from radlite import annotate_command as annotating
from radlite import annotate_many_command as annotating_many
from radlite import data_command as data
from radlite import setup_command as setup
from radlite import train_command as training
from radlite.errors import RadliteError
from radlite.experiment import command as experiment
from radlite.formats.writable import check_writable
from radlite.memory import command as memory


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `radlite` and `python -m radlite`; a `RadliteError` is one line on stderr and exit code 2."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args) or 0
    except RadliteError as error:
        print(
            "radlite:", " ".join(str(error).split()), file=sys.stderr
        )  # one line, whatever a library had to say
        return 2
    except KeyboardInterrupt:
        print(
            "radlite: stopped; what is finished is kept, the same command goes on from there", file=sys.stderr
        )
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="radlite", description="Reasoning through Action-free Data, small enough to teach."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_demo, _collect, _evaluate, _predict, _report, _doctor):
        add(commands)
    training.add(commands, _command, _whole, _add_base)
    experiment.add(commands, _command, _whole)
    memory.add(commands, _command, _whole)
    annotating.add(commands, _command, _whole)
    annotating_many.add(commands, _command, _whole)
    data.add(commands, _command, _whole)
    setup.add(commands, _command, _whole)
    return parser


def _command(commands, name: str, run, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run)
    return parser


def _whole(least: int):
    """An argparse type: integers of at least `least`."""

    def integer(text: str) -> int:
        if int(text) < least:
            raise ValueError
        return int(text)

    return integer


def _add_base(p) -> None:
    p.add_argument("--model", default="radlite-tiny", help="name of a base, a folder, or owner/name on the Hub")
    p.add_argument("--quantize", choices=("nf4",), help="keep the base's language decoder in four bits")


def _demo(commands) -> None:
    p = _command(commands, "demo", _run_demo, "Collect, train ECoT and RAD, let both act, write a report.")
    p.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder; finished stages in it are reused"
    )
    p.add_argument("--fresh", action="store_true", help="do every stage again")
    p.add_argument("--seed", type=_whole(0), default=0)
    _add_base(p)
    p.add_argument("--matched", action="store_true", help="also train ECoT on as many samples as RAD sees in all")
    p.add_argument("--smoke", action="store_true", help="the same path in seconds; its figures mean nothing")


def _run_demo(args) -> int:
    from radlite.demo import SMOKE, DemoConfig, demo

    sizes = SMOKE if args.smoke else DemoConfig()
    config = replace(
        sizes, seed=args.seed, base=args.model, quantize=args.quantize, matched=sizes.matched or args.matched
    )
    results = demo(args.out, config, args.fresh)
    for arm, splits in results["arms"].items():
        own, human = splits["robot_tasks"], splits["human_only_tasks"]
        print(
            f"{arm:<5} robot tasks {own['successes']}/{own['trials']}   human-only tasks {human['successes']}/{human['trials']}"
        )
    print(f"{results['seconds']['total']:.0f} s in all; open {args.out / 'report.html'}")
    return 0


def _collect(commands) -> None:
    p = _command(
        commands,
        "collect",
        _run_collect,
        "Collect demonstrations in the simulator and write them as a dataset.",
    )
    p.add_argument("--out", type=Path, required=True)
    p.add_argument(
        "--embodiment", choices=("robot", "human"), required=True, help="human data has no actions"
    )
    p.add_argument("--episodes", type=_whole(1), default=400)
    p.add_argument(
        "--axes",
        nargs="+",
        choices=("home", "compositional", "new_object", "new_scene"),
        help="which tasks, in turn",
    )
    p.add_argument("--seed", type=_whole(0), default=0)
    p.add_argument("--size", type=_whole(1), default=96, help="pixels a side")
    p.add_argument("--workers", type=_whole(1), default=min(2, os.cpu_count() or 1))
    p.add_argument("--image-format", choices=("png", "webp", "mp4"), default="png", help="mp4: smaller, and not lossless")
    p.add_argument("--environment", choices=("home", "many", "elsewhere"), default="home",
                   help="many: tables and lamps of all sorts; elsewhere: one other place, with another camera")
    p.add_argument("--overwrite", action="store_true")


def _run_collect(args) -> None:
    from radlite.tabletop.collect import collect

    axes = tuple(None if a == "home" else a for a in args.axes) if args.axes else None
    info = collect(
        args.out,
        args.embodiment,
        args.episodes,
        axes,
        args.seed,
        args.size,
        args.workers,
        args.overwrite,
        image_format=args.image_format,
        environment=args.environment,
    )
    print(f"{info.num_episodes} {info.embodiment} episodes, {info.num_frames} frames in {info.path}")


def _evaluate(commands) -> None:
    p = _command(
        commands, "evaluate", _run_evaluate, "Closed-loop success of a policy, with 95%% Wilson intervals."
    )
    _add_base(p)
    p.add_argument("--adapter", default="rad", help="rad, ecot (shipped), or a folder")
    p.add_argument(
        "--axis",
        choices=("home", "compositional", "new_object", "new_scene", "human_only"),
        default="human_only",
        help="home: the robot's own tasks; human_only: all three axes",
    )
    p.add_argument("--trials", type=_whole(1), default=60)
    p.add_argument("--decode", choices=("expectation", "mode"), default="expectation")
    p.add_argument("--greedy", action="store_true", help="write the most likely chain instead of drawing one")
    p.add_argument("--no-reasoning", action="store_true", help="act without writing a chain")
    p.add_argument("--seed", type=_whole(0), default=0)
    p.add_argument("--workers", type=_whole(1), help="processes; default up to four on a CPU, else one")
    p.add_argument("--out", type=Path, help="JSON file; printed in any case")


def _run_evaluate(args) -> None:
    from radlite.evaluate import evaluate
    from radlite.policy import load_policy
    from radlite.rollouts import PolicyAgent, suited_workers
    from radlite.tabletop.env import trials
    from radlite.tabletop.tasks import AXES

    axes = AXES if args.axis == "human_only" else (None if args.axis == "home" else args.axis,)
    counts = [len(range(i, args.trials, len(axes))) for i in range(len(axes))]  # as evenly as it goes
    todo = [t for axis, count in zip(axes, counts, strict=True) for t in trials(axis, count, args.seed)]
    policy = load_policy(args.model, args.adapter, args.quantize)
    workers = args.workers or suited_workers(policy.vlm.device.type, len(todo))
    agent = PolicyAgent(policy, args.decode, draw=not args.greedy, think=not args.no_reasoning)
    text = json.dumps(evaluate(agent, todo, workers=workers), indent=1)
    print(text)
    if args.out:
        _write(args.out, text)


def _predict(commands) -> None:
    p = _command(
        commands,
        "predict",
        _run_predict,
        "A picture or a video in, the chain, the action and an overlay out.",
    )
    p.add_argument("input", type=Path, help="picture, folder of pictures, or video")
    p.add_argument("--instruction", required=True)
    _add_base(p)
    p.add_argument("--adapter", default="rad")
    p.add_argument("--reasoning", help="a chain, whole or in part, to go on from")
    p.add_argument("--max-frames", type=_whole(1), default=60, help="of a video")
    p.add_argument(
        "--out",
        type=Path,
        help="overlay: .png for one picture, .mp4 for more; default beside the input's name",
    )


def _run_predict(args) -> None:
    from radlite.policy import load_policy
    from radlite.predict import overlay_path, predict_frames, read_frames, write_overlay
    from radlite.reasoning import Reasoning

    frames, fps = read_frames(args.input, args.max_frames)
    suffix = ".png" if len(frames) == 1 else ".mp4"
    out = overlay_path(args.out or Path(f"{args.input.stem}.radlite{suffix}"), len(frames))
    check_writable(out)
    chain = Reasoning.from_text(args.reasoning) if args.reasoning else None
    said = predict_frames(load_policy(args.model, args.adapter, args.quantize), frames, args.instruction, chain)
    for number, one in enumerate(said):
        print(
            json.dumps(
                {"frame": number, "text": one.text, "action": [round(float(v), 4) for v in one.action]}
            )
        )
    print(f"overlay in {write_overlay(out, frames, said, fps)}", file=sys.stderr)


def _report(commands) -> None:
    p = _command(
        commands, "report", _run_report, "Write report.html and rollout.mp4 of a demo's folder again."
    )
    p.add_argument("folder", type=Path, nargs="?", default=Path("runs/demo"))


def _run_report(args) -> None:
    from radlite.demo import report

    print(report(args.folder))


def _doctor(commands) -> None:
    p = _command(commands, "doctor", _run_doctor, "What this machine can do, and what is missing.")
    p.add_argument("--json", action="store_true")


def _run_doctor(args) -> None:
    from radlite.health import doctor, format_doctor

    found = doctor()
    print(json.dumps(found, indent=1) if args.json else format_doctor(found))


def _write(path: Path, text: str) -> None:
    from radlite.formats.staging import disk_errors

    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
