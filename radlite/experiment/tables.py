"""The tables as markdown: counts with intervals, tests, the paper's figures beside ours, and what it does and does not show.

Everything with a figure in it is computed from the cells; only what a table can and cannot tell is written here.
"""

from __future__ import annotations

from collections.abc import Sequence

from radlite.experiment import paper
from radlite.experiment.arms import ARMS
from radlite.experiment.cells import TABLES
from radlite.experiment.results import REFERENCE, Count, Results, compare, name_of, p_text, paired

AXIS_NAMES = {"pair_in_new_scene": "known pair, new scene", "object_in_new_scene": "new object, new scene",
              "base_object": "object of the base only"}  # fmt: skip
PLACES = {"home": "clips from the robot's environment", "elsewhere": "clips from another"}
FIELDS = ("task", "plan", "bboxes_iou", "subtask_reason_cm", "subtask", "move_reason_cm", "move", "gripper_px", "action_cm")
FIELD_NAMES = {"bboxes_iou": "boxes (overlap)", "gripper_px": "gripper (pixels off)", "action_cm": "action (cm off)",
               "subtask_reason_cm": "subtask reasoning (cm off)", "move_reason_cm": "move reasoning (cm off)"}  # fmt: skip

# which rows each table compares, in sentences under it
COMPARED: dict[str, tuple[tuple[tuple[str, str], tuple[str, str]], ...]] = {
    "transfer": tuple(((a, ""), (b, "")) for a, b in (
        ("ecot", "floor"), ("rad", "ecot"), ("ecot-gt", "ecot"), ("rad", "ecot-gt"), ("rad", "rad-a"), ("rad", "rad-shuffled"),
        ("rad", "rad-annotated"), ("rad", "pretrain"), ("rad", "dropout"), ("oracle", "rad"))
    ) + ((("dropout", ""), ("dropout", "without reasoning")),),
    "unseen": ((("rad", ""), ("ecot", "")), (("rad", ""), ("rad-shuffled", "")), (("oracle", ""), ("rad", ""))),
    "environment": ((("rad", "elsewhere"), ("ecot", "")), (("rad", ""), ("rad", "elsewhere"))),
    "scaling": tuple((("rad", f"{n} clips {place}"), ("ecot", "0 clips")) for n in (25, 800) for place in PLACES)
        + tuple((("rad", f"800 clips {place}"), ("rad", f"100 clips {place}")) for place in PLACES)
        + ((("rad", "800 clips home"), ("rad", "800 clips elsewhere")),),
}  # fmt: skip

_ALIKE = "All rows are trained in the same number of steps, told below, and are to be compared with each other only."
NOTES: dict[str, str] = {
    "transfer": "Every trained arm but `oracle` has the same robot demonstrations, and all act in the same scenes. It shows "
        "what action-free clips are worth here, and `rad-shuffled` and `ecot-gt` tell whether that is due to more samples, to "
        "places, or to words that fit the picture. `rad-annotated` has the chains that the annotation pipeline writes from "
        "detectors that err (hands by 2% of the picture, edges of boxes by 3%, a tenth of the frames without a hand). `oracle` "
        "says how much more actions on these tasks would give. It does not show that hands in a simulator, drawn and in the "
        "other arms annotated without error, are like people on video, and one training run an arm says little about another: "
        "where there are several seeds, look at how far they lie apart before you look at the interval.",
    "reasoning": "Each field is judged on the chain that the policy writes by itself, on frames of clips that nobody has trained "
        "on; the human clips show the three human-only axes, the robot's its own tasks. A field whose accuracy on the human "
        "clips rises with success is one that may carry the transfer; that they rise together does not prove it. The two reasons "
        "are judged by their lengths: the largest error of a chain, median over frames. Plans are judged on all frames, also "
        "those from which one can no longer see where a thing stood.",
    "unseen": "Nobody has shown these tasks. The axes are not the paper's, which had other objects and kitchens: here a pair or "
        "an object that human clips show is put on a tablecloth that other human clips show, or the object is one of which only "
        "the base has pictures. It tells whether pieces learnt from different clips join; it does not tell about things that "
        "no part of the policy has met.",
    "faithfulness": "The policy's own chain is changed and given back on the same picture. *Turned round*: the longer horizontal "
        "direction in MOVE REASONING and MOVE is replaced by its opposite; it counts where the action goes at least half a "
        "centimetre the one way before and the other way after. *Reworded*: the same said otherwise; *repeated*: the same "
        "chain, given instead of written. Chains that name no way of 3 cm or more are left out, so the frames differ between "
        "arms. It shows what the action reads, not whether what it reads is right.",
    "environment": "The human clips come from other tables, another lamp and another camera, the same tasks and things; the "
        "robot is tested where it was trained. New tablecloths are left out: no clip from elsewhere shows them. One other "
        "environment is one sample of environments. " + _ALIKE,
    "ratio": "The batch keeps its size, so a human sample takes the place of a robot sample; the samples without a picture stay. "
        "The paper does not give its ratio. One training run a point: a bump of a few points is chance. " + _ALIKE,
    "scaling": "Successes on new objects, as in the paper. The number of clips changes and nothing else: with few clips each is "
        "seen more often. None is `ecot`, the same training in both columns. One training run a point. " + _ALIKE,
}  # fmt: skip


