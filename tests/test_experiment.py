"""The experiment: what each arm sees, what is done and what is not done again, and tables that say what the cells say."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlite.annotate.relabel import relabel
from radlite.cli import main
from radlite.errors import RadliteError
from radlite.experiment import paper
from radlite.experiment.arms import ARMS, Training
from radlite.experiment.cells import JUDGED, TABLES, cells
from radlite.experiment.data import DETECTED, RECIPES, SOURCES
from radlite.experiment.embed import embedded
from radlite.experiment.faithful import WAYS, faithfulness, main_way, reworded, turned_round
from radlite.experiment.figures import figure
from radlite.experiment.results import Count, Results, compare
from radlite.experiment.run import Experiment
from radlite.experiment.scale import SCALES, SEEDED
from radlite.experiment.tables import NOTES, markdown
from radlite.reasoning import Reasoning

ROOT = Path(__file__).resolve().parents[1]
FULL, TINY = SCALES["full"], SCALES["tiny"]


# -- cells -----------------------------------------------------------------------------------------------------------
def test_the_full_scale_holds_what_the_tables_promise():
    all_cells = cells(FULL)
    assert len({c.name for c in all_cells}) == len(all_cells) and {c.table for c in all_cells} == set(TABLES)
    transfer = [c for c in all_cells if c.table == "transfer"]
    assert {c.arm for c in transfer} == set(ARMS) and all(c.trials >= 200 for c in transfer)
    for arm in ARMS:
        seeds = {c.seed for c in transfer if c.arm == arm}
        assert seeds == ({0, 1, 2} if arm in SEEDED else {0})
        for seed in seeds:
            assert {c.axis for c in transfer if (c.arm, c.seed) == (arm, seed)} == set(FULL.axes)
    assert all(c.trials >= 100 for c in all_cells)
    assert {c.x for c in all_cells if c.table == "scaling"} == {0, 25, 50, 100, 200, 400, 800}
    assert {c.think for c in transfer if c.arm == "dropout"} == {True, False}


def test_a_measurement_that_stands_in_two_tables_is_made_once(tmp_path):
    all_cells = cells(FULL)
    jobs = Experiment(tmp_path / "out", FULL, tmp_path / "work").jobs(all_cells)
    measured = [j for j in jobs if j.kind == "cell"]
    assert len(measured) == len({c.measures for c in all_cells}) < len(all_cells)
    trainings = [j.what for j in jobs if j.kind == "train"]
    assert len(trainings) == len(set(trainings)) and "floor" not in {t.arm for t in trainings}
    assert {j.what for j in jobs if j.kind == "data"} == {*RECIPES, *SOURCES}
    tables = {c.training: c.table for c in all_cells if c.table in ("environment", "ratio", "scaling")}
    assert len(tables) == 18 and {t.config(FULL).steps for t in tables} == {FULL.short_steps}  # rows that are compared are alike
    assert {t.config(FULL).steps for t in trainings if t.arm != "pretrain" and t not in tables} == {FULL.steps}
    known = {j.key for j in jobs}
    assert all(j.needs <= known for j in jobs)


def test_a_part_can_be_chosen_and_unknown_parts_are_refused():
    some = cells(FULL, ["transfer"], ["rad", "ecot"], ["new_object"], [0, 1], 7)
    assert [(c.arm, c.seed) for c in some] == [("ecot", 0), ("rad", 0), ("ecot", 1), ("rad", 1)]
    assert {(c.axis, c.trials) for c in some} == {("new_object", 7)}
    for wrong in ({"tables": ["table"]}, {"arms": ["arm"]}, {"axes": ["axis"]}):
        with pytest.raises(RadliteError, match="out of"):
            cells(FULL, **wrong)
    with pytest.raises(RadliteError, match="at least one cell"):
        cells(FULL, ["ratio"], ["floor"])


def test_small_is_what_a_class_has_time_for():
    small = cells(SCALES["small"])
    assert [c.arm for c in small] == ["floor", "ecot", "rad", "rad-shuffled", "oracle"]
    assert {(c.axis, c.seed, c.trials, c.table) for c in small} == {("new_object", 0, 50, "transfer")}


# -- arms ------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def open_data(robot, human, tmp_path_factory):
    """Every dataset of the experiment by name, three or four demonstrations each."""
    from radlite.episodes import EpisodeDataset
    from radlite.tabletop.collect import collect

    folder = tmp_path_factory.mktemp("arms")
    for name, count in (("robot_everywhere", 3), ("human_elsewhere", 3)):
        collect(folder / name, count=count, workers=1, progress=False, **RECIPES[name])
    found = {name: EpisodeDataset(folder / name).cache() for name in ("robot_everywhere", "human_elsewhere")}
    relabel(human.path, folder / "human_annotated", DETECTED)
    found["human_annotated"] = EpisodeDataset(folder / "human_annotated").cache()
    return {"robot": robot, "human": human, **found}.__getitem__


def test_all_arms_see_the_same_robot_samples_and_what_their_line_says(open_data):
    ecot = Training("ecot").mixture(FULL, open_data)
    seen = {}
    for name, arm in ARMS.items():
        axis = "new_object" if arm.by_axis else ""
        training = Training(name, axis=axis)
        mixture, config = training.mixture(FULL, open_data), training.config(FULL)
        first = mixture.human_first
        seen[name] = mixture
        assert config.steps == FULL.steps + first and config.restart == first and config.seed == mixture.seed == 0
        if name not in ("bc", "oracle"):
            assert (mixture.indices(first + 3)[0] == ecot.indices(3)[0]).all()
            assert [s.step for s in mixture.blind(first + 3)] == [s.step for s in ecot.blind(3)]
    humans = {name: m.humans_before(m.human_first + 100) for name, m in seen.items()}
    assert {n for n, m in seen.items() if m.human is None} == {"floor", "bc", "ecot", "oracle"}
    assert humans["rad"] == humans["rad-a"] == humans["rad-shuffled"] == humans["rad-annotated"] == humans["ecot-gt"] == 1_100
    assert len(seen["oracle"].batch(0)) == len(seen["rad"].batch(0)) == 21
    assert {s.embodiment for s in seen["oracle"].batch(0)} == {"robot"}
    assert len(seen["bc"].batch(0)) == 34 and seen["bc"].blind(0) == []
    assert {s.embodiment for s in seen["pretrain"].batch(0)} == {"human"} and len(seen["pretrain"].batch(0)) == 21
    assert Training("bc").config(FULL).collate.fields == () and not ARMS["bc"].think
    assert Training("ecot-gt").config(FULL).collate.human_fields == ("gripper",)
    assert Training("dropout").config(FULL).collate.reasoning_dropout == 0.5


def test_the_oracle_does_the_human_clips_tasks_in_their_scenes(open_data):
    """The ceiling differs from rad in the embodiment and its actions, in nothing else."""
    human, robot = open_data("human"), open_data("robot_everywhere")
    assert [human.episode_meta(i) for i in range(3)] == [robot.episode_meta(i) for i in range(3)]
    assert [human[i].instruction for i in range(3)] == [robot[i].instruction for i in range(3)]


def test_variants_change_what_they_name_and_nothing_else(open_data):
    whole, base = Training("rad").mixture(FULL, open_data), Training("rad")
    fewer = replace(base, humans=2).mixture(FULL, open_data)
    assert fewer.human.num_frames < whole.human.num_frames and fewer.humans_before(10) == whole.humans_before(10)
    away = replace(base, environment="elsewhere").mixture(FULL, open_data)
    assert away.human.path != whole.human.path and (away.indices(5)[0] == whole.indices(5)[0]).all()
    for count in FULL.shares:
        mixed = replace(base, human_per_batch=count).mixture(FULL, open_data)
        assert len(mixed.batch(0)) == 21 and sum(s.embodiment == "human" for s in mixed.batch(0)) == count
    names = {t.name for t in (base, replace(base, seed=1), replace(base, humans=2), replace(base, environment="elsewhere"),
                              replace(base, human_per_batch=0), replace(base, steps=320), Training("rad-a", axis="new_scene"))}
    assert len(names) == 7


def test_an_unknown_arm_is_refused():
    with pytest.raises(RadliteError, match="an arm out of floor, bc"):
        Training("rads")


# -- running ---------------------------------------------------------------------------------------------------------
PARTS = (("transfer", ("floor", "bc", "ecot", "pretrain")), ("environment", ("ecot", "rad")), ("reasoning", ("rad",)),
         ("faithfulness", ("rad",)))  # fmt: skip


@pytest.fixture(scope="module")
def ran(base, tmp_path_factory):
    """A finished part of the tiny experiment: (experiment, its cells, cells done)."""
    folder = tmp_path_factory.mktemp("paper")
    experiment = Experiment(folder / "out", replace(TINY, base=str(base)), folder / "work", workers=0)
    chosen = [c for table, arms in PARTS for c in cells(experiment.scale, [table], arms)]
    return experiment, chosen, experiment.run(chosen, progress=False)


def contents(experiment):
    return {p.name: json.loads(p.read_text()) for p in experiment.out.glob("*.json")}


def test_every_cell_is_one_file_that_says_what_was_done(ran):
    experiment, chosen, done = ran
    assert set(contents(experiment)) == {f"{c.name}.json" for c in chosen} and len(done) == len(chosen)
    for cell in chosen:
        found = contents(experiment)[f"{cell.name}.json"]
        assert [found[k] for k in ("table", "arm", "axis", "seed")] == [cell.table, cell.arm, cell.axis, cell.seed]
        assert 0 <= found["successes"] <= found["trials"] and found["metrics"] and found["seconds"] >= 0
        assert found["train_steps"] == (0 if cell.arm == "floor" else 3 if cell.arm == "pretrain" else 2)
        if cell.table not in JUDGED:
            assert found["trials"] == 2 and found["metrics"]["outcomes"].count("1") == found["successes"]
    copied = contents(experiment)["environment__ecot__new_object__seed0.json"]
    assert copied["same_as"] == "transfer__ecot__new_object__seed0"


def test_finished_cells_are_never_done_again(ran, monkeypatch):
    experiment, chosen, _ = ran
    before = {p: p.stat().st_mtime_ns for p in experiment.out.iterdir()}
    monkeypatch.setattr(Experiment, "jobs", lambda *_: pytest.fail("a job") if _[1] else [])
    assert experiment.run(chosen, progress=False) == []
    assert before == {p: p.stat().st_mtime_ns for p in experiment.out.iterdir()}


def test_a_cell_done_again_from_its_seed_counts_the_same(ran):
    experiment, chosen, _ = ran
    names = ("transfer__pretrain__new_object__seed0.json", "reasoning__rad__human__seed0.json")
    before = contents(experiment)
    for name in names:
        (experiment.out / name).unlink()
    again = replace(experiment, workers=1).run(chosen, progress=False)  # in another process this time
    assert {f"{c.name}.json" for c in again} == set(names)
    after = contents(experiment)
    for name in names:
        same = {k: v for k, v in before[name].items() if k not in ("seconds", "same_as")}
        assert {k: v for k, v in after[name].items() if k not in ("seconds", "same_as")} == same


def test_cells_and_work_of_another_experiment_are_not_mixed(ran):
    experiment, chosen, _ = ran
    other = replace(experiment, scale=replace(experiment.scale, steps=3))
    with pytest.raises(RadliteError, match="another steps"):
        other.run(chosen, progress=False)
    with pytest.raises(RadliteError, match="choose another --work"):
        replace(other, out=experiment.out.parent / "elsewhere").run(chosen, progress=False)
    with pytest.raises(RadliteError, match="another trials_asked"):
        experiment.finished(replace(chosen[0], trials=9))


def test_two_runs_in_one_work_folder_are_refused_and_a_dead_one_is_not_in_the_way(ran):
    experiment, chosen, _ = ran
    hold = """import sys, filelock
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()"""
    command = [sys.executable, "-c", hold, str(experiment.work / ".lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(RadliteError, match="another at work there"):
        experiment.run(chosen, progress=False)
    other.kill()
    other.communicate()
    assert experiment.run(chosen, progress=False) == experiment.run(chosen, progress=False) == []


def test_an_error_in_a_process_ends_the_run_and_keeps_the_rest(ran, tmp_path):
    experiment, _, _ = ran
    broken = Experiment(tmp_path / "out", replace(experiment.scale, trials=0), experiment.work)
    for workers in (0, 1):
        with pytest.raises(RadliteError, match="at least one trial"):
            replace(broken, workers=workers).run(cells(broken.scale, ["transfer"], ["floor"]), progress=False)
    assert not list((tmp_path / "out").glob("*.json"))


KILLED = """
import sys
from dataclasses import replace
from radlite.experiment.cells import cells
from radlite.experiment.run import Experiment
from radlite.experiment.scale import SCALES
if __name__ == "__main__":
    scale = replace(SCALES["tiny"], base=sys.argv[1], steps=400, robot_episodes=4)
    print("begun", flush=True)
    Experiment(sys.argv[2], scale, sys.argv[3], 1).run(cells(scale, ["transfer"], ["ecot"]), progress=False)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_leaves_no_process_and_no_half_cell(base, tmp_path, how):
    """And with Ctrl-C the training has saved where it was."""
    script = tmp_path / "run.py"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(base), str(tmp_path / "out"), str(tmp_path / "work")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, preexec_fn=_hears_ctrl_c)
    log = tmp_path / "work" / "ecot_seed0" / "log.jsonl"
    until(lambda: log.exists() and log.stat().st_size > 0)
    os.killpg(process.pid, how) if how == signal.SIGINT else os.kill(process.pid, how)
    process.communicate(timeout=60)
    until(lambda: not _group(process.pid))
    assert not list((tmp_path / "out").glob("*"))
    assert (log.parent / "checkpoint").exists() == (how == signal.SIGINT)


