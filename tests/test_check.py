"""The public checks: a right answer passes, common wrong ones are refused by the property they break, in plain words."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest
import torch

from radlite import check
from radlite.bases import load_vlm
from radlite.check import report
from radlite.check.memory import Case
from radlite.check.report import Property, Wrong, ask, run
from radlite.memory.plan import memory
from radlite.mixture import HUMAN, ROBOT, Mixture, draw
from radlite.quantize import part_of
from radlite.reasoning import FIELDS
from radlite.stats import fisher, wilson
from tests import models


def told(checked, function, capsys):
    """(result, lines of properties that hold, lines of those that do not, everything printed)."""
    capsys.readouterr()
    result = checked(function)
    text = capsys.readouterr().out
    lines = text.splitlines()
    good = [line[9:] for line in lines if line.startswith("ok ")]
    bad = [line[9:] for line in lines if line.startswith("not yet ")]
    assert len(good) == result.passed and len(good) + len(bad) == result.total >= 3
    assert lines[-1] == f"public checks passed ({result.passed} of {result.total})"
    assert bool(result) == (not bad) and "Traceback" not in text
    assert text.count("hint:") == text.count("found:")
    return result, good, bad, text


# ---------------------------------------------------------------------------------------------- loss_mask
def right_mask(roles, embodiment):
    paid = {*FIELDS, *(("action_tag", "action", "eos") if embodiment == "robot" else ())}
    return [role in paid for role in roles]


def mask_but(change):
    """The right mask, but `change(role, embodiment)` decides where it is not None."""

    def mask(roles, embodiment):
        right = right_mask(roles, embodiment)
        changed = [change(role, embodiment) for role in roles]
        return [r if c is None else c for r, c in zip(right, changed, strict=True)]

    return mask


WRONG_MASKS = {
    "prompt": (lambda r, e: True if r == "prompt" else None, "the prompt and padding carry no loss"),
    "image": (lambda r, e: True if r == "image" else None, "the prompt and padding carry no loss"),
    "padding": (lambda r, e: True if r == "pad" else None, "the prompt and padding carry no loss"),
    "zero-filled actions": (lambda r, e: True if r in ("action", "action_tag") else None, "a human sample carries no loss"),
    "end of action-free samples": (lambda r, e: True if r == "eos" else None, "a human sample carries no loss"),
    "no robot actions": (lambda r, e: False if r == "action" else None, "a robot's action"),
    "no robot end": (lambda r, e: False if r == "eos" else None, "a robot's action"),
    "actions only": (lambda r, e: False if r in FIELDS else None, "every field of the reasoning"),
    "no human reasoning": (lambda r, e: False if e == "human" and r in FIELDS else None, "every field of the reasoning"),
    "no plan": (lambda r, e: False if r == "plan" else None, "every field of the reasoning"),
}


def test_the_right_loss_mask_passes(capsys):
    assert told(check.loss_mask, right_mask, capsys)[0]
    assert told(check.loss_mask, lambda roles, e: np.array(right_mask(roles, e)), capsys)[0]


@pytest.mark.parametrize("name", WRONG_MASKS)
def test_wrong_loss_masks_are_refused_by_the_property_they_break(name, capsys):
    change, says = WRONG_MASKS[name]
    _, good, bad, text = told(check.loss_mask, mask_but(change), capsys)
    assert len(bad) == 1 and says in bad[0] and "the library says" in text


@pytest.mark.parametrize(
    "mask, found",
    [
        (lambda roles, e: None, "None instead of a list of bools"),
        (lambda roles, e: [True], "1 values for the"),
        (lambda roles, e: [int(v) for v in right_mask(roles, e)], "0 instead of True or False"),
        (lambda roles, e: roles.clear() or [], "0 values for the"),
        (lambda roles, e: np.zeros((len(roles), 2), bool), "instead of a list of bools"),
    ],
)
def test_masks_of_another_form_are_told(mask, found, capsys):
    _, good, _, text = told(check.loss_mask, mask, capsys)
    assert not good and found in text


def test_a_loss_mask_is_asked_about_what_the_library_makes(capsys):
    seen = []
    told(check.loss_mask, lambda roles, e: seen.append((e, tuple(roles))) or right_mask(roles, e), capsys)
    human = [roles for embodiment, roles in seen if embodiment == "human"]
    assert {role for _, roles in seen for role in roles} == {"image", "prompt", *FIELDS, "action_tag", "action", "eos", "pad"}
    assert any("action" not in roles for roles in human) and any(roles.count("action") == 7 for roles in human)


# ---------------------------------------------------------------------------------------- mixture_sampler
def right_sampler(step, robot, human, robot_per_batch, ratio, seed):
    first, last = (math.floor(n * robot_per_batch * ratio + 1e-9) for n in (step, step + 1))
    return (draw(seed, ROBOT, step * robot_per_batch, robot_per_batch, robot).tolist(),
            draw(seed, HUMAN, first, last - first, human).tolist())  # fmt: skip


def global_state(step, robot, human, count, ratio, seed):
    return [random.randrange(robot) for _ in range(count)], [random.randrange(human) for _ in range(round(count * ratio))]


def reseeds(*arguments):
    np.random.seed(arguments[0])
    return right_sampler(*arguments)


def by_size(step, robot, human, count, ratio, seed):
    rng = np.random.default_rng([seed, step])
    both = rng.integers(0, robot + human, 2 * count)
    return [int(k) for k in both if k < robot], [int(k - robot) for k in both if k >= robot]


def with_replacement(step, robot, human, count, ratio, seed):
    _, others = right_sampler(step, robot, human, count, ratio, seed)
    return np.random.default_rng([seed, step]).integers(0, robot, count).tolist(), others


def shared_stream(step, robot, human, count, ratio, seed):
    """Shuffles once for both kinds, so that the human count moves the robots."""
    first, others = right_sampler(step, robot, human, count, ratio, seed)
    return [(k + human + int(10 * ratio)) % robot for k in first], others


def drifting(step, robot, human, count, ratio, seed):
    return (right_sampler(step, robot, human, count, ratio, seed)[0],
            right_sampler(step, robot, human, count, round(ratio), seed)[1])  # fmt: skip


def no_seed(step, robot, human, count, ratio, seed):
    return right_sampler(step, robot, human, count, ratio, 0)


class Remembers:
    """An iterator in disguise: the next batch, whichever step is asked for."""

    def __init__(self):
        self.step = -1

    def __call__(self, step, *rest):
        self.step += 1
        return right_sampler(self.step, *rest)


WRONG_SAMPLERS = {
    "global state": (global_state, "a function of (seed, step)"),
    "reseeds the shared generator": (reseeds, "a function of (seed, step)"),
    "remembers": (Remembers(), "a function of (seed, step)"),
    "one seed": (no_seed, "a function of (seed, step)"),
    "by size": (by_size, "every step has robot_per_batch"),
    "drifts": (drifting, "every step has robot_per_batch"),
    "with replacement": (with_replacement, "seen once before any"),
    "robots know the humans": (shared_stream, "do not depend on the human data"),
}


def test_the_right_sampler_passes(capsys):
    assert told(check.mixture_sampler, right_sampler, capsys)[0]
    assert told(check.mixture_sampler, lambda *a: tuple(map(np.array, right_sampler(*a))), capsys)[0]


def test_the_right_sampler_is_the_librarys(robot, human):
    mixture = Mixture(robot, human, 3, 0.7, 5)
    for step in (0, 1, 9):
        ours, others = right_sampler(step, robot.num_frames, human.num_frames, 3, 0.7, 5)
        assert ours == mixture.indices(step)[0].tolist() and others == mixture.indices(step)[1].tolist()


@pytest.mark.parametrize("name", WRONG_SAMPLERS)
def test_wrong_samplers_are_refused_by_the_property_they_break(name, capsys):
    function, says = WRONG_SAMPLERS[name]
    _, _, bad, text = told(check.mixture_sampler, function, capsys)
    assert any(says in line for line in bad), text


@pytest.mark.parametrize("name", ["reseeds the shared generator", "one seed", "robots know the humans", "with replacement"])
def test_only_what_is_wrong_is_refused(name, capsys):
    _, _, bad, text = told(check.mixture_sampler, WRONG_SAMPLERS[name][0], capsys)
    assert len(bad) == 1, text


@pytest.mark.parametrize(
    "answer, found",
    [(None, "two lists"), (([0], [1], [2]), "two lists"), ((3, [0]), "should be a list"),
     (([99] * 4, []), "counted from 0 to 22"), (([0.5] * 4, []), "no whole number"), (([-1] * 4, []), "index -1")],
)  # fmt: skip
def test_samples_of_another_form_are_told(answer, found, capsys):
    _, good, _, text = told(check.mixture_sampler, lambda *arguments: answer, capsys)
    assert not good and found in text


# ---------------------------------------------------------------------------------------- wilson_interval
def right_wilson(successes, trials):
    p, z = successes / trials, 1.959964
    centre, half = p + z * z / (2 * trials), z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2))
    return (centre - half) / (1 + z * z / trials), (centre + half) / (1 + z * z / trials)


def normal(successes, trials):
    p = successes / trials
    half = 1.96 * math.sqrt(p * (1 - p) / trials)
    return p - half, p + half


def clipped_normal(successes, trials):
    low, high = normal(successes, trials)
    return max(0.0, low), min(1.0, high)


def agresti_coull(successes, trials):
    n = trials + 1.96**2
    p = (successes + 1.96**2 / 2) / n
    half = 1.96 * math.sqrt(p * (1 - p) / n)
    return max(0.0, p - half), min(1.0, p + half)


def one_sided(successes, trials):
    low, high = wilson(successes, trials)
    return low, min(1.0, high + 0.01)


WRONG_INTERVALS = {
    "normal": (normal, ["the interval lies in [0, 1]", "0 of n and n of n", "known values"]),
    "clipped normal": (clipped_normal, ["0 of n and n of n", "known values"]),
    "90 percent": (lambda s, n: wilson(s, n, 1.645), ["known values"]),
    "Agresti and Coull": (agresti_coull, ["known values"]),
    "swapped": (lambda s, n: wilson(s, n)[::-1], ["the interval lies in [0, 1]"]),
    "percent": (lambda s, n: tuple(100 * v for v in wilson(s, n)), ["the interval lies in [0, 1]"]),
    "wider above": (one_sided, ["successes and failures swapped", "known values"]),
}


def test_the_right_interval_passes(capsys):
    assert told(check.wilson_interval, right_wilson, capsys)[0] and told(check.wilson_interval, wilson, capsys)[0]


@pytest.mark.parametrize("answer, found", [(0.5, "two numbers"), ((0, "1"), "should be a number"), ((float("nan"), 1), "nan")])
def test_intervals_of_another_form_are_told(answer, found, capsys):
    _, good, _, text = told(check.wilson_interval, lambda s, n: answer, capsys)
    assert not good and found in text


# -------------------------------------------------------------------------------------------- fisher_test
def chances(n, m, wins):
    places = range(max(0, wins - m), min(n, wins) + 1)
    return {k: math.comb(n, k) * math.comb(m, wins - k) / math.comb(n + m, wins) for k in places}


def right_fisher(a, n, b, m):
    chance = chances(n, m, a + b)
    return sum(p for p in chance.values() if p <= chance[a] * (1 + 1e-7))


def one_sided_fisher(a, n, b, m):
    chance = chances(n, m, a + b)
    return sum(p for k, p in chance.items() if (k <= a if a / n <= b / m else k >= a))


def z_test(a, n, b, m):
    pool = (a + b) / (n + m)
    spread = math.sqrt(pool * (1 - pool) * (1 / n + 1 / m)) or 1.0
    return math.erfc(abs(a / n - b / m) / spread / math.sqrt(2))


WRONG_TESTS = {
    "one-sided": (one_sided_fisher, ["1 where both rates", "it is two-sided", "known values"]),
    "z test": (z_test, ["known values"]),
    "doubled": (lambda *t: min(1.0, 2 * one_sided_fisher(*t)), ["known values"]),
    "only more probable ones": (lambda *t: 1 - right_fisher(*t), ["1 where both rates"]),
    "per cent": (lambda *t: 100 * right_fisher(*t), ["1 where both rates"]),
}


def test_the_right_test_passes(capsys):
    assert told(check.fisher_test, right_fisher, capsys)[0] and told(check.fisher_test, fisher, capsys)[0]


WRONG_STATISTICS = [
    pytest.param(checked, *wrong, id=name)
    for checked, answers in ((check.wilson_interval, WRONG_INTERVALS), (check.fisher_test, WRONG_TESTS))
    for name, wrong in answers.items()
]


@pytest.mark.parametrize("checked, function, broken", WRONG_STATISTICS)
def test_wrong_statistics_are_refused_by_the_property_they_break(checked, function, broken, capsys):
    _, _, bad, text = told(checked, function, capsys)
    assert all(any(says in line for line in bad) for says in broken), text


# ---------------------------------------------------------------------------------------- training_bytes
def right_bytes(decoder, others, trained, nf4, optimizer):
    """As the exercise's table has it; the scales' own scales are too few to count."""
    base = decoder * (0.5 + 1 / 64 if nf4 else 2) + 2 * others
    return base, 4 * trained, trained * (8 if optimizer == "adamw" else 2)


def bytes_but(part, change):
    """The right answer with one part changed."""

    def answer(*case):
        found = list(right_bytes(*case))
        found[part] = change(*case)
        return found

    return answer


WRONG_BYTES = {
    "float32 base": (bytes_but(0, lambda d, o, t, n, _: 2 * right_bytes(d, o, t, n, _)[0]), ["two bytes a number", "NF4 takes"]),
    "all in four bits": (bytes_but(0, lambda d, o, t, n, _: (d + o) * (0.5 if n else 2)), ["NF4 takes", "scales of NF4"]),
    "no scales": (bytes_but(0, lambda d, o, t, n, _: d * (0.5 if n else 2) + 2 * o), ["scales of NF4"]),
    "float32 scales": (bytes_but(0, lambda d, o, t, n, _: d * (0.5 + 4 / 64 if n else 2) + 2 * o), ["scales of NF4"]),
    "bfloat16 adapters": (bytes_but(1, lambda d, o, t, n, _: 2 * t), ["trained is float32"]),
    "moments of the base": (bytes_but(2, lambda d, o, t, n, _: 8 * (d + o + t)), ["moments are two"]),
    "one moment": (bytes_but(2, lambda d, o, t, n, opt: t * (4 if opt == "adamw" else 1)), ["moments are two"]),
    "always adamw": (bytes_but(2, lambda d, o, t, n, _: 8 * t), ["moments are two"]),
    "a sum": (lambda *case: sum(right_bytes(*case)), ["two bytes a number", "NF4 takes", "trained is float32"]),
}


def test_the_checks_own_bytes_are_those_of_a_model(tmp_path):
    """In four bits, against `radlite.memory`, which other tests compare with real tensors."""
    vlm = load_vlm(models.save("qwen3_vl", tmp_path))
    told = memory(tmp_path, "nf4", batch=1, tokens=120, rank=8, dtype=torch.bfloat16)  # as a model of some size is kept
    layers = [m.weight.numel() for n, m in vlm.model.named_modules()
              if isinstance(m, torch.nn.Linear) and part_of(vlm.family, n) == "decoder"]  # fmt: skip
    whole, tables = sum(p.numel() for p in vlm.model.parameters()), 4 * (16 + 256 + 1) * len(layers)  # which values bits mean
    base, _, moments = Case(sum(layers), whole - sum(layers), told.optimizer // 8, nf4=True).right
    assert abs(told.weights - tables - base) < 0.002 * base and told.optimizer == moments


def test_the_right_bytes_pass(capsys):
    assert told(check.training_bytes, right_bytes, capsys)[0]
    assert told(check.training_bytes, lambda *case: [round(v) for v in right_bytes(*case)], capsys)[0]


@pytest.mark.parametrize("name", WRONG_BYTES)
def test_wrong_bytes_are_refused_by_the_property_they_break(name, capsys):
    function, broken = WRONG_BYTES[name]
    _, _, bad, text = told(check.training_bytes, function, capsys)
    assert bad and all(any(says in line for line in bad) for says in broken), text


# ------------------------------------------------------------------------------------------ trials_needed
def right_trials(share, half_width, rounded=False, z=1.96):
    n = 0
    while True:
        n += 1
        p = round(share * n) / n if rounded else share
        if z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n) <= half_width:
            return n


def by_normal(share, half_width):
    return max(1, math.ceil(share * (1 - share) * (1.96 / half_width) ** 2))


def doubling(share, half_width):
    n = 1
    while n < right_trials(share, half_width):
        n *= 2
    return n


WRONG_TRIALS = {
    "normal approximation": (by_normal, ["one trial fewer", "shares of 0 and 1"]),
    "whole width": (lambda p, h: right_trials(p, h / 2), ["one trial fewer"]),
    "twice the width": (lambda p, h: right_trials(p, 2 * h), ["so many trials are enough"]),
    "doubling": (doubling, ["one trial fewer"]),
    "rounded successes": (lambda p, h: right_trials(p, h, rounded=True), ["shares that no whole number"]),
    "one too few": (lambda p, h: max(1, right_trials(p, h) - 1), ["so many trials are enough"]),
}


@pytest.mark.parametrize("z", [1.96, 1.959964])
def test_the_right_number_of_trials_passes(z, capsys):
    assert told(check.trials_needed, lambda p, h: right_trials(p, h, z=z), capsys)[0]


@pytest.mark.parametrize("name", WRONG_TRIALS)
def test_wrong_numbers_of_trials_are_refused_by_the_property_they_break(name, capsys):
    function, broken = WRONG_TRIALS[name]
    _, _, bad, text = told(check.trials_needed, function, capsys)
    assert all(any(says in line for line in bad) for says in broken), text


@pytest.mark.parametrize("answer", [93.0, "93", None, 0, -3, True])
def test_trials_of_another_form_are_told(answer, capsys):
    _, good, _, text = told(check.trials_needed, lambda p, h: answer, capsys)
    assert not good and "whole number from 1 on" in text


# ------------------------------------------------------------------------------------------- faithfulness
def effects(act, chains, others, directions):
    return [float(np.dot(act(other) - act(chain), way)) for chain, other, way in zip(chains, others, directions, strict=True)]


def right_faithfulness(act, chains, edits, paraphrases, directions):
    return {"signed": np.mean(effects(act, chains, edits, directions)),
            "floor": np.mean(np.abs(effects(act, chains, paraphrases, directions))),
            "null": float(np.mean(np.abs(effects(act, chains, chains, directions))))}  # fmt: skip


def lengths(act, chains, others, directions):
    return [float(np.linalg.norm(act(other) - act(chain))) for chain, other in zip(chains, others, strict=True)]


def faithfulness_but(key, rule, measure=effects, first_direction=False):
    """Right, but one of the three numbers comes from `rule` over `measure`."""

    def function(act, chains, edits, paraphrases, directions):
        others = {"signed": edits, "floor": paraphrases, "null": chains}[key]
        ways = [directions[0]] * len(directions) if first_direction else directions
        right = right_faithfulness(act, chains, edits, paraphrases, directions)
        return {**right, key: rule(np.array(measure(act, chains, others, ways)))}

    return function


def normalised(*arguments):
    right = right_faithfulness(*arguments)
    largest = max(abs(value) for value in right.values()) or 1.0
    return {key: value / largest for key, value in right.items()}


WRONG_FAITHFULNESS = {
    "unsigned": (faithfulness_but("signed", lambda x: np.mean(np.abs(x))), "signed is positive"),
    "length": (faithfulness_but("signed", np.mean, lengths), "signed is positive"),
    "backwards": (faithfulness_but("signed", lambda x: -np.mean(x)), "signed is positive"),
    "one direction": (faithfulness_but("signed", np.mean, first_direction=True), "signed is positive"),
    "sum": (faithfulness_but("signed", np.sum), "signed is positive"),
    "floor that cancels": (faithfulness_but("floor", lambda x: abs(np.mean(x))), "floor measures"),
    "signed floor": (faithfulness_but("floor", np.mean), "floor measures"),
    "floor as a length": (faithfulness_but("floor", np.mean, lengths), "floor measures"),
    "null of 0": (faithfulness_but("null", lambda x: 0.0), "null asks the policy"),
    "null that cancels": (faithfulness_but("null", np.mean), "null asks the policy"),
    "normalised": (normalised, "sizes stay in metres"),
}


def frugal(act, chains, edits, paraphrases, directions):
    """Right as well: asks about every chain once and once again, and uses the first answer throughout."""
    first = [act(chain) for chain in chains]
    ways = list(zip(first, directions, strict=True))
    return {"signed": float(np.mean([(act(e) - f) @ d for e, (f, d) in zip(edits, ways, strict=True)])),
            "floor": float(np.mean([abs((act(p) - f) @ d) for p, (f, d) in zip(paraphrases, ways, strict=True)])),
            "null": float(np.mean([abs((act(c) - f) @ d) for c, (f, d) in zip(chains, ways, strict=True)]))}  # fmt: skip


@pytest.mark.parametrize("function", [right_faithfulness, frugal])
def test_the_right_faithfulness_passes(function, capsys):
    assert told(check.faithfulness, function, capsys)[0]


@pytest.mark.parametrize("name", WRONG_FAITHFULNESS)
def test_wrong_faithfulness_is_refused_by_the_property_it_breaks(name, capsys):
    function, says = WRONG_FAITHFULNESS[name]
    _, _, bad, text = told(check.faithfulness, function, capsys)
    assert any(says in line for line in bad), text


@pytest.mark.parametrize("answer", [None, 0.1, {"signed": 1.0}, {"signed": "a", "floor": 0.0, "null": 0.0}])
def test_faithfulness_of_another_form_is_told(answer, capsys):
    _, good, _, text = told(check.faithfulness, lambda *a: answer, capsys)
    assert not good and ("keys" in text or "should be a number" in text)


# ---------------------------------------------------------------------------------------------- all of them
ALL = [check.loss_mask, check.mixture_sampler, check.wilson_interval, check.trials_needed, check.faithfulness]


def unwritten(*arguments):
    raise NotImplementedError("return one bool a token")


@pytest.mark.parametrize("checked", ALL)
def test_an_unwritten_function_is_told_without_hints(checked, capsys):
    result, good, bad, text = told(checked, unwritten, capsys)
    assert not result and not good and "not written yet: return one bool a token" in text and "hint" not in text


@pytest.mark.parametrize("checked", ALL)
@pytest.mark.parametrize("stops", [lambda *a: 1 / 0, lambda *a: exit(), lambda: 3, 7, None, lambda *a: [][3]])
def test_what_stops_or_is_no_function_is_told_in_words(checked, stops, capsys):
    _, good, _, text = told(checked, stops, capsys)
    assert not good and ("it stopped with" in text or "no function" in text)


def test_the_line_that_failed_is_shown(capsys):
    def shares(successes, trials):
        return successes / (trials - trials), 1

    text = told(check.wilson_interval, shares, capsys)[3]
    assert "ZeroDivisionError" in text and "at the line `return successes / (trials - trials), 1`" in text


def test_a_loop_that_never_ends_is_stopped(monkeypatch, capsys):
    monkeypatch.setattr(report, "SECONDS", 0.1)

    def endless(share, half_width):
        while True:
            try:
                time.sleep(0.001)
            except Exception:
                pass

    _, good, _, text = told(check.trials_needed, endless, capsys)
    assert not good and "no answer within 0.1 seconds" in text


def test_a_function_cannot_change_what_the_next_property_sees():
    given = [1, 2]
    assert ask(lambda values: values.clear() or 3, given) == 3 and given == [1, 2]


def test_a_mistake_of_the_checks_own_is_told_as_well(capsys):
    def odd(function):
        raise KeyError("x")

    def fine(function):
        if function(1) != 1:
            raise Wrong("2")

    result = run("thing", lambda x: x, (Property("a", "h", odd), Property("b", "h", fine)))
    assert (result.passed, result.total) == (1, 2) and "KeyError" in capsys.readouterr().out
