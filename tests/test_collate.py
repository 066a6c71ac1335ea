"""What carries loss: told token by token, for any sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from radlite.actions import BRIDGE_STATS, decode, encode
from radlite.collate import (
    IGNORE,
    LENGTHS,
    ROLES,
    CollateConfig,
    collate,
    collate_blind,
    encode_sample,
    explain_batch,
    field_texts,
    without_actions,
)  # fmt: skip
from radlite.episodes import Sample
from radlite.errors import RadliteError
from radlite.loss import rad_loss
from radlite.reasoning import ACTION_TAG, FIELDS, Box, Reasoning

ROLE = {role: i for i, role in enumerate(ROLES)}
WORDS = st.from_regex(r"[A-Za-z]{1,9}( [a-z0-9]{1,9}){0,3}[.;]?", fullmatch=True)
POINT = st.integers(0, 255)
BOX = st.tuples(st.from_regex(r"[a-z]{1,6}( [a-z]{1,6})?", fullmatch=True), st.lists(POINT, min_size=4, max_size=4)).map(
    lambda b: Box(b[0], (*map(min, b[1][:2], b[1][2:]), *map(max, b[1][:2], b[1][2:])))
)
TEXT = st.none() | WORDS
CHAINS = st.builds(
    Reasoning, task=TEXT, plan=TEXT, subtask_reason=TEXT, subtask=TEXT, move_reason=TEXT, move=TEXT,
    bboxes=st.none() | st.lists(BOX, max_size=3).map(tuple),
    gripper=st.none() | st.lists(st.tuples(POINT, POINT), min_size=1, max_size=5).map(tuple),
)  # fmt: skip
ACTIONS = st.lists(st.floats(-1, 1, width=32), min_size=7, max_size=7).map(lambda v: np.array(v, np.float32))


def sample(chain, action=None, instruction="lift the can"):
    action = None if action is None else np.asarray(action, np.float32)
    who = "human" if action is None else "robot"
    return Sample(np.zeros((96, 96, 3), np.uint8), instruction, chain, action, who, 3, 5)


@st.composite
def samples(draw):
    """Robots and humans in any order."""
    count = draw(st.integers(1, 4))
    return [sample(draw(CHAINS), draw(st.none() | ACTIONS), draw(WORDS)) for _ in range(count)]


CONFIGS = st.builds(
    CollateConfig, action_weight=st.sampled_from([0.0, 1.0, 4.0]), path_weight=st.sampled_from([0.0, 0.3, 1.0]),
    reasoning_dropout=st.sampled_from([0.0, 0.5, 1.0]),
    field_dropout=st.sampled_from([0.0, 0.3]), mask_prompt=st.booleans(),
)  # fmt: skip
KEYS = st.tuples(st.integers(0, 99), st.integers(0, 99))


@given(samples(), CONFIGS, KEYS)
@settings(max_examples=60)
def test_labels_are_the_tokens_and_stand_only_where_they_may(vlm, some, config, key):
    batch = collate(some, vlm, BRIDGE_STATS, config, key)
    labelled = batch.labels != IGNORE
    assert (batch.labels[labelled] == batch.input_ids[labelled]).all()
    for role in ("pad", "image", *(["prompt"] if config.mask_prompt else [])):
        assert not labelled[batch.roles == ROLE[role]].any()
    assert not labelled[:, 0].any()  # nothing comes before the first token
    assert labelled.equal(batch.weights > 0)
    for role in ({*FIELDS, "eos"} - {"gripper"}):
        assert (batch.weights[batch.roles == ROLE[role]] == 1).all()
    assert (batch.weights[batch.roles == ROLE["action"]] == config.action_weight).all()
    path = batch.weights[batch.roles == ROLE["gripper"]]
    assert torch.allclose(path, torch.full_like(path, config.path_weight))


@given(samples(), CONFIGS, KEYS)
@settings(max_examples=60)
def test_masks_roles_and_padding_agree(vlm, some, config, key):
    batch = collate(some, vlm, BRIDGE_STATS, config, key)
    assert batch.attention_mask.equal((batch.roles != ROLE["pad"]).long())
    lengths = batch.attention_mask.sum(1)
    assert 0 <= batch.input_ids.shape[1] - int(lengths.max()) < LENGTHS and batch.input_ids.shape[1] % LENGTHS == 0
    for row, length in enumerate(lengths):  # right padded
        assert batch.attention_mask[row, :length].all() and not batch.attention_mask[row, length:].any()
        assert (batch.input_ids[row, length:] == vlm.pad_id).all()
    images = batch.input_ids == vlm.image_token_id
    assert images.equal(batch.roles == ROLE["image"]) and (images.sum(1) == vlm.image_tokens).all()
    assert batch.pixel_values.shape == (len(some), 1, 3, vlm.image_size, vlm.image_size)


@given(samples(), CONFIGS, KEYS)
@settings(max_examples=60)
def test_a_human_row_has_no_action_and_no_end_and_a_robot_row_ends_with_both(vlm, some, config, key):
    batch = collate(some, vlm, BRIDGE_STATS, config, key)
    tag, actions = vlm.encode(f" {ACTION_TAG}"), set(vlm.action_ids.tolist())
    for row, one in enumerate(some):
        ids = batch.input_ids[row, : batch.attention_mask[row].sum()].tolist()
        end = [*tag, *vlm.action_ids[torch.from_numpy(encode(one.action, BRIDGE_STATS))].tolist(), vlm.eos_id] \
            if one.action is not None else []  # fmt: skip
        if one.action is None:
            assert not actions & set(ids) and vlm.eos_id not in ids and ACTION_TAG not in vlm.decode(ids)
            assert not ((batch.roles[row] == ROLE["action"]) | (batch.roles[row] == ROLE["eos"])).any()
        else:
            assert ids[-len(end):] == end and sum(i in actions for i in ids) == 7
            if config.action_weight:
                assert batch.labels[row, len(ids) - len(end) : len(ids)].tolist() == end


@given(samples())
@settings(max_examples=60)
def test_roles_are_the_spans_of_the_text(vlm, some):
    batch = collate(some, vlm, BRIDGE_STATS)
    for row, one in enumerate(some):
        text = one.reasoning.to_text()
        for field in FIELDS:
            ids = batch.input_ids[row][batch.roles[row] == ROLE[field]].tolist()
            span = one.reasoning.spans().get(field)
            assert vlm.decode(ids).strip() == (text[slice(*span)] if span else "")
        told = batch.input_ids[row][(batch.roles[row] >= ROLE["task"]) & (batch.roles[row] <= ROLE["gripper"])]
        assert vlm.decode(told.tolist()).strip() == text
        assert told.tolist() == (vlm.encode(f" {text}") if text else [])  # as the policy will meet it


@given(CHAINS)
def test_field_texts_join_to_the_chain(chain):
    assert "".join(text for _, text in field_texts(chain)).strip() == chain.to_text()
    assert [field for field, _ in field_texts(chain)] == list(chain.to_dict())


def fields_of(batch, row=0):
    return {ROLES[r] for r in batch.roles[row].tolist()} & set(FIELDS)


FULL = Reasoning(
    "lift the can.", "1. reach it 2. lift it.", (Box("can", (1, 2, 3, 4)),), "It stands.", "reach the can.", "It is far.",
    "move left", ((5, 6),),
)  # fmt: skip


def test_a_missing_field_is_absent_and_fields_can_be_left_out(vlm):
    assert fields_of(collate([sample(FULL.without("plan", "bboxes"))], vlm, None)) == set(FIELDS) - {"plan", "bboxes"}
    assert fields_of(collate([sample(FULL)], vlm, None, CollateConfig(fields=("move",)))) == {"move"}
    assert fields_of(collate([sample(None), sample(FULL)], vlm, None)) == set()


def test_the_whole_chain_is_dropped_for_robots_only(vlm):
    some = [sample(FULL, np.zeros(7)), sample(FULL)] * 200
    rng = np.random.default_rng(0)
    rows = [encode_sample(s, vlm, BRIDGE_STATS, CollateConfig(reasoning_dropout=0.3), rng) for s in some]
    without = [not {ROLES[r] for r in row.roles} & set(FIELDS) for row in rows]
    assert not any(without[1::2])
    assert 0.2 < np.mean(without[::2]) < 0.4


def test_human_samples_can_teach_other_fields_than_robot_ones(vlm):
    config = CollateConfig(human_fields=("gripper",))
    batch = collate([sample(FULL, np.zeros(7)), sample(FULL)], vlm, BRIDGE_STATS, config)
    assert fields_of(batch, 0) == set(FIELDS) and fields_of(batch, 1) == {"gripper"}
    with pytest.raises(RadliteError, match="fields out of"):
        CollateConfig(human_fields=("grip",))


def test_fields_are_dropped_one_by_one(vlm):
    config, seen = CollateConfig(field_dropout=0.25), []
    for step in range(100):
        batch = collate([sample(FULL, np.zeros(7)), sample(FULL)], vlm, BRIDGE_STATS, config, (0, step))
        again = collate([sample(FULL, np.zeros(7)), sample(FULL)], vlm, BRIDGE_STATS, config, (0, step))
        assert batch.input_ids.equal(again.input_ids)  # a function of its key
        seen += [fields_of(batch, row) for row in (0, 1)]
    share = {f: np.mean([f in s for s in seen]) for f in FIELDS}
    assert all(0.6 < v < 0.9 for v in share.values()), share
    assert len({frozenset(s) for s in seen}) > 20  # independent of each other


def test_robot_rows_do_not_know_the_human_ones(vlm):
    """Both arms learn from the very same robot sequences, dropout included."""
    config, mine = CollateConfig(reasoning_dropout=0.4, field_dropout=0.3), [sample(FULL, np.zeros(7))] * 3
    for step in range(10):
        alone = collate(mine, vlm, BRIDGE_STATS, config, (0, step))
        mixed = collate([*mine, sample(FULL)], vlm, BRIDGE_STATS, config, (0, step))
        width = alone.input_ids.shape[1]
        assert alone.input_ids.equal(mixed.input_ids[:3, :width]) and alone.labels.equal(mixed.labels[:3, :width])


def test_pictures_of_several_sizes_become_one_batch(vlm):
    """Datasets of two cameras in one mixture: what a picture becomes does not depend on the others."""
    rng = np.random.default_rng(0)
    sizes = [(96, 96), (256, 256), (72, 128)]
    some = [replace(sample(FULL), image=rng.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]
    pixels = collate(some, vlm, None).pixel_values
    for one, row in zip(some, pixels, strict=True):
        assert row.equal(collate([one], vlm, None).pixel_values[0])


@pytest.mark.parametrize(
    "some, stats, found",
    [
        ([], BRIDGE_STATS, "none"),
        ([sample(FULL, np.zeros(7))], None, "stats=None"),
        ([sample(FULL, [np.nan] * 7)], BRIDGE_STATS, "episode 3, step 5"),
    ],
)
def test_bad_samples_are_refused(vlm, some, stats, found):
    with pytest.raises(RadliteError, match=found):
        collate(some, vlm, stats)


@pytest.mark.parametrize(
    "change",
    [{"action_weight": -1.0}, {"action_weight": float("nan")}, {"path_weight": -0.1}, {"path_weight": float("inf")},
     {"reasoning_dropout": 1.5}, {"field_dropout": -0.1},
     {"fields": ("moves",)}],
)  # fmt: skip
def test_bad_configurations_are_refused(change):
    with pytest.raises(RadliteError):
        CollateConfig(**change)


def test_explain_batch_shows_role_and_weight(vlm):
    batch = collate([sample(FULL, np.zeros(7)), sample(Reasoning(move="move left"))], vlm, BRIDGE_STATS)
    lines = explain_batch(batch, vlm).splitlines()
    assert any(f"<image> x {vlm.image_tokens}" in line and line.endswith("-") for line in lines)
    by_token = {line.split("'")[1]: line.split("'")[2].split() for line in lines if "'" in line}
    assert by_token[" MOVE:"] == ["move", "1"] and by_token["<eos>"] == ["eos", "1"]
    assert by_token[" ACTION:"] == by_token["<a0>"] == ["action", "3"]  # <a0>: the gripper is closed
    assert by_token[" robot"] == ["prompt", "-"]
    human = explain_batch(batch, vlm, row=1)
    assert "eos" not in human and "action  " not in human and "' MOVE:'" in human
    assert len(human.splitlines()) < len(lines)  # padding is not told


# ------------------------------------------------------------------------------------------------------- loss
@pytest.fixture(scope="module")
def pair(robot, human):
    """One robot and one human frame."""
    return [robot.frame(0), human.frame(0)]


def test_the_loss_is_the_weighted_mean_over_all_logits(vlm, pair):
    batch = collate(pair, vlm, BRIDGE_STATS, CollateConfig(action_weight=3.0))
    with torch.no_grad():
        loss = rad_loss(vlm, batch)
        out = vlm.model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, pixel_values=batch.pixel_values
        )
    log = out.logits.log_softmax(-1)
    total = weights = 0.0
    for b, t in (batch.labels != IGNORE).nonzero().tolist():  # token t is told by position t - 1
        total -= float(batch.weights[b, t] * log[b, t - 1, batch.labels[b, t]])
        weights += float(batch.weights[b, t])
    assert float(loss.total) == pytest.approx(total / weights, abs=1e-4)


def test_losses_of_the_fields_average_to_the_total(vlm, pair):
    batch = collate(pair, vlm, BRIDGE_STATS, CollateConfig(action_weight=1.0))
    with torch.no_grad():
        loss = rad_loss(vlm, batch)
        assert rad_loss(vlm, batch, detail=False).fields == {}
    count = sum(f["tokens"] for f in loss.fields.values())
    assert count == int((batch.labels != IGNORE).sum())
    assert loss.fields["action"]["tokens"] == 8 and loss.fields["eos"]["tokens"] == 1
    assert all(0 <= f["accuracy"] <= 1 for f in loss.fields.values())
    mean = sum(f["loss"] * f["tokens"] for f in loss.fields.values()) / count
    assert mean == pytest.approx(float(loss.total), rel=1e-5)


def test_padding_does_not_change_the_loss_of_a_row(vlm, pair):
    short = replace(pair[1], reasoning=Reasoning(move="move left"))
    with torch.no_grad():
        alone, beside = (rad_loss(vlm, collate(s, vlm, BRIDGE_STATS)) for s in ([short], [short, pair[0]]))
        rest = rad_loss(vlm, collate(pair[:1], vlm, BRIDGE_STATS))
    mine, both = alone.fields["move"], beside.fields["move"]
    other = rest.fields["move"]
    expected = (mine["loss"] * mine["tokens"] + other["loss"] * other["tokens"]) / both["tokens"]
    assert both["loss"] == pytest.approx(expected, rel=1e-4)


def test_human_data_teaches_reasoning_and_never_asks_for_an_action(vlm, pair):
    """No action token is a label; as in every softmax, their logits are only pushed down like any other wrong answer's."""
    batch = collate([pair[1], without_actions(pair[0])], vlm, None)
    assert not set(vlm.action_ids.tolist()) & set(batch.input_ids.flatten().tolist())
    labels = batch.labels[batch.labels != IGNORE]
    hidden = vlm.forward(batch.input_ids, batch.attention_mask, batch.pixel_values).detach()
    logits = vlm.lm_head(hidden[:, :-1][batch.labels[:, 1:] != IGNORE]).float().detach().requires_grad_()
    torch.nn.functional.cross_entropy(logits, labels).backward()
    assert (logits.grad[:, vlm.action_ids] >= 0).all()  # down, never up
    loss = rad_loss(vlm, batch)
    assert set(loss.fields) <= set(FIELDS) and {"task", "move", "gripper"} <= set(loss.fields)
    loss.total.backward()
    grad = vlm.model.model.vision_model.embeddings.patch_embedding.weight.grad
    assert grad.abs().sum() > 0  # the picture is learnt from
    vlm.model.zero_grad()


