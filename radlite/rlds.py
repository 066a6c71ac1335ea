"""Bridge V2 as it is published for training, RLDS episodes in TFRecord shards, into a dataset of radlite.

`radlite.rlds_episode` knows what is in a record and what ECoT makes of it; `radlite.dataset_writer` writes. Here the shards
are found, gone through one record at a time, and counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.tfrecord import read_records
from radlite.rlds_episode import RldsConfig, read_episode

EXAMPLES = 5  # of refused records that are told

_SHARD = re.compile(r"(?P<name>.+)-(?P<split>[^-]+)\.tfrecord(?:-(?P<number>\d{5})-of-(?P<count>\d{5}))?", re.DOTALL)


@dataclass
class ImportReport:
    """How an import went; `print` it.

    Attributes:
        dataset: what was written.
        records: how many were read.
        left_out: reason -> records that are whole and of no use: no instruction, no picture of this camera, too few steps.
        refused: how many were bad (`strict=False`).
        examples: why, for the first of them; hostile text is escaped.
        missing: shards that the names of the others promise.
    """

    dataset: DatasetInfo | None = None
    records: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    examples: list[str] = field(default_factory=list)
    missing: int = 0

    def __str__(self) -> str:
        info = self.dataset
        lines = [f"{info.num_episodes:,} episodes with {info.num_frames:,} frames, out of {self.records:,} records"]
        lines += [f"left out: {count:,} with {reason}" for reason, count in self.left_out.items()]
        lines += [f"refused: {self.refused:,}"] * bool(self.refused)
        lines += [f"  {text}" for text in self.examples]
        lines += [f"not here: {self.missing:,} more shards of this split"] * bool(self.missing)
        return "\n".join(lines)


def import_rlds(
    source: str | Path,
    out: str | Path,
    config: RldsConfig | None = None,
    *,
    split: str = "train",
    episodes: int | None = None,
    strict: bool = True,
    overwrite: bool = False,
    image_format: str = "png",
    license: str = "cc-by-4.0",
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Writes the episodes of a folder of shards as a dataset, one in memory at a time, whole or not at all.

    Args:
        source: the folder that holds `NAME-SPLIT.tfrecord-00000-of-01024` and so on, or one such file. Some of the shards
            will do.
        out: the folder to make.
        split: "train" or "val".
        episodes: write that many, the first ones; TFDS has shuffled them.
        strict: stop at the first record that is not as it should be, rather than leave it out and count it. Where the
            length of a record is wrong, everything behind it is lost, and that is an error in any case.
        overwrite, image_format, license: as for `write_dataset`; the licence is Bridge V2's by default.
        progress: is told the number of episodes after each one.

    Raises:
        RadliteError: there are no such shards, a record is bad, no episode is left, or the disk refuses; names file, record
            and feature, and nothing was changed at `out`.
    """
    if episodes is not None and episodes < 1:
        raise RadliteError("at least one episode", f"{episodes}", "leave `episodes` out for all of them")
    config = config or RldsConfig()
    shards, missing = find_shards(Path(source), split)
    report = ImportReport(missing=missing)

    def wanted() -> Iterator[Episode]:
        count = 0
        for episode in read_episodes(shards, config, report, strict):
            yield episode
            count += 1
            if progress is not None:
                progress(count)
            if count == episodes:
                return
        if not count:
            told = [f"{number} with {reason}" for reason, number in report.left_out.items()] + report.examples
            found = f"{report.records} records, none of use: {'; '.join(told)}"
            raise RadliteError(f"episodes in {source}", found, "choose another camera or split, or see what wrote them")

    name = re.sub(r"[^\w.-]", "_", shards[0].name.partition(".tfrecord")[0])
    origin = (
        f"`{name}` in RLDS, imported by `radlite data import-rlds`: camera {re.sub(r'[^a-z0-9_]', '_', config.camera)}, first "
        f"step {'dropped' if config.drop_first_step else 'kept'}, actions {config.actions}, gripper {config.gripper}."
    )
    report.dataset = write_dataset(
        out, wanted(), image_format=image_format, overwrite=overwrite, origin=origin, license=license
    )
    return report


def find_shards(source: Path, split: str) -> tuple[list[Path], int]:
    """The shards of a split in the order of their names, and how many more these names promise.

    Raises:
        RadliteError: there is none, or they are of several datasets.
    """
    if source.is_file():
        return [source], 0
    if not source.is_dir():
        raise RadliteError(f"a folder of shards at {source}", "no such folder", "check the path")
    found = [(path, m) for path in sorted(source.rglob("*.tfrecord*")) if (m := _SHARD.fullmatch(path.name))]
    mine = [(path, m) for path, m in found if m["split"] == split and path.is_file()]
    if not mine:
        splits = sorted({m["split"] for _, m in found})
        fix = f"choose a split of {quoted(splits)}" if splits else "name the folder that holds dataset_info.json"
        raise RadliteError(f"files NAME-{split}.tfrecord-00000-of-00001 in {source}", "none", fix)
    kinds = {(path.parent, m["name"], m["count"]) for path, m in mine}
    if len(kinds) > 1:
        some = " and ".join(sorted(quoted(f"{folder / name} (of {count})") for folder, name, count in kinds)[:2])
        raise RadliteError(f"shards of one dataset in {source}", some, "name the folder of one of them")
    return [path for path, _ in mine], max(0, int(mine[0][1]["count"] or 1) - len(mine))


def read_episodes(
    shards: Iterable[Path], config: RldsConfig | None = None, report: ImportReport | None = None, strict: bool = True
) -> Iterator[Episode]:
    """The episodes of some shards; what is left out is counted in `report`. Arguments and errors as for `import_rlds`."""
    config, report, shape = config or RldsConfig(), report or ImportReport(), None
    for path in shards:
        for number, data in read_records(path):
            report.records += 1
            try:
                episode = _located(data, config, shape, f"record {number} of {path}")
            except RadliteError as error:
                if strict:
                    fix = f"{error.fix}, or leave such records out with --skip-bad (strict=False)"
                    raise RadliteError(error.expected, error.found, fix) from error
                report.refused += 1
                if len(report.examples) < EXAMPLES:
                    report.examples.append(f"expected {error.expected}; found {error.found}")
                continue
            if isinstance(episode, str):
                report.left_out[episode] = report.left_out.get(episode, 0) + 1
                continue
            shape = episode.frames.shape[1:]
            yield episode


def _located(data: bytes | RadliteError, config: RldsConfig, shape: tuple[int, int, int] | None, where: str) -> Episode | str:
    if isinstance(data, RadliteError):
        raise data
    try:
        return read_episode(data, config, shape)
    except RadliteError as error:
        raise RadliteError(error.expected, f"{error.found} in {where}", error.fix) from error
