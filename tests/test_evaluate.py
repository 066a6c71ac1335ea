"""Closed loop: controls, counts, what is kept for people, and the marks for every field of a chain."""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlite import policy as acting
from radlite.errors import RadliteError
from radlite.evaluate import FAR, evaluate, iou, reasoning_accuracy, summarise
from radlite.policy import Prediction, load_policy
from radlite.reasoning import FIELDS, FRAME_SIZE, Box, Reasoning
from radlite.rollouts import PolicyAgent, RandomAgent, StillAgent, rollout, told_another_task
from radlite.stats import difference, fisher, wilson
from radlite.tabletop.env import MAX_DELTA, trials
from radlite.tabletop.tasks import AXES, BASE_THINGS, parse_task


@pytest.fixture(scope="module")
def two():
    return trials(None, 2, seed=4)


# ---------------------------------------------------------------------------------------------------- rollouts
def test_doing_nothing_never_succeeds(two):
    result = evaluate(StillAgent(), two, progress=False, max_steps=8)
    assert (result["successes"], result["trials"], result["rate"]) == (0, 2, 0.0)
    assert result["interval"] == list(wilson(0, 2))
    assert sum(c["trials"] for c in result["by_family"].values()) == 2 and set(result["by_axis"]) == {"home"}


def test_random_actions_are_small_and_the_same_for_the_same_seed(two):
    kept = [
        rollout(RandomAgent(7), two, max_steps=4, keep=[0, 1], progress=False) for _ in range(2)
    ]
    for one, again in zip(*kept, strict=True):
        assert one.steps == 4 and not one.success
        np.testing.assert_array_equal(one.actions, again.actions)
        np.testing.assert_array_equal(one.frames, again.frames)
        actions = np.stack(one.actions)
        assert np.abs(actions[:, :3]).max() <= MAX_DELTA and set(actions[:, 6]) <= {0.0, 1.0}
        assert (actions[:, 3:6] == 0).all() and len(np.unique(actions[:, 0])) == 4


class Expert:
    """Acts by the simulator's own expert: with it, success must be counted."""

    def begin(self, todo):
        from radlite.tabletop.env import TabletopEnv

        self.envs = [TabletopEnv() for _ in todo]
        for env, trial in zip(self.envs, todo, strict=True):
            env.reset(options={"trial": trial})

    def act(self, rows, images):
        actions = []
        for row in rows:
            expert = self.envs[row].expert
            actions.append(expert.action(expert.intent()))
            self.envs[row].step(actions[-1])
        return np.stack(actions), [None] * len(rows)


def test_success_is_counted_and_only_what_was_asked_for_is_kept():
    todo = trials("new_object", 3, seed=1)
    outcomes = rollout(Expert(), todo, keep=[1], progress=False)
    assert [o.success for o in outcomes] == [True] * 3 and all(3 < o.steps < 45 for o in outcomes)
    assert [o.trial for o in outcomes] == todo
    kept = outcomes[1]
    assert len(kept.frames) == kept.steps + 1 and len(kept.thoughts) == len(kept.actions) == kept.steps
    assert kept.frames[0].shape == (256, 256, 3) and kept.frames[0].dtype == np.uint8
    assert not (outcomes[0].frames or outcomes[0].thoughts or outcomes[2].actions)
    table = summarise(outcomes)
    assert table["successes"] == 3 and table["by_axis"]["new_object"]["rate"] == 1.0


def test_batches_do_not_change_the_outcome(two, monkeypatch):
    from radlite import rollouts as module

    together = rollout(Expert(), two, keep=[1], progress=False)
    monkeypatch.setattr(module, "BATCH", 1)
    alone = rollout(Expert(), two, keep=[1], progress=False)
    assert [(o.success, o.steps) for o in together] == [(o.success, o.steps) for o in alone]
    np.testing.assert_array_equal(together[1].frames, alone[1].frames)