def _hears_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell starts in the background, these tests for instance, does not


def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def _group(leader):
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


# -- faithfulness ----------------------------------------------------------------------------------------------------
SIDES, LENGTHS = st.sampled_from([("left", "right"), ("forward", "back")]), st.integers(3, 30)


@given(st.sampled_from(sorted(WAYS)), LENGTHS, st.integers(0, 2))
def test_a_direction_is_found_and_turned_round_in_both_fields_and_nowhere_else(word, length, other):
    side = "forward" if word in ("left", "right") else "left"
    move = {"back": "backward"}.get(word, word)
    chain = Reasoning(subtask_reason=f"The can is {length} cm {word}.", subtask="move above the can.",
                      move_reason=f"The way is {length} cm {word}, {other} cm {side}, 1 cm down, jaws open.",
                      move=f"move {move}", gripper=((1, 2),))  # fmt: skip
    assert main_way(chain) == word
    turned = turned_round(chain, word)
    back = {"left": "right", "right": "left", "forward": "back", "back": "forward"}[word]
    assert main_way(turned) == back and turned.move == f"move {({'back': 'backward'}.get(back, back))}"
    assert turned.subtask_reason == chain.subtask_reason and turned.gripper is None
    assert turned_round(turned, back) == chain.without("gripper")
    assert main_way(chain.replace(move="stop")) is None and main_way(chain.replace(move_reason=None)) is None


