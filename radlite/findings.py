"""What was found wrong with a dataset: `Finding`s of named checks, gathered in a `Report`.

An *error* makes its episode bad, a *remark* does not; `radlite.validate` says what each check looks at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from radlite.formats.card import ACTION_KEY, IMAGE_KEY, REASONING_KEY, STATE_KEY

ERRORS: dict[str, str] = {
    "unreadable": "rows that cannot be read",
    "numbering": "rows of another episode",
    "instruction": "no instruction",
    "notes": "notes that are no JSON",
    "picture": "pictures, broken or of another size",
    "action": "NaN, infinite or missing actions",
    "zeros": "zero-filled actions",
    "state": "NaN, infinite or missing states",
    "chain": "chains that cannot be read",
    "outside": "boxes or points outside the frame",
    "no chain": "human, but no reasoning at all",
    "rate": "frame rate other than told",
}
"""Checks that make an episode bad, with their titles."""

REMARKS: dict[str, str] = {"missing": "missing reasoning", "range": "actions beyond 1 m, pi rad, gripper 0..1"}
"""Checks that are worth a look."""

COLUMNS: dict[str, str] = {
    "numbering": "episode_index", "instruction": "task_index", "notes": "meta", "picture": IMAGE_KEY, "action": ACTION_KEY,
    "zeros": ACTION_KEY, "range": ACTION_KEY, "state": STATE_KEY, "rate": "timestamp",
    **dict.fromkeys(("chain", "outside", "no chain", "missing"), REASONING_KEY),
}  # fmt: skip
"""Check -> the column that it looks at."""


@dataclass
class Finding:
    """One check that found something in one episode.

    Attributes:
        episode: its number.
        check: a key of `ERRORS` or `REMARKS`.
        column: where; "" for rows that cannot be read, of which `detail` names the file.
        step: the first frame of it, counted within the episode.
        frames: how many frames.
        detail: what was found in the first one; holds text of the dataset.
    """

    episode: int
    check: str
    column: str
    step: int
    frames: int
    detail: str


@dataclass
class Report:
    """What lies in a dataset, and what is wrong with it.

    Attributes:
        path, embodiment, fps, image_shape, num_episodes, num_frames: as of `EpisodeDataset`.
        columns: name -> dtype as meta/info.json tells it.
        pictures: whether they were decoded.
        lengths: frames of each episode.
        instructions: instruction -> episodes.
        with_chain: frames with a chain that can be read.
        words: field -> [frames that have it, words in all, most words in one frame].
        vectors: "action", "observation.state" -> {"names", and what `vector_stats` gives} over the finite rows.
        findings: at most one for each episode and check, in the order of the episodes.
    """

    path: str
    embodiment: str
    fps: float
    image_shape: tuple[int, int, int]
    num_episodes: int
    num_frames: int
    columns: dict[str, str]
    pictures: bool
    lengths: list[int]
    instructions: dict[str, int] = field(default_factory=dict)
    with_chain: int = 0
    words: dict[str, list[int]] = field(default_factory=dict)
    vectors: dict[str, dict[str, list]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def bad(self) -> dict[int, list[Finding]]:
        """Bad episode -> its errors."""
        found: dict[int, list[Finding]] = {}
        for finding in self.findings:
            if finding.check in ERRORS:
                found.setdefault(finding.episode, []).append(finding)
        return found

    @property
    def share_bad(self) -> float:
        """Bad episodes as a share of all, 0 to 1."""
        return len(self.bad) / self.num_episodes

    def of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [f for f in self.findings if f.check == check]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with every finding."""
        return {**asdict(self), "bad_episodes": sorted(self.bad), "share_bad": self.share_bad}