def test_processes_do_not_change_the_outcome(two, monkeypatch):
    from radlite import rollouts as module

    monkeypatch.setattr(module, "BATCH", 1)
    alone, apart = (
        rollout(RandomAgent(3), two[:1] * 2, max_steps=2, keep=[1], progress=False, workers=w) for w in (1, 2)
    )
    assert [(o.success, o.steps, len(o.frames)) for o in apart] == [(o.success, o.steps, len(o.frames)) for o in alone]
    np.testing.assert_array_equal(apart[1].frames[0], alone[1].frames[0])


def test_an_error_in_a_process_is_told(two, monkeypatch):
    from radlite import rollouts as module

    monkeypatch.setattr(module, "BATCH", 1)
    with pytest.raises(TypeError):
        rollout(RandomAgent(3), two, max_steps=(), progress=False, workers=2)


class Refuser(StillAgent):
    """Ends as a policy does that is given a bad chain."""

    def act(self, rows, images):
        raise RadliteError("a chain", "none", "give one")


def test_an_error_that_teaches_arrives_whole_from_a_process(two):
    with pytest.raises(RadliteError, match="expected a chain; found none; give one") as caught:
        rollout(Refuser(), two, progress=False, workers=2)
    assert caught.value.fix == "give one"


def test_no_trials_is_told():
    with pytest.raises(RadliteError, match="at least one trial"):
        rollout(StillAgent(), [], progress=False)


# --------------------------------------------------------------------------------------------------- the agent
class Speaker:
    """Stands for a policy: remembers what it was asked."""

    def __init__(self):
        self.asked, self.seeds, self.drafts, self.said = [], [], [], []

    def predict(self, images, instructions, reasoning=None, decode="expectation", seeds=None, drafts=None):
        self.asked.append((list(instructions), reasoning, decode))
        self.seeds.append(seeds)
        self.drafts.append(drafts)
        plans = [f"1. plan {len(self.asked)}"] * len(images)
        self.said.append([
            Prediction(Reasoning(task="t.", plan=p, move="stop"), np.zeros(7, np.float32), "", [], np.zeros(0))
            for p in plans
        ])  # fmt: skip
        return self.said[-1]


def test_what_was_said_last_is_the_draft_of_what_comes_next(two):
    speaker = Speaker()
    rollout(PolicyAgent(speaker), two, max_steps=3, progress=False)
    assert speaker.drafts[0] == [None, None]
    for drafts, said in zip(speaker.drafts[1:], speaker.said, strict=False):
        assert all(draft is one for draft, one in zip(drafts, said, strict=True))


def test_the_first_plan_is_kept_and_given_back(two):
    speaker = Speaker()
    rollout(PolicyAgent(speaker, "mode"), two, max_steps=3, progress=False)
    (first, none, how), (_, second, _), (_, third, _) = speaker.asked
    assert first == [t.task.instruction for t in two] and none == [None, None] and how == "mode"
    assert second == third == [Reasoning(task="t.", plan="1. plan 1")] * 2  # and nothing of the moment


def test_every_frame_but_the_first_is_drawn_anew_and_every_trial_by_itself(two):
    speaker, alone, still = Speaker(), Speaker(), Speaker()
    rollout(PolicyAgent(speaker), two, max_steps=3, progress=False)
    rollout(PolicyAgent(alone), two[1:], max_steps=3, progress=False)
    rollout(PolicyAgent(still, draw=False), two, max_steps=3, progress=False)
    assert speaker.seeds[0] == [None, None] and len({s for row in speaker.seeds[1:] for s in row}) == 4
    assert [row[1] for row in speaker.seeds] == [row[0] for row in alone.seeds]  # wherever and with whomever it runs
    assert still.seeds == [[None, None]] * 3


def test_an_agent_forgets_between_batches(two, monkeypatch):
    from radlite import rollouts as module

    monkeypatch.setattr(module, "BATCH", 1)
    speaker = Speaker()
    rollout(PolicyAgent(speaker), two, max_steps=1, progress=False)
    assert [asked[1] for asked in speaker.asked] == [[None], [None]]


def test_without_thinking_no_chain_is_asked_for(two):
    speaker = Speaker()
    rollout(PolicyAgent(speaker, think=False), two, max_steps=2, progress=False)
    assert [asked[1] for asked in speaker.asked] == [False, False]