def test_a_short_way_is_no_direction():
    assert main_way(Reasoning(move_reason="The way is 2 cm left, 9 cm down.", move="move left")) is None


def test_rewording_says_the_same(robot):
    chain = robot[0].reasoning[0]
    other = reworded(chain)
    assert other != chain and sorted(map(str, other.bboxes)) == sorted(map(str, chain.bboxes))
    assert (other.move_reason, other.move, other.subtask_reason) == (chain.move_reason, chain.move, chain.subtask_reason)


class Told:
    """A policy that writes the true chain and acts by MOVE alone, or by nothing."""

    def __init__(self, dataset, listens):
        self.chains = {s.image.tobytes(): s for s in (dataset.frame(k) for k in range(dataset.num_frames))}
        self.listens = listens

    def predict(self, images, instructions, reasoning=None):
        from radlite.policy import Prediction

        said = []
        for k, image in enumerate(images):
            chain = reasoning[k] if reasoning else self.chains[image.tobytes()].reasoning
            action = np.zeros(7, np.float32)
            for word, (axis, sign) in WAYS.items():
                if self.listens and word in chain.move:
                    action[axis] += 0.02 * sign
            said.append(Prediction(chain, action, "", [], np.zeros((7, 256), np.float32)))
        return said


def test_a_policy_that_listens_reverses_and_one_that_does_not_stays(robot):
    found = faithfulness(Told(robot, True), robot, 12)
    assert found["trials"] == 12 == found["reversed"] == found["changed"] and np.isclose(found["effect_cm"], 4.0)
    assert found["reworded_changed"] == found["repeated_changed"] == 0
    deaf = faithfulness(Told(robot, False), robot, 12)
    assert deaf["trials"] == 12 and deaf["reversed"] == deaf["changed"] == 0 == deaf["effect_cm"]
    with pytest.raises(RadliteError, match="count of at least 1"):
        faithfulness(Told(robot, True), robot, 0)


