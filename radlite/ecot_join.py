"""Join ECoT's annotations to the episodes of Bridge V2 that they were made for, and say how well that went.

The key is `file_path` and `episode_id` together, as in ECoT's own loader. An `episode_id` alone numbers the episodes inside
one file and fits an episode of almost every other file, too; such a join goes wrong in silence. Hence the second look: the
instruction that ECoT noted has to be the episode's, and where too few agree nothing is written.

Chains wait for their episode as compressed JSON in an unnamed temporary file: memory holds some numbers an episode, however
much was annotated, and the system removes the file whatever happens.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.ecot import EcotEpisode, read_ecot
from radlite.formats.lerobot import LeRobotReader
from radlite.formats.staging import disk_errors
from radlite.reasoning import Reasoning

EXAMPLES = 3


@dataclass(frozen=True)
class BridgeEpisode:
    """What a join knows of an episode of Bridge V2: its key, its instruction ("" for none) and its number of frames."""

    file_path: str
    episode_id: str
    instruction: str
    num_frames: int


@dataclass(frozen=True)
class JoinReport:
    """How a join went; `print` it.

    Attributes:
        matched: pairs of one record and one episode.
        ambiguous_records, ambiguous_episodes: those that share their key with another one of their kind, and what lies
            under that key on the other side. None of them gets a chain.
        unmatched_records, unmatched_episodes: those without a counterpart.
        refused_records: those that could not be read (`strict=False`); their episodes count as unmatched.
        without_reasoning: matched records that hold no chain.
        steps, steps_out_of_range: chains of the matched records, and those beyond the last frame, which are left out.
        agreed, compared: matched pairs with the same instruction, out of those where both have one. Case, spaces and a
            final full stop make no difference.
        same_length, lengths: matched pairs where `n_steps` is the number of frames, out of those that tell it. Where they
            differ by one, a transform may have dropped the first frame, and each chain stands one frame too late.
        examples: the first pairs that disagree and records that were refused, and one unmatched key of each side; hostile
            text is escaped.
    """

    matched: int = 0
    ambiguous_records: int = 0
    ambiguous_episodes: int = 0
    unmatched_records: int = 0
    unmatched_episodes: int = 0
    refused_records: int = 0
    without_reasoning: int = 0
    steps: int = 0
    steps_out_of_range: int = 0
    agreed: int = 0
    compared: int = 0
    same_length: int = 0
    lengths: int = 0
    examples: tuple[str, ...] = ()

    @property
    def agreement(self) -> float | None:
        """Share of matched pairs with the same instruction, 0 to 1; None where there was nothing to compare."""
        return self.agreed / self.compared if self.compared else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, `agreement` included."""
        return {**asdict(self), "examples": list(self.examples), "agreement": self.agreement}

    def table(self) -> str:
        """The counts as text with one line each."""
        share = "" if self.agreement is None else f" ({100 * self.agreement:.1f}%)"
        rows = [
            ("", "records", "episodes"),
            ("matched", self.matched, self.matched),
            ("ambiguous", self.ambiguous_records, self.ambiguous_episodes),
            ("unmatched", self.unmatched_records, self.unmatched_episodes),
            ("refused", self.refused_records, "-"),
        ]
        facts = [
            ("same instruction", f"{self.agreed} of {self.compared} matched pairs that have both{share}"),
            ("same length", f"{self.same_length} of {self.lengths} matched pairs that tell it"),
            ("without reasoning", f"{self.without_reasoning} of {self.matched} matched records"),
            ("chains", f"{self.steps}, and {self.steps_out_of_range} beyond the last frame, left out"),
        ]
        lines = [f"{name:<18}{records:>10}{episodes:>10}" for name, records, episodes in rows]
        return "\n".join([*lines, "", *(f"{name:<18}{fact}" for name, fact in facts), *self.examples])

    __str__ = table


class EcotJoin:
    """A finished join: `report`, and the chains of one episode at a time until it is closed (use `with`)."""

    def __init__(self, report: JoinReport, file: Any, places: dict[int, tuple[int, int, int]]) -> None:
        self.report, self._file, self._places = report, file, places

    def chains(self, i: int) -> list[Reasoning | None] | None:
        """The chains of episode i, one a frame and None for a frame that has none; None for an episode without a match."""
        if i not in self._places:
            return None
        start, size, num_frames = self._places[i]
        self._file.seek(start)
        steps = json.loads(zlib.decompress(self._file.read(size)))
        return [Reasoning.from_dict(steps[str(k)]) if str(k) in steps else None for k in range(num_frames)]

    def close(self) -> None:
        """Give the temporary file back."""
        self._file.close()

    def __enter__(self) -> EcotJoin:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Slot:
    """What is known so far of one key that the episodes have."""

    __slots__ = ("episode", "episodes", "records", "refused", "place", "counts", "example")

    def __init__(self, episode: int) -> None:
        self.episode, self.episodes, self.records, self.refused = episode, 0, 0, False
        self.place, self.counts, self.example = None, None, None


