"""`radlite annotate`: clips in, a human dataset with a chain a frame out, and a page that shows every stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from radlite.errors import RadliteError
from radlite.escape import escaped, escaped_errors, say
from radlite.formats.writable import check_writable

if TYPE_CHECKING:
    from radlite.annotate.recipe import Recipe


def add(commands, command, whole) -> None:
    """Adds the command to a parser; the other arguments are the command line's own helpers."""
    p = command(commands, "annotate", _run, "A chain of reasoning for every frame of a video of a hand.")
    p.add_argument("clips", type=Path, nargs="+", metavar="CLIP", help="a video, or a folder of pictures")
    p.add_argument("--instruction", action="append", required=True, metavar="TEXT",
                   help="what is done; once for all clips, or once a clip in their order")
    p.add_argument("--caption", action="append", metavar="TEXT",
                   help="what is to be seen; once for all clips, or once a clip. The things that it names are looked for as well")
    p.add_argument("--out", type=Path, required=True, metavar="DATASET", help="the dataset's folder")
    p.add_argument("--report", type=Path, metavar="HTML", help="page that shows every stage; DATASET.html by default")
    p.add_argument("--append", action="store_true", help="add to the dataset that is there")
    p.add_argument("--license", help="as the Hub abbreviates it; by default what the present card says, else 'other'")
    p.add_argument("--cache", type=Path, default=Path("runs/annotate"), help="finished stages; runs/annotate by default")
    p.add_argument("--dry-run", action="store_true", help="say what would be done, and what a service would charge; do nothing")
    p.add_argument("--price", type=float, nargs=2, default=(0.0, 0.0), metavar=("IN", "OUT"),
                   help="of a million tokens, for --dry-run")
    p.add_argument("--landmarks", type=Path, metavar="FILE", help="recorded hands (JSON) instead of MediaPipe; of one clip")
    add_recipe(p)


def add_recipe(p) -> None:
    """Adds what says how a clip is annotated, read by `recipe_of`."""
    stages = p.add_argument_group("stages")
    stages.add_argument("--hand-model", type=Path, metavar="FILE", help="hand_landmarker.task; by default what is installed")
    stages.add_argument("--side", choices=("left", "right"), help="whose hand acts; by default the one that moves")
    stages.add_argument("--objects", default="none", metavar="none|FILE|MODEL",
                        help="boxes: none (default), recorded (JSON), or a Grounding DINO such as "
                             "IDEA-Research/grounding-dino-tiny")
    stages.add_argument("--names", action="append", metavar="NAME",
                        help="a thing to look for; by default the instruction's, and the caption's")
    stages.add_argument("--box-threshold", type=float, metavar="SCORE",
                        help="least score of a box, 0 to 1; 0.3 by default of a Grounding DINO, 0.25 of recorded boxes")
    stages.add_argument("--text-threshold", type=float, metavar="SCORE",
                        help="least score of a word that counts as part of a box's name, of a Grounding DINO; 0.2 by default")
    stages.add_argument("--narrator", default="rules", metavar="rules|MODEL|URL",
                        help="rules (default, offline), a model of `transformers`, or an OpenAI-compatible server's address; its "
                             "key is read from RADLITE_API_KEY")
    stages.add_argument("--narrator-model", metavar="NAME", help="the server's name for the model")
    stages.add_argument("--quantize", choices=("nf4",), help="four bits for a narrator that runs here")
    camera = p.add_argument_group("camera")
    camera.add_argument("--fps", type=float, default=5.0, help="frames a second to keep; 5 by default")
    camera.add_argument("--looks", type=int, default=6,
                        help="pictures for each of these in which hands are looked for, as far as there are any; 6 by default")
    camera.add_argument("--size", type=int, default=256, help="side of the square frames in pixels; 256 by default")
    camera.add_argument("--crop", action="store_true", help="the middle square of each picture; by default all, between bars")
    for name, default, text in (("right", "right", "moves right"), ("up", "forward", "moves up"), ("nearer", None, "grows")):
        camera.add_argument(f"--{name}", default=default, metavar="DIRECTION",
                            help=f"where on the table a hand goes that {text} in the picture; {default or 'unknown'} by default")
    camera.add_argument("--elevation", type=float, default=45.0, help="degrees of the camera above the table; 45 by default")
    camera.add_argument("--depth", action="store_true", help="believe the size of the hand, as --nearer says")
    camera.add_argument("--palm", type=float, default=0.09, help="metres from wrist to the middle finger's base; 0.09 by default")
    camera.add_argument("--moves", choices=("way", "window"), default="way",
                        help="MOVE from the way to the end of the subtask where that is known (default), or by ECoT's window")
    camera.add_argument("--threshold", type=float, default=0.03, help="metres in 0.6 s that count as a move; 0.03 by default")