# -- tables ----------------------------------------------------------------------------------------------------------
def made(table="transfer", arm="ecot", axis="new_object", successes=10, trials=40, **more):
    cell = {"table": table, "arm": arm, "variant": "", "axis": axis, "seed": 0, "x": None, "successes": successes,
            "trials": trials, "metrics": {}, "train_steps": 9}  # fmt: skip
    return cell | more


def test_tables_say_what_the_cells_say():
    rad = [made(arm="rad", successes=30), made(arm="rad", successes=20, seed=1), made(arm="rad", axis="new_scene")]
    some = Results([made(), *rad])
    text = markdown("transfer", some)
    assert "25% (14-40), 10/40" in text and "62% (52-72), 50/80" in text
    # compared where both have been: the same axis and the same seed
    sentence = compare(some, ("rad", ""), ("ecot", ""))
    assert sentence.startswith("rad 75% (60-86), 30/40 is 50 points above ecot 25% (14-40), 10/40: difference +29 to +65")
    assert sentence.endswith("p < 0.001, intervals apart.")
    assert "paper, all" in text and "56%, 45/80 | p = 0.007" in text and NOTES["transfer"] in text
    assert markdown("ratio", some) == ""
    assert compare(some, ("rad", ""), ("bc", "")) is None


def test_the_papers_counts_are_those_of_its_figures():
    pooled = {arm: paper.pooled("transfer", arm) for arm in paper.TRANSFER}
    assert pooled == {"ecot": (27, 80), "ecot-gt": (28, 80), "rad-a": (43, 80), "rad": (45, 80)}
    assert (paper.pooled("unseen", "ecot"), paper.pooled("unseen", "rad")) == ((21, 100), (36, 100))
    assert paper.pooled("transfer", "bc") is None and paper.pooled("ratio", "rad") is None


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_count_lies_in_its_interval(wins, losses):
    count = Count(wins, wins + losses)
    low, high = count.interval
    assert low <= count.rate <= high if count.trials else (low, high) == (0, 1)