def join_ecot(records: Iterable[EcotEpisode], episodes: Sequence[BridgeEpisode], threshold: float = 0.9) -> EcotJoin:
    """Find the record of every episode.

    Args:
        records: what `read_ecot` gives, or several of it one after the other.
        episodes: all of the dataset.
        threshold: the least share of matched pairs with the same instruction, 0 to 1. Pairs that disagree keep their chains:
            the share says whether the keys can be trusted as a whole. 0 also accepts pairs without instructions.

    Raises:
        RadliteError: nothing matches, too few instructions agree or there are none to compare, the disk is full, or whatever
            reading the records raises.
    """
    if not 0 <= threshold <= 1:
        raise RadliteError("a threshold of 0 to 1", repr(threshold), "0.9 asks for nine in ten")
    slots: dict[tuple[str, str], _Slot] = {}
    for i, episode in enumerate(episodes):
        slots.setdefault((episode.file_path, episode.episode_id), _Slot(i)).episodes += 1
    unmatched = refused = 0
    wrong: list[str] = []
    lost: list[str] = []
    with disk_errors(Path(tempfile.gettempdir())):
        file = tempfile.TemporaryFile()
    try:
        for record in records:
            slot = slots.get((record.file_path, record.episode_id))
            if record.error is not None and len(wrong) < EXAMPLES:
                wrong.append(f"refused: {record.error.found}; expected {record.error.expected}")
            if slot is None:
                if record.error is None and not unmatched:
                    lost.append(f"unmatched record: {_key(record)}")
                refused, unmatched = refused + (record.error is not None), unmatched + (record.error is None)
                continue
            slot.records += 1
            slot.refused |= record.error is not None
            if slot.records == slot.episodes == 1 and record.error is None:
                _keep(slot, record, episodes[slot.episode], file)
        lost += [f"unmatched episode: {_key(episodes[s.episode])}" for s in slots.values() if not s.records][:1]
        began = JoinReport(unmatched_records=unmatched, refused_records=refused, examples=(*wrong, *lost))
        report = _report(slots.values(), began)
        _check(report, threshold)
    except BaseException:
        file.close()
        raise
    places = {s.episode: s.place for s in slots.values() if _is_match(s)}
    return EcotJoin(report, file, places)


def annotate_from_ecot(
    dataset: EpisodeDataset,
    json_path: str | Path,
    out: str | Path,
    *,
    threshold: float = 0.9,
    strict: bool = True,
    overwrite: bool = False,
    license: str = "cc-by-4.0",
) -> JoinReport:
    """Write a dataset of Bridge V2 anew with ECoT's chains, one episode in memory at a time, whole or not at all.

    The chains of a matched episode are replaced, absent steps included; the other episodes are written as they are.

    Args:
        dataset: its episodes have `file_path` and `episode_id` in `meta`, as the RLDS copy of Bridge V2 gives them. Episodes
            without are unmatched.
        json_path: ECoT's `embodied_features_bridge.json`.
        out: the folder to make; it may be the one that `dataset` reads.
        threshold: the least share of matched pairs with the same instruction, see `join_ecot`.
        strict: stop at the first record that is not as it should be, rather than leave it out and count it.
        overwrite: replace the dataset at `out`.
        license: for the dataset card; Bridge V2's own by default (ECoT's annotations are under MIT).

    Raises:
        RadliteError: the dataset has no such keys, the JSON cannot be read, the join fails (see `join_ecot`), or the disk
            refuses; nothing was changed at `out`.
    """
    reports = []

    def annotated() -> Iterator[Episode]:
        with join_ecot(read_ecot(json_path, strict), bridge_episodes(dataset), threshold) as joined:
            reports.append(joined.report)
            for i, episode in enumerate(dataset):
                chains = joined.chains(i)
                yield episode if chains is None else replace(episode, reasoning=chains)

    origin = (
        f"Episodes of `{dataset.path.name}` with reasoning from ECoT's `{Path(json_path).name}` (arXiv 2407.08693), joined by "
        "file_path and episode_id with `radlite.ecot_join`."
    )
    write_dataset(out, annotated(), overwrite=overwrite, origin=origin, license=license)
    return reports[0]