def test_a_batch_without_any_loss_is_refused(vlm):
    with pytest.raises(RadliteError, match="carries loss"):
        rad_loss(vlm, collate([sample(None)], vlm, None))


@given(ACTIONS)
@settings(max_examples=30)
def test_the_action_can_be_read_back_from_the_tokens(vlm, action):
    assume(np.isfinite(action).all())
    batch = collate([sample(None, action)], vlm, BRIDGE_STATS)
    ids = batch.input_ids[0][batch.roles[0] == ROLE["action"]][-7:]
    bins = (ids[:, None] == vlm.action_ids).long().argmax(1).numpy()
    low, high = np.array(BRIDGE_STATS.q01), np.array(BRIDGE_STATS.q99)
    error = np.abs(decode(bins, BRIDGE_STATS) - np.clip(action, low, high))
    assert (error <= (high - low) / 256 / 2 + 1e-5).all()


def test_a_made_up_path_is_read_by_robots_but_taught_to_nobody(vlm):
    chain = FULL.replace(gripper=((50, 60),) * 5)
    some = [sample(chain, np.zeros(7)), sample(chain)]
    true, noisy = (collate(some, vlm, BRIDGE_STATS, CollateConfig(path_noise=p), (3, 4)) for p in (0.0, 1.0))
    assert true.labels.equal(noisy.labels) and true.roles.equal(noisy.roles) and true.weights.equal(noisy.weights)
    changed = true.input_ids != noisy.input_ids
    assert changed[0].sum() >= 4 and not changed[1].any()
    places = (noisy.roles[0] == ROLE["gripper"]).nonzero()[:, 0]
    assert set(changed[0].nonzero()[:, 0].tolist()) <= set(places.tolist())
    read = Reasoning.from_text(vlm.decode(noisy.input_ids[0, places].tolist()))
    assert read.gripper[0] == chain.gripper[0] and len(read.gripper) == len(chain.gripper)


