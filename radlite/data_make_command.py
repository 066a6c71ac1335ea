"""The commands of `radlite data` that make a dataset, or say what one has to look like."""

from __future__ import annotations

import sys
from pathlib import Path

from radlite.errors import RadliteError
from radlite.escape import escaped, escaped_errors, say

EVERY = 50  # episodes between two words of progress


def add(parts, command, whole) -> None:
    """Adds the commands to the parser of `radlite data`; the other arguments are the command line's own helpers."""
    text = "Bridge V2 in RLDS (TFRecord shards) into a dataset. The defaults do what ECoT does: docs/bridge.md."
    p = command(parts, "import-rlds", _run_rlds, text)
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
    text = "Clips of a phone, or folders of pictures, to a human dataset: one episode a clip."
    p = command(parts, "import-video", _run_video, text)
    p.add_argument("clips", type=Path, nargs="+", metavar="CLIP", help="a video, or a folder of pictures")
    p.add_argument("out", type=Path, metavar="OUT", help="the dataset's folder")
    p.add_argument("--instruction", action="append", required=True, metavar="TEXT",
                   help="what is done; once for all clips, or once a clip in their order")
    p.add_argument("--fps", type=float, default=5.0, help="frames a second to keep, by the time they are shown; 5 by default")
    p.add_argument("--pictures-fps", type=float, metavar="RATE",
                   help="rate at which the pictures of a folder were taken; --fps by default")
    p.add_argument("--size", type=int, default=256, help="side of the square frames in pixels; 256 by default")
    p.add_argument("--pad", action="store_true", help="whole pictures between black bars; by default the middle square of each")
    p.add_argument("--append", action="store_true", help="add to the dataset that is there")
    p.add_argument("--license", help="as the Hub abbreviates it; by default what the present card says, else 'other'")
    p = command(parts, "subset", _run_subset, "Some episodes of a dataset, here or on the Hub, into one of their own.")
    p.add_argument("source", metavar="SRC", help="a LeRobotDataset v3 folder, or owner/name on the Hub")
    p.add_argument("out", type=Path, metavar="OUT", help="the folder to make")
    p.add_argument("--episodes", type=int, metavar="N", help="how many, drawn by lot; all that fit by default")
    p.add_argument("--tasks", action="append", default=[], metavar="WORDS",
                   help="words in the instruction, or with * and ? the whole of it; may be given several times, one must fit")
    p.add_argument("--embodiment", choices=("robot", "human"),
                   help="refuse a dataset of the other one; of one that holds both, masked frames apart, take this one")
    p.add_argument("--seed", type=int, default=0, help="of the lot; 0 by default")
    p.add_argument("--files", type=int, metavar="N", help="draw from at most N data files, which is then all that is fetched")
    p.add_argument("--revision", help="branch, tag or commit on the Hub")
    p = command(parts, "relabel", _run_relabel, "A simulator's dataset with the chains that annotation would have written.")
    p.add_argument("source", type=Path, metavar="SRC", help="a dataset of radlite collect, human or robot")
    p.add_argument("out", type=Path, metavar="OUT", help="the folder to make")
    p.add_argument("--views", type=int, choices=(1, 2), default=2, help="cameras on the hand; 2 (default) tell heights")
    p.add_argument("--moves", choices=("way", "window"), default="way",
                   help="MOVE from the way to the subtask's end, as the tabletop's (default), or by ECoT's window of 0.6 s")
    for name, default, text in (
        ("pixel", 0.02, "the gripper's point, of the frame's side"), ("finger", 0.05, "landmarks, of the palm"),
        ("box", 0.03, "each edge of a box, of the box"),
    ):  # fmt: skip
        p.add_argument(f"--{name}-noise", type=float, default=default, metavar="SHARE",
                       help=f"standard deviation of {text}; {default} by default")
    p.add_argument("--drop", type=float, default=0.1, metavar="SHARE", help="frames in which nothing is found; 0.1 by default")
    p.add_argument("--miss", type=float, default=0.05, metavar="SHARE", help="frames in which a thing is not; 0.05 by default")
    p.add_argument("--seed", type=int, default=0, help="of the errors; 0 by default")
    text = "A robot's dataset with GRIPPER POSITION made anew, from its states and its camera, or detections of the gripper."
    p = command(parts, "robot-pixels", _run_robot_pixels, text)
    p.add_argument("source", type=Path, metavar="SRC", help="a dataset with states (metres, x, y, z first)")
    p.add_argument("out", type=Path, metavar="OUT", help="the folder to make")
    known = p.add_mutually_exclusive_group(required=True)
    known.add_argument("--camera", type=Path, metavar="FILE", help="JSON: the calibrated camera, K [R | t], 3 x 4")
    known.add_argument("--detections", type=Path, metavar="FILE",
                       help="JSON: the gripper's pixel in each frame, or null; fewer than half of them may be wrong")
    p.add_argument("--kind", choices=("linear", "projective"), default="linear",
                   help="the map fitted to detections: ECoT's (default), or any pinhole camera's, which needs more of them")
    p.add_argument("--each", action="store_true", help="fit each episode by itself, as ECoT does; by default one camera for all")
    p.add_argument("--overlay", type=Path, metavar="MP4", help="the first three episodes with it drawn; OUT.mp4 by default")
    p = command(parts, "schema", _run_schema, "JSON Schema of the reasoning record, or of the episode record.")
    p.add_argument("record", nargs="?", choices=("reasoning", "episode"), default="reasoning")
    p.add_argument("--out", type=Path, help="JSON file; printed otherwise")