def bridge_episodes(dataset: EpisodeDataset) -> list[BridgeEpisode]:
    """What a join needs of every episode, without reading pictures.

    Raises:
        RadliteError: no episode has `file_path` and `episode_id` in its meta, or one has something else there.
    """
    reader = LeRobotReader(dataset.path)
    tasks, found, known = reader.task_index(), [], 0
    for i in range(len(dataset)):
        span, meta = dataset.episode_slice(i), dataset.episode_meta(i)
        file_path, episode_id = meta.get("file_path"), meta.get("episode_id")
        has = file_path is not None and episode_id is not None
        if has and not (isinstance(file_path, str) and type(episode_id) in (int, str)):
            told = quoted({"file_path": file_path, "episode_id": episode_id})
            expected = f"file_path as text and episode_id as a number or text in the meta of {dataset.path}"
            raise RadliteError(expected, f"{told} in episode {i}", "write the dataset again")
        known += has
        # a lone i cannot be any record's key
        key = (file_path, str(episode_id)) if has else ("", f"episode {i}")
        found.append(BridgeEpisode(*key, reader.tasks[tasks[span.start]], span.stop - span.start))
    if not known:
        expected = f"file_path and episode_id in the meta of the episodes of {dataset.path}"
        fix = "take them over from the RLDS copy of Bridge V2: the number of an episode is no substitute"
        raise RadliteError(expected, "neither in any episode", fix)
    return found


def same_instruction(a: str, b: str) -> bool:
    """Whether two instructions are the same but for case, spaces and a final full stop."""
    return _plain(a) == _plain(b)


def _plain(instruction: str) -> str:
    return " ".join(instruction.lower().split()).removesuffix(".").rstrip()


def _keep(slot: _Slot, record: EcotEpisode, episode: BridgeEpisode, file: Any) -> None:
    """Put the record's chains into the file and what the report counts into the slot."""
    steps = {k: chain.to_dict() for k, chain in record.steps.items() if k < episode.num_frames}
    data = zlib.compress(json.dumps(steps, ensure_ascii=False).encode(), 1)
    with disk_errors(Path(tempfile.gettempdir())):
        slot.place = (file.tell(), file.write(data), episode.num_frames)
    compared = bool(record.instruction and episode.instruction.strip())
    agreed = compared and same_instruction(record.instruction, episode.instruction)
    if compared and not agreed:
        slot.example = f"differing: ECoT {quoted(record.instruction)}, dataset {quoted(episode.instruction)}"
    slot.counts = (
        not record.steps, len(steps), len(record.steps) - len(steps), agreed, compared,
        record.num_steps == episode.num_frames, record.num_steps is not None,
    )  # fmt: skip


def _is_match(slot: _Slot) -> bool:
    return slot.records == slot.episodes == 1 and not slot.refused


def _key(one: EcotEpisode | BridgeEpisode) -> str:
    return f"episode {quoted(one.episode_id)} of {quoted(one.file_path)}"


def _report(slots: Iterable[_Slot], began: JoinReport) -> JoinReport:
    """The counts of all slots, on top of those of the records that fit none."""
    counts = asdict(began)
    names = ("without_reasoning", "steps", "steps_out_of_range", "agreed", "compared", "same_length", "lengths")
    differing = []
    for slot in slots:
        if _is_match(slot):
            counts["matched"] += 1
            for name, value in zip(names, slot.counts, strict=True):
                counts[name] += value
            if slot.example and len(differing) < EXAMPLES:
                differing.append(slot.example)
        elif slot.records > 1 or slot.episodes > 1:
            counts["ambiguous_records"] += slot.records
            counts["ambiguous_episodes"] += slot.episodes
        else:
            counts["refused_records"] += slot.refused
            counts["unmatched_episodes"] += 1
    return JoinReport(**{**counts, "examples": (*differing, *began.examples)})


def _check(report: JoinReport, threshold: float) -> None:
    seen = "; ".join(report.examples)
    if not report.matched:
        fix = "compare the two keys: copies of Bridge V2 differ in them"
        raise RadliteError("records and episodes of the same file_path and episode_id", f"no pair ({seen})", fix)
    if (report.agreement or 0) < threshold:
        share = "none" if report.agreement is None else f"{100 * report.agreement:.1f}%, {report.agreed} of {report.compared}"
        expected = f"the same instruction in {100 * threshold:g}% of the matched pairs that have both"
        fix = "the keys may come from another copy of Bridge V2: look at some pairs before you lower the threshold"
        raise RadliteError(expected, f"{share} ({seen})", fix)