def test_an_interval_is_never_shown_as_a_point():
    assert [str(Count(*n)) for n in ((0, 1800), (1800, 1800), (0, 200), (273, 600))] == [
        "0% (0-0.2), 0/1800", "100% (99.8-100), 1800/1800", "0% (0-2), 0/200", "46% (42-50), 273/600"]


def test_what_is_no_cell_is_refused(tmp_path):
    with pytest.raises(RadliteError, match="run `radlite experiment paper` first"):
        Results.read(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(made(arm="<script>")))
    with pytest.raises(RadliteError, match="a cell with table, arm"):
        Results.read(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(made(variant="<b>25</b> clips")))
    with pytest.raises(RadliteError, match="a cell with table, arm"):
        Results.read(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(RadliteError, match="no table, arm"):
        Results.read(tmp_path)


def test_every_table_has_a_figure_of_its_cells():
    fields = {"bboxes_iou": 0.5, "move": 0.7, "gripper_px": 3.0}
    shares = {"changed": 3, "reworded_changed": 1, "repeated_changed": 0}
    some = Results([
        made(), made("unseen", axis="base_object"), made("environment", "rad", variant="elsewhere"),
        made("reasoning", axis="human", metrics=fields),
        made("faithfulness", axis="robot", successes=2, trials=4, metrics=shares),
        made("ratio", "rad", variant="10 to 11", x=0.5), made("scaling", x=0, variant="0 clips"),
        made("scaling", "rad", x=25, variant="25 clips home"), made("scaling", "rad", x=25, variant="25 clips elsewhere"),
    ])  # fmt: skip
    for table in TABLES:
        assert len(figure(table, some).data) >= 1 and markdown(table, some).startswith(f"### {table}")
    assert figure("ratio", Results([made()])) is None


def test_scaling_has_a_column_and_a_curve_for_each_environment():
    rad = [made("scaling", "rad", successes=n, x=x, variant=f"{x} clips {place}", train_samples={"robot": 60, "human": 70})
           for x, place, n in ((25, "home", 12), (25, "elsewhere", 9), (800, "home", 30), (800, "elsewhere", 28))]
    some = Results([made("scaling", successes=2, x=0, variant="0 clips"), *rad])
    text = markdown("scaling", some)
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert [[cell.split(", ")[-1].strip() for cell in row.split("|")[1:-1]] for row in rows] == [
        ["0", "2/40", "2/40"], ["25", "12/40", "9/40"], ["800", "30/40", "28/40"]]
    assert "rad, 800 clips home 75% (60-86), 30/40 is 70 points above ecot, 0 clips 5%" in text
    assert "reads 70 frames of them" in text and "The paper, one task: ecot, 40 clips: 2/10; rad, 40 clips: 4/10" in text
    home, elsewhere = figure("scaling", some).data
    assert list(home.text) == ["2/40", "12/40", "30/40"] and list(elsewhere.text) == ["2/40", "9/40", "28/40"]
    assert all(0 < b - a < 0.5 for a, b in zip(home.x, elsewhere.x, strict=True))  # apart, and nearer than the next number


def test_marked_parts_are_filled_and_the_rest_stays(tmp_path):
    (tmp_path / "transfer.md").write_text("### transfer\n\n| a |\n| --- |\n| 1 |\n\nwords\n")
    text = "before\n<!-- table: transfer, rows only -->\nold\n<!-- end of table -->\nafter\n"
    filled = embedded(text, tmp_path)
    assert filled == "before\n<!-- table: transfer, rows only -->\n\n| a |\n| --- |\n| 1 |\n\n<!-- end of table -->\nafter\n"
    assert embedded(filled, tmp_path) == filled
    with pytest.raises(RadliteError, match="no such file"):
        embedded(text.replace("transfer", "ratio"), tmp_path)
    with pytest.raises(RadliteError, match="mark where tables go"):
        embedded("plain", tmp_path)


# -- the command -----------------------------------------------------------------------------------------------------
def test_the_command_writes_tables_of_what_is_there(tmp_path, capsys):
    for arm, wins in (("ecot", 10), ("rad", 30)):
        (tmp_path / f"transfer__{arm}__new_object__seed0.json").write_text(json.dumps(made(arm=arm, successes=wins)))
    target = tmp_path / "text.md"
    target.write_text("<!-- table: transfer -->\n<!-- end of table -->\n")
    assert main(["experiment", "tables", "--out", str(tmp_path), "--no-pictures", "--into", str(target)]) == 0
    assert {"transfer.md", "transfer.html", "plotly.min.js"} <= {p.name for p in tmp_path.iterdir()}
    assert "30/40" in target.read_text() and "transfer.md" in capsys.readouterr().out
    assert main(["experiment", "paper", "--tables", "nonsense", "--out", str(tmp_path)]) == 2
    assert "a table out of transfer" in capsys.readouterr().err


def test_the_list_says_what_is_done_and_what_the_rest_takes(ran, monkeypatch):
    from radlite.experiment import plan

    monkeypatch.setattr(plan, "speed", lambda: 1.0)
    experiment, chosen, _ = ran
    text = plan.listing(experiment, chosen)
    assert "to do: 0 datasets, 0 trainings, 0 measurements, 0 min" in text and "robot [x0]  human [x0]" in text
    more = plan.listing(experiment, cells(experiment.scale))
    assert "new_object [.0]" in more and " 0 trainings" not in more


def test_speed_is_seconds_of_a_real_step():
    from radlite.experiment.plan import speed

    assert 0.05 < speed() < 100


# -- what is shown ---------------------------------------------------------------------------------------------------
def test_shown_figures_are_those_of_the_cells():
    """Tables in results/paper and in the README hold what their cells say, and were not touched by hand."""
    folder = ROOT / "results" / "paper"
    results = Results.read(folder)
    for table in results.values("table"):
        assert (folder / f"{table}.md").read_text() == markdown(table, results)
    text = (ROOT / "README.md").read_text()
    assert embedded(text, folder) == text