def markdown(table: str, results: Results) -> str:
    """A table with its heading, its sentences and its paragraph; "" where there are no cells of it."""
    cells = results.where(table=table)
    if not cells:
        return ""
    head, rows = _FORMS.get(table, _successes)(table, cells, results)
    lines = [f"### {table}: {TABLES[table]}", "", _row(head), _row(["---"] * len(head)), *map(_row, rows), ""]
    told = [compare(cells, *pair) for pair in COMPARED.get(table, ())] + [more(cells) for more in _TOLD.get(table, ())]
    lines += [f"- {sentence}" for sentence in told if sentence]
    lines += [""] * any(told) + [NOTES[table], "", _how(cells), ""]
    return "\n".join(lines)


def _read(cells: Results) -> str:
    """How many frames of its clips each training in `scaling` reads: of more clips than hold as many it sees a part."""
    frames = sorted({c.get("train_samples", {}).get("human", 0) for c in cells} - {0})
    many = " or ".join(map(str, frames))
    return f"Each training with clips reads {many} frames of them, some again where there are fewer." if frames else ""


def _paper_scaling(cells: Results) -> str:
    """The paper's own figures for `scaling`, of one task: no place in our table, whose numbers of clips are others."""
    counts = [f"{arm}, {clips}: {s:g}/{n}" for arm, of in paper.SCALING.items() for clips, (s, n) in of.items()]
    return f"The paper, one task: {'; '.join(counts)}."


_TOLD = {"scaling": (_read, _paper_scaling)}


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(c) for c in cells) + " |"


def _how(cells: Results) -> str:
    steps = sorted({c["train_steps"] for c in cells} - {0})
    most, least = max(c["trials"] for c in cells), min(c["trials"] for c in cells)
    each = f"{most}" if most == least else f"{least} to {most}"
    seeds = ", ".join(map(str, sorted(cells.values("seed"))))
    return (f"*{each} trials a cell, seeds {seeds}, training of {' or '.join(map(str, steps))} steps; "
            "Wilson 95% intervals, Fisher's exact test, Newcombe's interval of differences.*")


def _successes(table: str, cells: Results, results: Results) -> tuple[list[str], list[list]]:
    axes = cells.values("axis")
    axes.sort(key=lambda a: list(AXIS_NAMES).index(a) if a in AXIS_NAMES else -1)
    seeded = any(len(cells.where(arm=a, variant=v).values("seed")) > 1 for a, v in cells.rows())
    theirs = table in paper.TABLES
    head = ["arm", "trained on", *(AXIS_NAMES.get(a, a.replace("_", " ")) for a in axes), "all", f"against {REFERENCE}"]
    head += (["all, by seed"] if seeded else []) + (["paper, all", "paper, against ecot"] if theirs else [])
    rows = []
    for arm, variant in cells.rows():
        mine = cells.where(arm=arm, variant=variant)
        row = [name_of(arm, variant), ARMS[arm].about, *(_count(mine.where(axis=a)) for a in axes)]
        row += [_count(mine, bold=True) if set(mine.values("axis")) == set(axes) else "-", _against(cells, arm, variant)]
        if seeded:
            seeds = sorted(mine.values("seed"))
            row.append(", ".join(f"{100 * mine.count(seed=s).rate:.0f}%" for s in seeds) if len(seeds) > 1 else "")
        rows.append(row + (_papers(table, arm, variant) if theirs else []))
    return head, rows