def _run(args) -> int:
    from radlite.annotate.pipeline import annotate
    from radlite.import_video import add_episodes, one_each
    from radlite.show.annotation import write_annotation_report

    if args.landmarks and len(args.clips) > 1:
        raise RadliteError("one clip with --landmarks", f"{len(args.clips)}", "annotate them one by one, with --append")
    words, captions, recipe = one_each(args.instruction, len(args.clips)), captions_of(args), recipe_of(args)
    page = args.report or args.out.with_name(args.out.name + ".html")
    with escaped_errors():
        check_writable(page)
        if args.dry_run:
            return _tell(args, words, captions, recipe)
        stages = recipe.find_hands(args.landmarks), recipe.find_objects(), recipe.put_into_words()
        done = []

        def episodes():
            for clip, text, caption in zip(args.clips, words, captions, strict=True):
                done.append(annotate(clip, text, *stages, recipe.names, recipe.config, args.cache, caption=caption))
                say(f"{escaped(clip)}: {_known(done[-1])}")
                _remark(done[-1].clip)
                yield done[-1].episode

        how = f"{len(args.clips)} clips of a camera, annotated by `radlite annotate`."
        info = add_episodes(args.out, episodes(), how, args.append, args.license)
        write_annotation_report(done, page)
    say(f"{info.num_episodes} human episodes, {info.num_frames} frames in {escaped(args.out)}; look at {escaped(page)}")
    return 0


def _known(annotation) -> str:
    chains, track = annotation.episode.reasoning, annotation.evidence.gripper
    whole = sum(chain is not None and chain.subtask is not None for chain in chains)
    return f"{len(chains)} frames, gripper known in {int(track.known.sum())}, {whole} with a subtask"


def _remark(clip) -> None:
    """Says of a clip what is no error and yet odd."""
    if blank := int(clip.blank.sum()):
        say(f"  {blank} of {len(clip)} pictures show next to nothing (black, or all of one grey): what is said of them cannot be "
            f"seen in them")  # fmt: skip


def captions_of(args) -> list[str | None]:
    """One caption a clip, None where there is none.

    Raises:
        RadliteError: another number of them, or one beside --names, which says what to look for by itself.
    """
    captions, clips = args.caption or [None], len(args.clips)
    if args.caption and args.names:
        raise RadliteError("--names or --caption", "both", "name the caption's things with --names, too")
    if len(captions) not in (1, clips):
        raise RadliteError("one --caption for all clips or one a clip", f"{len(captions)} for {clips} clips", "give as many")
    return captions * clips if len(captions) == 1 else captions


def recipe_of(args) -> Recipe:
    """What `add_recipe` was told."""
    from radlite.annotate.motion import Axes
    from radlite.annotate.pipeline import AnnotateConfig
    from radlite.annotate.recipe import Recipe

    axes = Axes(args.right, args.up, args.nearer, args.elevation)
    config = AnnotateConfig(args.fps, args.size, not args.crop, args.side, axes=axes, palm=args.palm, depth=args.depth,
                            threshold=args.threshold, looks=args.looks, moves=args.moves,
                            box_threshold=args.box_threshold)  # fmt: skip
    model = None if args.hand_model is None else str(args.hand_model.resolve())
    names = None if args.names is None else tuple(args.names)
    return Recipe(config, model, args.objects, names, args.narrator, args.narrator_model, args.quantize, args.text_threshold)


def _tell(args, words: list[str], captions: list[str | None], recipe: Recipe) -> int:
    """What a run would do, clip by clip, and what a service would charge."""
    from radlite.annotate.clip import load_clip
    from radlite.annotate.pipeline import names_of

    hands = f"recorded in {args.landmarks}" if args.landmarks else "MediaPipe"
    config, money = recipe.config, 0.0
    for source, text, caption in zip(args.clips, words, captions, strict=True):
        clip = load_clip(source, config.fps, config.size, config.pad)
        names = ", ".join(args.names or names_of(text, caption)) or "nothing"
        looked = "not looked for" if args.objects == "none" else f"{names} by {args.objects}"
        say(escaped(f"{source}: {len(clip)} frames of {clip.view.width}x{clip.view.height}; hands: {hands}; things: {looked}; "
                    f"words: {args.narrator}"))  # fmt: skip
        _remark(clip)
        if recipe.served:
            cost = _cost(clip, text, args.price)
            money += cost.money
            say(f"  about {cost.tokens_in:,} tokens in, {cost.tokens_out:,} out, {cost.money:.4f} at the given prices")
    say(f"{len(words)} clips, {money:.4f} in all; nothing was done" if money else f"{len(words)} clips; nothing was done")
    return 0


def _cost(clip, text: str, price: tuple[float, float]):
    """Of a clip whose motion nobody has looked at yet: one move a second is assumed."""
    import numpy as np

    from radlite.annotate.endpoint import estimate
    from radlite.annotate.evidence import GripperTrack
    from radlite.annotate.narrator import Evidence

    length = len(clip)
    middle = GripperTrack(np.full((length, 2), 128.0), np.ones(length), np.full(length, np.nan), np.ones(length, bool))
    moves = tuple(("move left", "move right")[int(k / clip.fps) % 2] for k in range(length))
    return estimate(Evidence(text, clip.frames, clip.fps, middle, (), moves), *price)
