"""The policy: batches, caches, streams and given chains change nothing but the speed and what was asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite import policy as acting
from radlite import writer as writing
from radlite.actions import BINS, decode, expectation
from radlite.bases import load_vlm
from radlite.collate import CollateConfig, collate
from radlite.decoder import Decoder
from radlite.drafts import Drafts, kind
from radlite.errors import RadliteError
from radlite.policy import Policy, load_policy, true_bins
from radlite.reasoning import ACTION_TAG, FIELDS, Box, Reasoning

LESSON = ("task", "move")  # what the fixture `taught` has learnt


@pytest.fixture(scope="module")
def policy(base, taught):
    """Has learnt `few` by heart: chains of different length, in fields task and move. It reads in float32."""
    return replace(load_policy(base, taught[0]), precision="no")


@pytest.fixture(scope="module")
def shown(few):
    samples = [few.frame(k) for k in range(3)]
    lengths = {len(s.instruction.split()) for s in samples}
    assert len(lengths) > 1, "the prompts must differ in length, or padding is not tested"
    return samples


@pytest.fixture(scope="module")
def said(policy, shown):
    return policy.predict([s.image for s in shown], [s.instruction for s in shown])


@pytest.fixture
def untaught(vlm, policy):
    """An untrained base with statistics: its chains never end by themselves."""
    return Policy(vlm, policy.stats, precision="no")


def same(one, two, tolerance=1e-5):
    assert (one.text, one.tokens, one.reasoning) == (two.text, two.tokens, two.reasoning)
    np.testing.assert_allclose(one.action, two.action, atol=tolerance)
    np.testing.assert_allclose(one.logprobs, two.logprobs, atol=1e-3)


# ---------------------------------------------------------------------------------------------------- content
def test_it_says_and_does_what_it_has_learnt(policy, shown):
    """By mode: the mean of a spread distribution is a bin that three frames by heart have never shown."""
    said = policy.predict([s.image for s in shown], [s.instruction for s in shown], decode="mode")
    for sample, one in zip(shown, said, strict=True):
        assert one.reasoning == sample.reasoning.without(*set(FIELDS) - set(LESSON))
        assert one.text == f"{one.reasoning.to_text()} {ACTION_TAG}"
        assert one.action_probs.argmax(-1).tolist() == true_bins(policy, sample.action).tolist()
        assert one.action.shape == (7,) and one.action.dtype == np.float32


def test_a_chain_that_rambles_is_cut_off_a_quarter_beyond_the_longest_that_was_taught(vlm, policy, shown):
    one = Policy(vlm, policy.stats, longest_chain=8).predict([shown[0].image], shown[0].instruction)[0]
    tag = len(vlm.encode(f" {ACTION_TAG}"))
    assert len(one.tokens) == 10 + tag + 7 and one.text.endswith(ACTION_TAG) and one.action is not None


def test_one_by_one_is_the_same_as_a_batch(policy, shown, said):
    """Left padding and neighbours of another length do not change a row."""
    for sample, one in zip(shown, said, strict=True):
        same(policy.predict([sample.image], [sample.instruction])[0], one)


def test_rows_that_are_finished_leave_and_change_nothing(policy, shown, monkeypatch):
    """One that acts at once, one that goes on, one that says all: they end one after the other."""
    rows = [shown[k % 3] for k in range(6)]
    chains = [False, False, None, rows[3].reasoning.without(*FIELDS[1:]), None, False]
    ask = [s.image for s in rows], [s.instruction for s in rows], chains
    kept, keep = [], Decoder.keep
    monkeypatch.setattr(Decoder, "keep", lambda decoder, rows: (kept.append(len(rows)), keep(decoder, rows)))
    left = policy.predict(*ask)
    assert kept and kept[0] == 3 and kept == sorted(kept, reverse=True)
    monkeypatch.setattr(writing.Writer, "leave_finished", lambda writer: [])
    for one, other in zip(left, policy.predict(*ask), strict=True):
        same(one, other)


def passes(monkeypatch):
    """Counts how often the decoder reads."""
    counted, step = [], Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda *args, **kwargs: (counted.append(1), step(*args, **kwargs))[1])
    return counted


@pytest.mark.parametrize("seeds", [None, [5, None, 6]])
def test_a_draft_changes_nothing_but_the_number_of_passes(policy, shown, seeds, monkeypatch):
    """A right one, one of another row, one that is cut off, none: the same is said."""
    ask = {"images": [s.image for s in shown], "instructions": [s.instruction for s in shown], "seeds": seeds}
    counted = passes(monkeypatch)
    alone = policy.predict(**ask)
    most = len(counted)
    cut = replace(alone[2], tokens=alone[2].tokens[:5])
    for drafts in (alone, alone[::-1], [None, alone[1], cut], [alone[1], cut, None], [None] * 3):
        counted.clear()
        for one, other in zip(policy.predict(**ask, drafts=drafts), alone, strict=True):
            same(one, other)
        assert len(counted) <= (most if drafts is not alone else most * 2 // 3)
    with pytest.raises(RadliteError, match="3 drafts"):
        policy.predict(**ask, drafts=alone[:2])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_rows_with_and_without_a_draft_may_be_far_apart(base, policy, shown, attention, monkeypatch):
    """One row of five is done long before the others, waits for them and takes no room; chains are really drawn."""
    monkeypatch.setattr(acting, "MAX_REASONING", 40)
    free = Policy(load_vlm(base, attention=attention), policy.stats, precision="no")
    rows = [shown[k % 3] for k in range(5)]
    ask = {"images": [s.image for s in rows], "instructions": [s.instruction for s in rows], "seeds": [3, 4, None, 5, 6]}
    alone = free.predict(**ask)
    assert len({tuple(one.tokens) for one in alone}) == 5
    for one, other in zip(free.predict(**ask, drafts=[alone[0], *[None] * 4]), alone, strict=True):
        same(one, other)


def test_a_draft_helps_from_where_a_chain_was_given(policy, shown, said, monkeypatch):
    chains = [one.reasoning.before("move") for one in said]
    ask = [s.image for s in shown], [s.instruction for s in shown], chains
    counted = passes(monkeypatch)
    alone = policy.predict(*ask)
    most = len(counted)
    counted.clear()
    for one, other in zip(policy.predict(*ask, drafts=said), alone, strict=True):
        same(one, other)
    assert len(counted) < most


@given(st.lists(st.integers(0, 6), max_size=30), st.lists(st.integers(0, 6), max_size=30), st.integers(0, 4))
def test_drafts_follow_whatever_is_written(expected, written, count):
    drafts = Drafts([expected, []])
    for token in written:
        drafts.told(0, token)
        drafts.told(1, token)
        ahead = drafts.next(0, count)
        assert len(ahead) <= count and not drafts.next(1, count)
        assert any(expected[k : k + len(ahead)] == ahead for k in range(len(expected) + 1))


def test_drafts_find_back_when_a_chain_is_shorter_longer_or_has_another_word():
    expected = list(range(10, 30))
    for written, then in (
        ([10, 11, 12], [13, 14]),
        ([10, 11, 99], [13, 14]),  # another word
        ([10, 11, 15, 16], [17, 18]),  # shorter
        ([10, 11, 98, 99, 97, 12, 13], [14, 15]),  # longer
        ([14, 15], [16, 17]),  # begun further on
        (expected, []),
    ):
        drafts = Drafts([expected])
        for token in written:
            drafts.told(0, token)
        assert drafts.next(0, 2) == then


WORDS = [" is", " 2 cm left", " 9 cm right", ",", " 5 cm high", "[", "40", "##, 40", "##, 41", "<a7>", "<a8>", "of"]


def test_drafts_take_another_number_for_the_same_place_and_better_numbers_but_no_better_words():
    text = [WORDS.index(word) for word in (" is", " 2 cm left", ",", "[", "40", "##, 40", ",", "40", "##, 40", ",", "<a7>")]
    drafts = Drafts([text, text], lambda token: kind(WORDS[token]))
    for token in (" is", " 9 cm right"):  # not found elsewhere: the place is the same
        drafts.told(0, WORDS.index(token))
    assert drafts.next(0, 99) == text[2:]
    better = ("of", "[", "40", "##, 41", "##, 41", "<a7>", "##, 41", ",", "<a8>", ",", ",")
    drafts.better(0, [WORDS.index(word) for word in better])
    told = [WORDS[token] for token in drafts.next(0, 99)]
    assert told == [",", "[", "40", "##, 41", ",", "40", "##, 41", ",", "<a8>"]
    assert drafts.next(1, 99) == text


@given(st.data())
def test_a_draft_with_the_right_numbers_is_followed_whatever_it_was_before(data):
    numbers = st.sampled_from([" 2 cm left", " 9 cm right"])
    shape = data.draw(st.lists(st.one_of(st.just(","), st.just(" is"), numbers), min_size=1, max_size=20))
    old, new = ([WORDS.index(data.draw(numbers) if kind(word) else word) for word in shape] for _ in range(2))
    drafts = Drafts([old], lambda token: kind(WORDS[token]))
    for at, token in enumerate(new):
        drafts.better(0, new[at:][: data.draw(st.integers(0, 4))])
        drafts.told(0, token)
        assert [kind(WORDS[t]) for t in drafts.next(0, 99)] == [kind(word) for word in shape[at + 1 :]]
    drafts = Drafts([old], lambda token: kind(WORDS[token]))
    drafts.better(0, new)
    assert drafts.next(0, 99) == new


def test_neither_order_nor_a_very_long_neighbour_matters(policy, shown, said):
    long = "put the green can and then all of the other things that you can see on the white board please"
    rows = [shown[2], replace(shown[0], instruction=long), shown[0]]
    mixed = policy.predict([s.image for s in rows], [s.instruction for s in rows])
    same(mixed[0], said[2])
    same(mixed[2], said[0])


def slowly(policy, sample, limit):
    """Greedy writing without a cache: every token from a full forward pass over the whole right-aligned sequence."""
    vlm, tokens, logprobs, probs = policy.vlm, [], [], []
    prompt, tag = vlm.prompt_ids(sample.instruction), vlm.encode(f" {ACTION_TAG}")
    pixels, forced = vlm.pixel_values(sample.image[None]), None
    while len(probs) < 7:
        ids = torch.tensor([prompt + tokens])
        logits = vlm.lm_head(vlm.forward(ids, torch.ones_like(ids), pixels))[0, -1]
        if forced == []:
            log = logits[vlm.action_ids].log_softmax(-1)
            probs.append(log.exp().numpy())
            chosen = int(probs[-1].argmax())
            tokens.append(int(vlm.action_ids[chosen]))
            logprobs.append(float(log[chosen]))
            continue
        logits[vlm.never_in_text] = -torch.inf
        if not tokens:
            logits[[tag[0], vlm.eos_id]] = -torch.inf
        token = int(logits.argmax())
        if forced is None and (token == vlm.eos_id or len(tokens) >= limit):
            forced = list(tag)
        token = forced.pop(0) if forced else token
        tokens.append(token)
        logprobs.append(float(logits.log_softmax(-1)[token]))
        if tokens[-len(tag):] == tag:
            forced = []
    return tokens, logprobs, np.stack(probs)


@pytest.mark.parametrize("who", ["taught", "untaught"])
def test_the_cache_gives_what_full_passes_give(request, policy, shown, monkeypatch, who):
    monkeypatch.setattr(acting, "MAX_REASONING", 30)
    agent = policy if who == "taught" else request.getfixturevalue("untaught")
    with torch.no_grad():
        tokens, logprobs, probs = slowly(agent, shown[1], 30)
    one = agent.predict([s.image for s in shown], [s.instruction for s in shown], decode="mode")[1]
    assert agent.vlm.tokenizer.convert_tokens_to_ids(one.tokens) == tokens
    np.testing.assert_allclose(one.logprobs, logprobs, atol=1e-3)
    np.testing.assert_allclose(one.action_probs, probs, atol=1e-4)


def test_writing_meets_the_tokens_of_training(policy, shown, said):
    """What the policy reads and writes is, token for token, what `collate` trained on."""
    config = CollateConfig(fields=LESSON)
    for sample, one in zip(shown, said, strict=True):
        batch = collate([sample], policy.vlm, policy.stats, config)
        ids = batch.input_ids[0][batch.attention_mask[0].bool()].tolist()
        start = len(policy.vlm.prompt_ids(sample.instruction))
        assert one.tokens[:-7] == policy.vlm.tokenizer.convert_ids_to_tokens(ids[start:-8])


def test_prompts_read_in_bf16_change_what_is_said_by_no_more_than_its_digits(policy, shown, said):
    """bf16 keeps 8 bits; what is written after them is computed in float32, whatever the prompt was read in."""
    rows = [s.image for s in shown], [s.instruction for s in shown]
    halves = replace(policy, precision="bf16").predict(*rows)
    for one, two in zip(halves, said, strict=True):
        assert one.text == two.text and one.logprobs.dtype == np.float32
        assert 0 < np.abs(one.logprobs - two.logprobs).max() < 0.1
        np.testing.assert_allclose(one.action_probs, two.action_probs, atol=0.1)
    with pytest.raises(RadliteError, match="precision 'bf16'"):
        replace(policy, precision="fp8").predict(*rows)


def test_log_probabilities_are_finite_and_one_a_token(said):
    for one in said:
        assert len(one.logprobs) == len(one.tokens) and np.isfinite(one.logprobs).all()
        assert (one.logprobs <= 1e-6).all() and one.logprobs.dtype == np.float32


def test_seven_action_tokens_and_no_other_ones(policy, said):
    vocabulary = set(policy.vlm.tokenizer.convert_ids_to_tokens(policy.vlm.action_ids.tolist()))
    for one in said:
        assert set(one.tokens[-7:]) <= vocabulary and not set(one.tokens[:-7]) & vocabulary
        assert one.action_probs.shape == (7, BINS)
        np.testing.assert_allclose(one.action_probs.sum(-1), 1, atol=1e-4)


def test_expectation_and_mode_read_the_same_distribution(policy, untaught, shown):
    for agent in (policy, untaught):
        smooth, sharp = (
            agent.predict([shown[0].image], [shown[0].instruction], False, decode=d)[0]
            for d in ("expectation", "mode")
        )
        np.testing.assert_allclose(smooth.action_probs[0], sharp.action_probs[0], atol=1e-6)
        np.testing.assert_allclose(smooth.action, expectation(smooth.action_probs, agent.stats))
        np.testing.assert_array_equal(sharp.action, decode(sharp.action_probs.argmax(-1), agent.stats))
        names = agent.vlm.tokenizer.convert_ids_to_tokens(agent.vlm.action_ids[sharp.action_probs.argmax(-1)].tolist())
        assert sharp.tokens[-7:] == names


# ------------------------------------------------------------------------------------------------- drawn chains
def test_a_seed_draws_the_same_chain_alone_and_in_a_batch(untaught, shown, monkeypatch):
    """An untaught base knows nothing, so that other seeds draw other chains; a row without a seed takes the likeliest."""
    monkeypatch.setattr(acting, "MAX_REASONING", 12)
    rows, seeds = [shown[0], shown[0], shown[1], shown[0]], [3, 4, 3, None]
    ask = [s.image for s in rows], [s.instruction for s in rows]
    said = untaught.predict(*ask, seeds=seeds)
    assert len({one.text for one in said}) == 4
    for sample, seed, one in zip(rows, seeds, said, strict=True):
        same(untaught.predict([sample.image], sample.instruction, seeds=[seed])[0], one)
    same(untaught.predict([shown[0].image], shown[0].instruction)[0], said[3])


def test_a_draw_takes_only_what_is_likely(untaught, shown, monkeypatch):
    monkeypatch.setattr(acting, "MAX_REASONING", 12)
    ask = [shown[0].image] * 8, shown[0].instruction
    monkeypatch.setattr(writing, "KEPT", 1.0)
    sure = untaught.predict(*ask, decode="mode")[0]
    assert all(one.text == sure.text for one in untaught.predict(*ask, decode="mode", seeds=range(8)))
    monkeypatch.setattr(writing, "KEPT", 0.5)
    drawn = untaught.predict(*ask, decode="mode", seeds=range(8))
    first = max(one.logprobs[0] for one in drawn)
    assert len({one.tokens[0] for one in drawn}) > 1
    assert all(one.logprobs[0] >= max(first, sure.logprobs[0]) + np.log(0.5) - 1e-4 for one in drawn)


# ------------------------------------------------------------------------------------------------ given chains
def test_a_given_beginning_is_kept_and_gone_on_from(policy, shown, said):
    starts = [one.reasoning.before("move") for one in said]
    again = policy.predict([s.image for s in shown], [s.instruction for s in shown], starts)
    for one, two in zip(said, again, strict=True):
        assert (one.text, one.reasoning) == (two.text, two.reasoning)
        assert len(two.tokens) < len(one.tokens)
        np.testing.assert_allclose(one.action, two.action, atol=1e-4)


def test_a_whole_chain_leaves_only_the_action_to_do(policy, shown, said):
    again = policy.predict([s.image for s in shown], [s.instruction for s in shown], [s.reasoning for s in said])
    for one, two in zip(said, again, strict=True):
        assert two.tokens == one.tokens[-8:] and two.reasoning == one.reasoning
        np.testing.assert_allclose(one.action, two.action, atol=1e-4)


def test_what_is_given_is_never_written_on(untaught, shown, monkeypatch):
    """Even a policy that rambles may not add words to a plan that somebody gave it."""
    monkeypatch.setattr(acting, "MAX_REASONING", 12)
    plan = Reasoning(plan="1. reach the can 2. wait")
    whole = Reasoning(move="stop", gripper=((1, 2),))
    one, two = untaught.predict([s.image for s in shown[:2]], shown[0].instruction, [plan, whole])
    assert one.reasoning.plan == plan.plan and one.text.startswith(plan.to_text() + " ")
    assert one.text[len(plan.to_text()) + 1 :].split(":")[0].isupper()  # a tag comes next
    assert two.tokens[0] == " ACTION:" and two.reasoning == whole and len(two.tokens) == 8


def test_a_chain_that_somebody_changed_is_believed(policy, shown, said):
    other = said[0].reasoning.replace(move="move up")
    one = policy.predict([shown[0].image], [shown[0].instruction], other)[0]
    assert one.reasoning == other
    assert np.abs(one.action_probs - said[0].action_probs).max() > 1e-3  # and the action hears of it


def test_one_batch_may_mix_all_kinds(policy, shown, said):
    chains = [None, False, said[2].reasoning]
    mixed = policy.predict([s.image for s in shown], [s.instruction for s in shown], chains)
    same(mixed[0], said[0])
    assert len(mixed[1].tokens) == len(mixed[2].tokens) == 8


def test_without_reasoning_it_acts_at_once(policy, shown):
    said = policy.predict([s.image for s in shown], [s.instruction for s in shown], False)
    for one in said:
        assert one.text == ACTION_TAG and one.tokens[0] == " ACTION:" and len(one.tokens) == 8
        assert one.reasoning == Reasoning() and np.isfinite(one.action).all()


@pytest.mark.parametrize("room", [0, 20])
def test_who_would_rather_act_at_once_reasons_where_it_is_asked_to(vlm, policy, room):
    """Taught with `reasoning_dropout`, its likeliest first word is the action's tag. Room 0: it was taught no chain."""
    writer = writing.Writer(vlm, policy.stats, [None, False], "mode", room, [None, None])
    logits = torch.zeros(2, 1, vlm.base.get_output_embeddings().weight.shape[0])
    logits[..., vlm.eos_id], logits[..., writer.tag[0]] = 8, 9
    while not writer.done:
        writer.read(logits[: len(writer.active)])
    asked, at_once = writer.tokens
    assert at_once[: len(writer.tag)] == writer.tag == asked[bool(room) :][: len(writer.tag)]
    assert not room or asked[0] not in (vlm.eos_id, writer.tag[0])
    assert all(np.isfinite(one.logprobs).all() for one in writer.predictions())


