"""`radlite data import-rlds`: Bridge V2 from TFRecord shards, without TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path

EVERY = 50  # episodes between two words of progress


def add(parts, command, whole) -> None:
    """Adds the command to the parser of `radlite data`; the other arguments are the command line's own helpers."""
    text = "Bridge V2 in RLDS (TFRecord shards) into a dataset. The defaults do what ECoT does: docs/bridge.md."
    p = command(parts, "import-rlds", _run, text)
    p.add_argument("shards", type=Path, help="folder of NAME-SPLIT.tfrecord-00000-of-01024 and so on, some or all; or one file")
    p.add_argument("out", type=Path, help="the dataset, a new folder")
    p.add_argument("--episodes", type=whole(1), metavar="N", help="the first N of use (TFDS has shuffled them); default all")
    p.add_argument("--split", default="train", help="train (default) or val")
    p.add_argument("--camera", default="image_0", help="image_0 (default) to image_3")
    p.add_argument("--keep-first-step", action="store_true", help="whose action is zero; ECoT drops it")
    p.add_argument("--actions", choices=("relabelled", "recorded"), default="relabelled",
                   help="relabelled (default): the change of the state that was reached, so the last step goes, too")
    p.add_argument("--gripper", choices=("binary", "continuous"), default="binary",
                   help="binary (default): 1 above 0.95, 0 below 0.05, between them what is reached next")
    p.add_argument("--skip-bad", action="store_true", help="leave damaged records out and count them, rather than stop")
    p.add_argument("--image-format", choices=("png", "webp"), default="png", help="both keep every pixel")
    p.add_argument("--overwrite", action="store_true", help="replace the dataset that stands there")


def _run(args) -> None:
    from radlite.data_command import escaped, escaped_errors, say
    from radlite.rlds import import_rlds
    from radlite.rlds_episode import RldsConfig

    def progress(count: int) -> None:
        if count % EVERY == 0:
            print(f"{count} episodes", file=sys.stderr, flush=True)

    config = RldsConfig(args.camera, not args.keep_first_step, args.actions, args.gripper)
    with escaped_errors():
        report = import_rlds(
            args.shards, args.out, config, split=args.split, episodes=args.episodes, strict=not args.skip_bad,
            overwrite=args.overwrite, image_format=args.image_format, progress=progress,
        )  # fmt: skip
    for line in (f"{args.out}:", *str(report).splitlines()):
        say(escaped(line))