def _count(cells: Results, bold: bool = False) -> str:
    if not cells:
        return "-"
    text = str(cells.count())
    return f"**{text}**" if bold else text


def _against(cells: Results, arm: str, variant: str) -> str:
    """The p-value against the reference arm, on the axes and seeds that both have."""
    if (arm, variant) == (REFERENCE, ""):
        return ""
    counts = paired(cells, (arm, variant), (REFERENCE, ""))
    return p_text(counts[0].p(counts[1])) if counts else "-"


def _papers(table: str, arm: str, variant: str) -> list[str]:
    found, reference = paper.pooled(table, arm), paper.pooled(table, REFERENCE)
    # the paper's rad in the table environment is trained on clips from elsewhere
    if found is None or variant != ("elsewhere" if table == "environment" and arm == "rad" else ""):
        return ["", ""]
    text = f"{100 * found[0] / found[1]:.0f}%, {found[0]:g}/{found[1]}"
    if arm == REFERENCE:
        return [text, ""]
    if any(s != int(s) for s, _ in (found, reference)):
        return [text, "half points"]
    return [text, p_text(Count(int(found[0]), found[1]).p(Count(int(reference[0]), reference[1])))]


def _reasoning(table: str, cells: Results, results: Results) -> tuple[list[str], list[list]]:
    head = ["arm", "clips of", *(FIELD_NAMES.get(f, f) for f in FIELDS), "success, transfer"]
    rows = []
    for cell in cells:
        told = [cell["metrics"].get(f) for f in FIELDS]
        acted = results.where(table="transfer", arm=cell["arm"], variant="", seed=cell["seed"])
        rows.append([cell["arm"], cell["axis"], *(_figure(f, v) for f, v in zip(FIELDS, told, strict=True)),
                     str(acted.count()) if acted and cell["axis"] == "human" else ""])  # fmt: skip
    return head, rows


def _figure(field: str, value: float | None) -> str:
    if value is None:
        return ""
    if field.endswith(("_px", "_cm")):
        return f"{value:.1f}"
    return f"{value:.2f}" if field.endswith("_iou") else f"{100 * value:.0f}%"


def _faithful(table: str, cells: Results, results: Results) -> tuple[list[str], list[list]]:
    head = ["arm", "turned round: action reverses", "turned round: action changes", "reworded: changes", "repeated: changes",
            "effect of turning, cm", "of rewording, cm", "of repeating, cm"]  # fmt: skip
    rows = []
    for cell in cells:
        m, n = cell["metrics"], cell["trials"]
        shares = [Count(m[k], n) for k in ("changed", "reworded_changed", "repeated_changed")]
        sizes = [f"{m[k]:.2f}" if k in m else "" for k in ("effect_cm", "reworded_cm", "repeated_cm")]
        rows.append([cell["arm"], Count(cell["successes"], n), *shares, *sizes])
    return head, rows


def _ratio(table: str, cells: Results, results: Results) -> tuple[list[str], list[list]]:
    axes = cells.values("axis")
    head = ["robot to human", *(a.replace("_", " ") for a in axes), "all"]
    rows = []
    for arm, variant in sorted(cells.rows(), key=lambda r: (cells.where(arm=r[0], variant=r[1])[0]["x"], r)):
        mine = cells.where(arm=arm, variant=variant)
        rows.append([variant, *(_count(mine.where(axis=a)) for a in axes), _count(mine, bold=True)])
    return head, rows


def _scaling(table: str, cells: Results, results: Results) -> tuple[list[str], list[list]]:
    rows = [[x, *(_count(at_place(cells, place).where(x=x)) for place in PLACES)] for x in sorted(set(cells.values("x")))]
    return ["human clips", *PLACES.values()], rows


def at_place(cells: Results, place: str) -> Results:
    """The cells of `scaling` on the curve of one environment; none is where both begin."""
    return Results(c for c in cells if c["x"] == 0 or c["variant"].endswith(place))


_FORMS = {"reasoning": _reasoning, "faithfulness": _faithful, "ratio": _ratio, "scaling": _scaling}