@pytest.mark.parametrize("step", [0, 7, 8, 20])
@pytest.mark.parametrize("action", [None, np.zeros(7)], ids=["human", "robot"])
def test_task_and_plan_are_taught_in_the_first_frames_and_read_in_all(vlm, step, action):
    later = replace(sample(FULL, action), step=step)
    everywhere, first = (collate([later], vlm, BRIDGE_STATS, CollateConfig(plan_frames=n)) for n in (None, 8))
    assert everywhere.input_ids.equal(first.input_ids) and everywhere.roles.equal(first.roles)
    lost = (everywhere.labels != first.labels)[0]
    memory = torch.isin(first.roles[0], torch.tensor([ROLE["task"], ROLE["plan"]]))
    assert memory.sum() > 4 and lost.equal(memory if step >= 8 else torch.zeros_like(memory))
    assert (first.labels[0][lost] == IGNORE).all() and (first.weights[0][lost] == 0).all()


def test_a_plan_that_is_never_taught_is_refused():
    with pytest.raises(RadliteError, match="plan_frames"):
        CollateConfig(plan_frames=0)


def test_a_blind_row_tells_what_is_seen_and_pays_for_what_follows(vlm):
    some = [sample(FULL, np.zeros(7)), sample(FULL.without("move"), np.full(7, 0.01)), sample(None, np.zeros(7))]
    batch = collate_blind(some, vlm, BRIDGE_STATS, CollateConfig(action_weight=2.0))
    assert batch.pixel_values is None and not (batch.input_ids == vlm.image_token_id).any()
    follows = ("subtask", "move_reason", "move")
    for row, one in enumerate(some):
        chain = one.reasoning or Reasoning()
        paid = batch.labels[row] != IGNORE
        acting = paid & (batch.roles[row] == ROLE["action"])
        assert acting.sum() == 7 and (batch.weights[row, acting] == 2.0).all() and not batch.weights[row, ~paid].any()
        whole = collate([one], vlm, BRIDGE_STATS)
        assert batch.labels[row, acting].equal(whole.input_ids[whole.roles == ROLE["action"]][-7:])
        words = "".join(text for f, text in field_texts(chain) if f in follows)
        assert vlm.decode(batch.labels[row, paid & ~acting].tolist()) == words
        text = vlm.decode(batch.input_ids[row][batch.attention_mask[row].bool()].tolist()[1:-7])
        seen = "".join(text for f, text in field_texts(chain) if f == "subtask_reason")
        assert text.endswith(f"{seen}{words} ACTION:") and "PLAN:" not in text and "VISIBLE OBJECTS:" not in text
    loss = rad_loss(vlm, batch)
    assert torch.isfinite(loss.total) and set(loss.fields) == {*follows, "action"}