def test_a_chain_that_never_ends_is_ended(untaught, shown, monkeypatch):
    monkeypatch.setattr(acting, "MAX_REASONING", 9)
    for one in untaught.predict([s.image for s in shown], [s.instruction for s in shown]):
        assert one.tokens[-8] == " ACTION:" and len(one.tokens) <= 9 + 8 and one.action is not None


@given(st.integers(0, 2**32))
@settings(max_examples=8)
def test_whatever_weights_say_there_is_an_action(vlm, policy, shown, seed):
    """Hidden states at random: the text is rubbish, the action is one."""
    generator = torch.Generator().manual_seed(seed)
    writer = writing.Writer(vlm, policy.stats, [None, False, shown[0].reasoning], "expectation", 220, [None, None, seed])
    rows = vlm.base.get_output_embeddings().weight.shape[0]
    for _ in range(400):
        writer.read(torch.randn(len(writer.active), 1, rows, generator=generator) * 4)
        if writer.done:
            break
        writer.leave_finished()
    assert len(writer.active) < 3  # the one without reasoning is finished first
    for one in writer.predictions():
        assert np.isfinite(one.action).all() and np.isfinite(one.logprobs).all()
        one.reasoning.without("bboxes", "gripper").validate()  # can be given back to the policy


# ----------------------------------------------------------------------------------------------------- stream
def test_a_stream_grows_and_ends_where_predict_ends(policy, shown, said):
    states = list(policy.predict([s.image for s in shown], [s.instruction for s in shown], stream=True))
    assert len(states) > len(said[0].tokens) - 2
    for row, last in enumerate(said):
        texts = [state[row].text for state in states]
        assert all(b.startswith(a) for a, b in zip(texts, texts[1:], strict=False)) and len(set(texts)) > 5
        assert states[0][row].action is None
        same(states[-1][row], last)
    fields = [len(state[0].reasoning.to_dict()) for state in states]
    assert fields == sorted(fields)


