"""What the paper reports: successes read off its figures, ten trials a task (Clark et al., CoRL 2025). It gives no intervals."""

from __future__ import annotations

Counts = dict[str, dict[str, tuple[float, int]]]  # arm -> axis -> successes (half points occur), trials

TRANSFER: Counts = {
    "ecot": {"compositional": (15, 30), "new_object": (5, 20), "new_scene": (7, 30)},
    "ecot-gt": {"compositional": (16, 30), "new_object": (6, 20), "new_scene": (6, 30)},
    "rad-a": {"compositional": (22, 30), "new_object": (10, 20), "new_scene": (11, 30)},
    "rad": {"compositional": (20, 30), "new_object": (10, 20), "new_scene": (15, 30)},
}
"""Tasks seen only in human video."""

UNSEEN: Counts = {
    "ecot": {"compositional": (9, 40), "new_object": (8, 40), "new_scene": (4, 20)},
    "rad": {"compositional": (11, 40), "new_object": (15, 40), "new_scene": (10, 20)},
}
"""Tasks in neither source; the paper's axes here are not ours, so only the pooled counts stand beside ours."""

ENVIRONMENT: Counts = {"ecot": {"all": (12.5, 40)}, "ecot-gt": {"all": (14, 40)}, "rad": {"all": (19, 40)}}
"""Human clips from a new table-top, robot tested in its own."""

SCALING: Counts = {
    "ecot": {"40 clips": (2, 10)},
    "rad": {"40 clips": (4, 10), "+ 100 in-domain": (7, 10), "+ 250 out-of-domain": (6.5, 10)},
}
"""One task, "pick up the tape"."""

TABLES: dict[str, Counts] = {"transfer": TRANSFER, "unseen": UNSEEN, "environment": ENVIRONMENT}


def pooled(table: str, arm: str) -> tuple[float, int] | None:
    """The paper's successes and trials of an arm over all tasks of a table, if it has them."""
    cells = TABLES.get(table, {}).get(arm)
    return (sum(s for s, _ in cells.values()), sum(n for _, n in cells.values())) if cells else None