def test_a_real_policy_runs(base, taught, two, monkeypatch):
    monkeypatch.setattr(acting, "MAX_REASONING", 4)  # it knows nothing of these scenes and would ramble
    outcomes = rollout(PolicyAgent(load_policy(base, taught[0])), two, max_steps=2, keep=[0], progress=False)
    assert [o.steps for o in outcomes] == [2, 2]
    assert all(isinstance(t, Prediction) for t in outcomes[0].thoughts)


# -------------------------------------------------------------------------------------------------- the trials
def test_trials_are_a_function_of_axis_and_seed():
    for axis in (None, *AXES):
        assert trials(axis, 3, 5) == trials(axis, 3, 5) != trials(axis, 3, 6)
        assert trials(axis, 2, 5) == trials(axis, 3, 5)[:2]


@pytest.mark.parametrize("axis", [None, *AXES])
def test_the_wrong_instruction_never_names_the_right_thing(axis):
    for trial in trials(axis, 60):
        told = told_another_task(trial)
        other = parse_task(told.instruction)
        assert told.task == trial.task and trial.instruction == trial.task.instruction
        assert other.thing != trial.task.thing and other.thing in BASE_THINGS
        assert other.thing in {s.name for s in trial.scene.things}
        assert (other.family, other.place, other.direction) == (
            trial.task.family, trial.task.place, trial.task.direction,
        )  # fmt: skip


# ------------------------------------------------------------------------------------------------------- marks
COORDINATE = st.integers(0, FRAME_SIZE)
RECTANGLE = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(RECTANGLE, RECTANGLE)
def test_iou_is_a_symmetric_share(a, b):
    value, area = iou(a, b), (a[2] - a[0]) * (a[3] - a[1])
    assert 0 <= value <= 1 and value == iou(b, a)
    assert iou(a, a) == (1.0 if area else 0.0)
    if a[2] <= b[0] or a[3] <= b[1]:
        assert value == 0
    if area and a[0] <= b[0] and a[1] <= b[1] and a[2] >= b[2] and a[3] >= b[3]:  # b lies in a
        assert value == pytest.approx((b[2] - b[0]) * (b[3] - b[1]) / area)


class Oracle:
    """Says the truth of a dataset, spoilt by `change`."""

    def __init__(self, dataset, change):
        self.truth = {dataset.frame(k).image.tobytes(): dataset.frame(k) for k in range(dataset.num_frames)}
        self.change = change

    def predict(self, images, instructions):
        said = []
        for image in images:
            sample = self.truth[image.tobytes()]
            action = np.zeros(7, np.float32) if sample.action is None else sample.action
            said.append(Prediction(self.change(sample.reasoning), action, "", [], np.zeros(0)))
        return said


def test_the_truth_gets_full_marks(robot, human):
    for dataset in (robot, human):
        marks = reasoning_accuracy(Oracle(dataset, lambda chain: chain), dataset, 30)
        perfect = {f: 1.0 for f in FIELDS if f not in ("bboxes", "gripper")} | {"bboxes_iou": 1.0, "gripper_px": 0.0}
        perfect |= {"subtask_reason_cm": 0.0, "move_reason_cm": 0.0}
        assert marks == perfect | ({"action_cm": 0.0} if dataset is robot else {})


def test_wrong_and_missing_fields_cost(robot):
    def spoil(chain):
        return Reasoning(task=chain.task, move="wave", bboxes=tuple(Box("cat", b.xyxy) for b in chain.bboxes))

    marks = reasoning_accuracy(Oracle(robot, spoil), robot, 30)
    assert marks["task"] == 1.0 and marks["move"] == marks["plan"] == marks["bboxes_iou"] == 0.0
    assert marks["gripper_px"] == pytest.approx(FRAME_SIZE * 2**0.5)  # silence is not left out of the mean
    assert marks["move_reason_cm"] == marks["subtask_reason_cm"] == FAR