def _run_rlds(args) -> None:
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


def _run_subset(args) -> None:
    from radlite.subset import subset

    if args.seed < 0:
        raise RadliteError("a --seed from 0 on", f"{args.seed}", "choose another one")
    with escaped_errors():
        info = subset(
            args.source, args.out, episodes=args.episodes, tasks=args.tasks, embodiment=args.embodiment, seed=args.seed,
            files=args.files, revision=args.revision, told=lambda text: say(escaped(text)),
        )  # fmt: skip
    say(f"{info.num_episodes} {info.embodiment} episodes, {info.num_frames} frames in {escaped(args.out)}")


def _run_video(args) -> None:
    from radlite.import_video import import_clips

    with escaped_errors():
        info = import_clips(args.clips, args.out, args.instruction, fps=args.fps, pictures_fps=args.pictures_fps, size=args.size,
                            pad=args.pad, append=args.append, license=args.license)  # fmt: skip
    say(f"{info.num_episodes} human episodes, {info.num_frames} frames in {escaped(args.out)}; new ones have no reasoning yet")


def _run_relabel(args) -> None:
    from radlite.annotate.relabel import relabel
    from radlite.annotate.simulated import Noise

    noise = Noise(box=args.box_noise, miss=args.miss, pixels=args.pixel_noise, drop=args.drop, seed=args.seed,
                  fingers=args.finger_noise)  # fmt: skip
    with escaped_errors():
        info = relabel(args.source, args.out, noise, args.views, args.moves)
    say(f"{info.num_episodes} {info.embodiment} episodes, {info.num_frames} frames in {escaped(args.out)}, chains by annotation")


def _run_robot_pixels(args) -> None:
    from radlite.annotate.robot_pixels import by_camera, by_detections
    from radlite.formats.writable import check_writable
    from radlite.show.robot_pixels import write_robot_film

    film = args.overlay or args.out.with_name(args.out.name + ".mp4")
    with escaped_errors():
        if film.suffix.lower() != ".mp4":
            raise RadliteError("a name ending in .mp4 as --overlay", f"{film}", "choose another one")
        check_writable(film)
        if args.camera:
            pixels = by_camera(args.source, args.camera)
        else:
            pixels = by_detections(args.source, args.detections, args.kind, args.each)
        info = pixels.write(args.out)
        write_robot_film(pixels, film)
    for number, fit in enumerate(pixels.fits):
        count = pixels.detections(number) if args.each else sum(map(pixels.detections, range(len(pixels.points))))
        whose = f"episode {number}" if args.each else "one camera for all episodes"
        say(f"{whose}: {fit.inliers.sum()} of {count} detections agree, median error {fit.median_error:.1f} pixels of 256")
    say(f"{info.num_episodes} {info.embodiment} episodes, {info.num_frames} frames in {escaped(args.out)}, the gripper in the "
        f"picture in {pixels.inside:.1%} of them; look at {escaped(film)}")  # fmt: skip


def _run_schema(args) -> None:
    from radlite.formats.staging import replace_text
    from radlite.schema import schema_text

    text = schema_text(args.record)
    if args.out:
        replace_text(args.out, text)
    else:
        print(text, end="")
