"""From a clip to an annotated episode: hands, objects, motion, words, one after the other, each kept once it is done.

What is slow (detectors, a language model) is stored by what it depends on: the clip's bytes, the moments taken from it, and the
`identity` of the stage. So a run that was stopped goes on, and a changed threshold repeats only what it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm.auto import tqdm

from radlite.annotate.clip import Clip, load_clip
from radlite.annotate.evidence import Found, GripperTrack, Hand, HandDetector, ObjectDetector
from radlite.annotate.hand_links import SIDES
from radlite.annotate.hands import gripper_track
from radlite.annotate.hindsight import Moves, motion_in_view, moves_on_the_way
from radlite.annotate.motion import ABOVE, PALM, Axes
from radlite.annotate.narrate import RuleNarrator
from radlite.annotate.narrator import Evidence, Narrator, measured
from radlite.annotate.objects import object_names, object_tracks
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.import_video import check_numbers, picture_files, spoken
from radlite.reasoning import Reasoning
from radlite.stages import Stages

VERSION = 2  # of what is stored; another one makes every stage anew
RANGES = {"palm": (0.03, 0.3, " m"), "window": (0.05, 10, " s"), "threshold": (0.001, 0.5, " m")}
"""Settings in metres and seconds: beyond these, no move is told, or every tremble of the hand is one."""


@dataclass(frozen=True)
class AnnotateConfig:
    """How a clip is read.

    Attributes:
        fps: moments a second; RAD's and Bridge's data have 5.
        size: side of the episode's frames, pixels.
        pad: keep whole pictures between bars; otherwise the middle square of each.
        side: whose hand acts, "left" or "right"; None takes the one that moves.
        most_gap: moments without a hand that are filled in between two sightings; without a thing, five (`PathConfig.gap`).
        looks: pictures a moment in which hands are looked for, as far as the video has them: more of them err less.
        axes: what the picture's directions mean.
        palm: metres from the wrist to the middle finger's base, which gives the scale: a child's is 0.05, a large one 0.12.
        depth: believe the hand's size as `axes.nearer`.
        moves: MOVE from the "way" to the end of the subtask where it is known, as the tabletop's own and as MOVE REASONING tells
            it, or everywhere by ECoT's "window".
        window, threshold: of primitives by window, seconds and metres (`radlite.annotate.motion.moves`).
        box_threshold: score that a box needs, 0 to 1; None takes what is usual (`object_tracks`).

    Raises:
        RadliteError: a number that no clip, hand or score can have.
    """

    fps: float = 5.0
    size: int = 256
    pad: bool = True
    side: str | None = None
    most_gap: int = 3
    looks: int = 6
    axes: Axes = ABOVE
    palm: float = PALM
    depth: bool = False
    moves: Moves = "way"
    window: float = 0.6
    threshold: float = 0.03
    box_threshold: float | None = None

    def __post_init__(self) -> None:
        check_numbers(self.fps, self.fps, self.size)
        if self.moves not in get_args(Moves):
            raise RadliteError("moves by 'way' or 'window'", quoted(self.moves), "ECoT's are by window, the tabletop's by way")
        if self.side not in (None, *SIDES):
            raise RadliteError("a side of 'left', 'right' or None", quoted(self.side), "None takes the hand that moves")
        for name, (least, most, unit) in RANGES.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and least <= value <= most):  # a NaN is in no range
                raise RadliteError(f"{name} from {least:g} to {most:g}{unit}", quoted(value), "leave it out for the usual one")
        if self.box_threshold is not None and not 0 <= self.box_threshold <= 1:
            raise RadliteError("a box threshold from 0 to 1", quoted(self.box_threshold), "ECoT has 0.3")
        for name, least in (("most_gap", 0), ("looks", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise RadliteError(f"{name} as a whole number from {least} on", quoted(value), "leave it out for the usual one")


@dataclass(frozen=True, eq=False)
class Annotation:
    """A clip and what each stage made of it; `episode` is what training reads.

    Attributes:
        clip: T moments.
        hands: all hands of each.
        evidence: the acting hand's track, the things' tracks, motion.
        episode: with T chains.
        seconds: stage -> how long it took when it was done.
    """

    clip: Clip
    hands: list[tuple[Hand, ...]]
    evidence: Evidence
    episode: Episode
    seconds: dict[str, float] = field(default_factory=dict)


def annotate(
    video: str | Path,
    instruction: str,
    hands: HandDetector,
    objects: ObjectDetector | None = None,
    narrator: Narrator | None = None,
    names: Sequence[str] | None = None,
    config: AnnotateConfig | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    caption: str | None = None,
) -> Annotation:
    """Annotates one clip of a hand.

    Args:
        video: a video file, or a folder of pictures.
        instruction: what is done in it.
        hands: finds hands.
        objects: finds things; None leaves boxes out of the chains.
        narrator: puts it into words; by default rules.
        names: of the things to look for; by default those that the instruction names, and the caption.
        config: how the clip is read.
        cache: folder in which finished stages are kept.
        progress: show bars.
        caption: what is to be seen in the clip. Its things are looked for, too, and told where they are seen; what is grasped,
            and where it goes, is chosen among those of the instruction where any of these was found.

    Raises:
        RadliteError: a clip that cannot be read, an instruction that cannot stand in a chain, no hand in the clip, or what a
            stage raises.
    """
    config, instruction = config or AnnotateConfig(), spoken(instruction)
    clip = load_clip(video, config.fps, config.size, config.pad)
    told = names is None  # by the words alone
    names = names_of(instruction, caption) if told else tuple(names)
    bystanders = names[len(object_names(instruction)) :] if told else ()
    steps, looks = _Steps(clip, cache, progress), clip.looks(config.looks, getattr(hands, "rate", np.inf))
    seen = [tuple(map(_hand, found)) for found in steps.run("hands", [_identity(hands), looks], lambda: [
        [{"landmarks": np.round(h.landmarks, 5).tolist(), "side": h.side, "score": round(float(h.score), 4)} for h in found]
        for found in hands.detect(steps.pictures("hands", looks), clip.fps * looks)
    ])]  # fmt: skip
    found = [tuple(Found(n, tuple(b), s) for n, b, s in things) for things in steps.run(
        "objects", [_identity(objects), names], lambda: [
            [(f.name, [round(float(v), 5) for v in f.box], round(float(f.score), 4)) for f in things]
            for things in objects.detect(steps.pictures("objects"), names)
    ])] if objects is not None and names else None  # fmt: skip
    gripper = gripper_track(seen, clip.view, config.side, most_gap=config.most_gap, looks=looks, moments=len(clip))
    evidence = evidence_of(clip, instruction, gripper, found, names, config)
    words = narrator or RuleNarrator()
    key = [_identity(words), instruction, config.size, config.pad, hashlib.sha256(repr(_told(evidence)).encode()).hexdigest()]
    key += [bystanders] if bystanders else []
    texts = steps.run("words", key, lambda: [chain.to_text() for chain in _narrated(words, evidence, bystanders)])
    chains = [Reasoning.from_text(text) if text else None for text in texts]
    name = clip.source.resolve().name.encode("utf-8", "backslashreplace").decode()
    meta = {"clip": name, "hands": type(hands).__name__, "narrator": type(words).__name__}
    episode = Episode(instruction, clip.frames, chains, "human", fps=clip.fps, meta=meta)
    episode.validate()
    return Annotation(clip, seen[::looks], evidence, episode, steps.seconds)


def names_of(instruction: str, caption: str | None = None) -> tuple[str, ...]:
    """The things that an instruction names, and behind them those that only the caption does, each once."""
    return tuple(dict.fromkeys((*object_names(instruction), *object_names(caption or ""))))


def _narrated(words: Narrator, evidence: Evidence, bystanders: Sequence[str]) -> list[Reasoning]:
    """Chains with every box, in which a thing that only the caption names is no goal, however near something is let go."""
    acting = tuple(track for track in evidence.objects if track.name not in bystanders)
    if len(acting) == len(evidence.objects) or not any(track.seen.any() for track in acting):
        return words.narrate(evidence)
    chains = words.narrate(replace(evidence, objects=acting))
    return [chain.replace(bboxes=all_.bboxes) for chain, all_ in zip(chains, measured(evidence), strict=True)]


def evidence_of(
    clip: Clip, instruction: str, gripper: GripperTrack, found: Sequence[Sequence[Found]] | None, names: Sequence[str],
    config: AnnotateConfig,
) -> Evidence:  # fmt: skip
    """Tracks and motion of a clip, from what detectors found in it."""
    rule = {"window": config.window, "threshold": config.threshold}
    motion = motion_in_view(gripper, clip.fps, config.axes, config.palm, config.depth, **rule)
    said = motion.moves
    if config.moves == "way":
        said = tuple(way or seen for way, seen in zip(moves_on_the_way(motion), motion.moves, strict=True))
    least = {} if config.box_threshold is None else {"threshold": config.box_threshold}
    tracks = object_tracks(found, clip.view, names, **least) if found is not None else ()
    return Evidence(instruction, clip.frames, clip.fps, gripper, tuple(tracks), said, motion)


class _Steps:
    """The stages of one clip, stored under its bytes."""

    def __init__(self, clip: Clip, cache: str | Path | None, progress: bool) -> None:
        self.clip, self.progress = clip, progress
        self.stages = Stages(Path(cache) / digest(clip.source)[:24]) if cache is not None else None
        self.seconds: dict[str, float] = {}

    def run(self, name: str, key: list, work) -> list:
        if self.stages is None:
            return work()
        whole = {"version": VERSION, "fps": self.clip.fps, "of": key}
        stored = self.stages.run(name, whole, lambda: {"found": work()})
        self.seconds[name] = stored["seconds"]
        return stored["result"]["found"]

    def pictures(self, label: str, looks: int = 1) -> Iterator[np.ndarray]:
        several = self.clip.pictures(looks)
        return iter(tqdm(several, label, len(self.clip) * looks, unit="picture", disable=not self.progress, leave=False))


def digest(source: Path) -> str:
    """SHA-256 of a clip: of a folder, of the pictures in it by order."""
    total = hashlib.sha256()
    for path in picture_files(source) if source.is_dir() else [source]:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _identity(stage: Any) -> str:
    """What a stage's answers depend on besides its input."""
    return str(getattr(stage, "identity", None) or type(stage).__name__)


def _hand(stored: dict) -> Hand:
    return Hand(np.array(stored["landmarks"], np.float32).reshape(-1, 3), stored["side"], stored["score"])


def _told(evidence: Evidence) -> list:
    """The part of the evidence that words are made of, as plain numbers."""
    arrays = [evidence.gripper.points, evidence.gripper.open, *(track.boxes for track in evidence.objects)]
    path = [] if evidence.motion is None else [evidence.motion.path, evidence.motion.subtasks]
    return [*(np.asarray(a).tolist() for a in (*arrays, *path)), [t.name for t in evidence.objects], evidence.moves]