def test_lengths_are_wrong_by_their_largest_error_and_directions_count(robot):
    """3 cm right said of 3 cm left is six off; a sentence about other things is as wrong as can be."""
    turned = reasoning_accuracy(Oracle(robot, lambda c: c.replace(move_reason=c.move_reason.replace("left", "right"))), robot, 60)
    assert turned["move_reason"] < 1 and turned["subtask_reason_cm"] == 0.0
    said = "The way is 3 cm right, 1 cm back, 2 cm up."
    away = reasoning_accuracy(Oracle(robot, lambda c: c.replace(move_reason=said)), robot, 60)
    assert 0 < away["move_reason_cm"] < FAR
    short = reasoning_accuracy(Oracle(robot, lambda c: c.replace(move_reason="The way is 3 cm right.")), robot, 60)
    assert short["move_reason_cm"] == FAR


def test_frames_without_a_chain_are_marked_on_the_action_only(few, tmp_path):
    from radlite.episodes import Episode, EpisodeDataset, write_dataset

    one = few[0]
    write_dataset(tmp_path / "d", [Episode(one.instruction, one.frames, [None], "robot", one.actions)])
    dataset = EpisodeDataset(tmp_path / "d").cache()
    assert reasoning_accuracy(Oracle(dataset, lambda _: Reasoning()), dataset) == {"action_cm": 0.0}


def test_processes_end_with_their_parent(tmp_path):
    """A rollout of an agent that sleeps for ever is killed; its two processes are gone soon after."""
    script = tmp_path / "sleeper.py"
    script.write_text(
        "import os, pathlib, sys, time\n"
        "from radlite.rollouts import rollout\n"
        "from radlite.tabletop.env import trials\n"
        "class Sleeper:\n"
        "    def begin(self, todo):\n"
        "        pathlib.Path(sys.argv[1], f'{os.getpid()}.pid').touch()\n"
        "    def act(self, rows, images):\n"
        "        time.sleep(600)\n"
        "if __name__ == '__main__':\n"
        "    rollout(Sleeper(), trials(None, 2, 0), progress=False, workers=2)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        assert _soon(lambda: len(list(tmp_path.glob("*.pid"))) == 2, 120)
    finally:
        parent.kill()
        parent.wait()
    children = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert _soon(lambda: not any(map(_alive, children)), 30)


def _soon(happened, seconds):
    until = time.monotonic() + seconds
    while not happened() and time.monotonic() < until:
        time.sleep(0.1)
    return happened()


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = pathlib.Path(f"/proc/{pid}/stat")  # a zombie that nobody has reaped yet is not alive
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


# -- two counts ------------------------------------------------------------------------------------------------------
def test_fisher_agrees_with_what_others_computed_of_the_papers_tables():
    found = [fisher(*four) for four in ((2, 10, 5, 10), (27, 80, 45, 80), (28, 80, 45, 80), (43, 80, 45, 80), (21, 100, 36, 100))]
    assert np.allclose(found, (0.350, 0.0067, 0.0109, 0.874, 0.0278), rtol=5e-3)
    assert np.allclose([fisher(3, 10, 3, 10), fisher(0, 5, 0, 7), fisher(0, 0, 2, 4)], 1.0)
    assert fisher(0, 600, 600, 600) < 1e-300


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_two_counts_compare_alike_from_both_sides(a, b, c, d):
    n, m = a + b, c + d
    assert 0 < fisher(a, n, c, m) <= 1 and np.isclose(fisher(a, n, c, m), fisher(c, m, a, n))
    gap, low, high = difference(a, n, c, m)
    other, other_low, other_high = difference(c, m, a, n)
    assert np.allclose((gap, low, high), (-other, -other_high, -other_low)) and -1 <= low <= gap <= high <= 1
    if n and m:
        assert np.isclose(gap, a / n - c / m)


def test_the_difference_is_newcombes():
    assert np.allclose(difference(56, 70, 48, 80), (0.2, 0.0524, 0.3339), atol=1e-4)  # his own example
    with pytest.raises(RadliteError, match="whole counts"):
        difference(3, 2, 0, 1)
    with pytest.raises(RadliteError, match="whole counts"):
        fisher(3, 2, 0, 1)