def test_a_stream_shows_what_was_given_from_the_start(policy, shown, said):
    start = said[0].reasoning.before("move")
    first = next(policy.predict([shown[0].image], [shown[0].instruction], start, stream=True))
    assert first[0].reasoning == start  # its last field is whole although no tag has closed it yet


# -------------------------------------------------------------------------------------------------- bad input
IMAGE = np.zeros((96, 96, 3), np.uint8)


@pytest.mark.parametrize(
    "images, instructions, more, found",
    [
        ([], "lift", {}, "no picture"),
        (IMAGE, "lift", {}, r"\(96, 3\)"),
        ([IMAGE.astype(np.float32)], "lift", {}, "float32"),
        ([IMAGE, IMAGE[..., :2]], "lift", {}, r"\(96, 96, 2\)"),
        ([IMAGE[:0]], "lift", {}, r"\(0, 96, 3\)"),
        ([IMAGE, IMAGE], ["lift"], {}, "1 instructions"),
        ([IMAGE], "lift", {"reasoning": [None, None]}, "2 chains"),
        ([IMAGE], "lift", {"reasoning": "TASK: lift"}, "TASK: lift"),
        ([IMAGE], "lift", {"reasoning": ["TASK: lift"]}, "TASK: lift"),
        ([IMAGE], "lift", {"reasoning": Reasoning(bboxes=(Box("can", (0, 0, 300, 9)),))}, "300"),
        ([IMAGE], "lift", {"reasoning": Reasoning(plan="1. ACTION: now")}, "ACTION:"),
        ([IMAGE], "lift", {"decode": "median"}, "median"),
        ([IMAGE], "lift", {"seeds": [0, 1]}, r"\[0, 1\]"),
        ([IMAGE], "lift", {"seeds": [-1]}, "-1"),
        ([IMAGE], "lift", {"seeds": [0.5]}, "0.5"),
    ],
)
def test_bad_input_is_told(policy, images, instructions, more, found):
    with pytest.raises(RadliteError, match=found):
        policy.predict(images, instructions, **more)


def test_a_base_without_an_adapter_cannot_act(base):
    with pytest.raises(RadliteError, match="without an adapter"):
        load_policy(base).predict([IMAGE], "lift")


def test_pictures_of_any_size_and_an_array_are_fine(policy, shown, said):
    large = shown[0].image.repeat(2, 0).repeat(2, 1)  # the same picture, twice the pixels
    one = policy.predict([large, shown[1].image], [s.instruction for s in shown[:2]])
    assert [p.text for p in one] == [p.text for p in said[:2]]
    same(policy.predict(shown[0].image[None], shown[0].instruction)[0], said[0])