def test_a_crossed_row_acts_upon_the_way_of_another(vlm):
    far = FULL.replace(move_reason="The way is 9 cm left, 0 cm forward, 0 cm up, jaws open.", move="move left, jaws open")
    some = [sample(FULL, np.zeros(7)), sample(far, np.full(7, 0.01)), sample(FULL, np.full(7, -0.01))]
    plain, crossed = (collate_blind(some, vlm, BRIDGE_STATS, CollateConfig(crossed=c)) for c in (0.0, 1.0))

    def words(batch, row, field):
        return vlm.decode(batch.input_ids[row, batch.roles[row] == ROLE[field]].tolist())

    def actions(batch, row):
        return batch.labels[row][(batch.roles[row] == ROLE["action"]) & (batch.labels[row] != IGNORE)].tolist()

    for row in range(3):
        for field in ("prompt", "subtask_reason", "subtask"):
            assert words(crossed, row, field) == words(plain, row, field)
        for field in ("move_reason", "move"):  # whose they are: those of the row before it
            assert words(crossed, row, field) == words(plain, row - 1, field)
        assert actions(crossed, row) == actions(plain, row - 1) != actions(plain, row)
        for field, paid in (("subtask_reason", False), ("subtask", True), ("move_reason", False), ("move", True)):
            labels = crossed.labels[row, crossed.roles[row] == ROLE[field]]
            assert ((labels != IGNORE) == paid).all(), field
    assert [one.reasoning for one in some] == [FULL, far, FULL]  # a sample is not changed


def test_which_rows_are_crossed_is_drawn_with_the_key(vlm):
    some = [sample(FULL, np.full(7, 0.001 * i)) for i in range(40)]
    batches = [collate_blind(some, vlm, BRIDGE_STATS, CollateConfig(crossed=0.3), key) for key in ((0, 1), (0, 1), (0, 2))]
    paid = [((b.labels != IGNORE) & (b.roles == ROLE["move_reason"])).any(1) for b in batches]
    assert paid[0].equal(paid[1]) and not paid[0].equal(paid[2])
    assert 4 <= (~paid[0]).sum() <= 20  # of 40, 12 expected; 4 and 20 are beyond 2.7 sigma
