"""The order of samples: a function of seed and step, fair to every sample, and deaf to the human side."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radlite.errors import RadliteError
from radlite.mixture import HUMAN, ROBOT, Mixture, draw


@dataclass(frozen=True)
class Rows:
    """What a mixture asks of a dataset; a sample is its own index."""

    embodiment: str
    num_frames: int

    def frame(self, k):
        return self.embodiment, k


SIZES, SEEDS, STEPS = st.integers(1, 40), st.integers(0, 2**32), st.integers(0, 10_000)
RATIOS = st.sampled_from([Fraction(1, 10), Fraction(1, 3), Fraction(1, 2), Fraction(7, 10), Fraction(3)])
MIXTURES = st.builds(
    lambda robot, human, count, ratio, seed: Mixture(
        Rows("robot", robot), Rows("human", human) if human else None, count, float(ratio), seed
    ),
    SIZES, st.integers(0, 40), st.integers(1, 9), RATIOS, SEEDS,
)  # fmt: skip


@given(MIXTURES, STEPS)
def test_a_batch_depends_on_seed_and_step_alone(mixture, step):
    fresh = Mixture(mixture.robot, mixture.human, mixture.robot_per_batch, mixture.ratio, mixture.seed)
    once = mixture.batch(step)
    mixture.batch(step + 3)  # looking elsewhere leaves no trace
    assert once == mixture.batch(step) == fresh.batch(step)


@given(SIZES, SEEDS, st.integers(0, 5), st.integers(1, 7), st.sampled_from([ROBOT, HUMAN]))
def test_every_epoch_shows_each_sample_once(size, seed, epoch, chunk, stream):
    starts = range(epoch * size, (epoch + 1) * size, chunk)
    shown = [draw(seed, stream, s, min(chunk, (epoch + 1) * size - s), size) for s in starts]
    assert sorted(np.concatenate(shown)) == list(range(size))


@given(MIXTURES, STEPS, st.integers(0, 9))
def test_blind_samples_are_the_robots_and_deaf_to_the_human_side(mixture, step, count):
    more = replace(mixture, blind_per_batch=count)
    assert more.batch(step) == mixture.batch(step) and mixture.blind(step) == []
    assert more.blind(step) == replace(more, human=None).blind(step) and len(more.blind(step)) == count
    assert {who for who, _ in more.blind(step)} <= {"robot"}


def test_epochs_seeds_and_streams_are_shuffled_differently():
    first = draw(0, ROBOT, 0, 50, 50)
    others = [draw(0, ROBOT, 50, 50, 50), draw(1, ROBOT, 0, 50, 50), draw(0, HUMAN, 0, 50, 50)]
    assert all((first != other).any() for other in others) and (first != np.arange(50)).any()


@given(SIZES, st.integers(1, 9), SEEDS, STEPS, RATIOS, st.integers(1, 40))
def test_robot_draws_do_not_know_the_human_side(size, count, seed, step, ratio, humans):
    alone = Mixture(Rows("robot", size), None, count, 1.0, seed)
    mixed = Mixture(Rows("robot", size), Rows("human", humans), count, float(ratio), seed)
    batch = mixed.batch(step)
    assert alone.batch(step) == batch[:count]
    assert {who for who, _ in batch[count:]} <= {"human"}


@given(st.integers(1, 9), RATIOS, SEEDS, st.integers(0, 3000))
def test_a_fractional_ratio_is_exact_over_time(count, ratio, seed, step):
    mixture = Mixture(Rows("robot", 5), Rows("human", 5), count, float(ratio), seed)
    assert mixture.humans_before(step) == step * count * ratio // 1
    drawn = len(mixture.indices(step)[1])
    assert drawn == mixture.humans_before(step + 1) - mixture.humans_before(step)
    assert abs(drawn - count * ratio) < 1  # spread evenly, not in bursts


def test_human_samples_too_come_once_an_epoch_across_batches():
    mixture = Mixture(Rows("robot", 4), Rows("human", 7), 2, 0.5, 3)  # one human sample a step
    assert sorted(k for step in range(7) for k in mixture.indices(step)[1]) == list(range(7))


@pytest.mark.parametrize(
    "robot, human, found",
    [(Rows("human", 3), None, "embodiment 'human'"), (Rows("robot", 3), Rows("robot", 3), "embodiment 'robot'")],
)
def test_swapped_datasets_are_refused(robot, human, found):
    with pytest.raises(RadliteError, match=found):
        Mixture(robot, human)


@pytest.mark.parametrize(
    "change",
    [{"robot_per_batch": 0}, {"ratio": -0.1}, {"ratio": float("nan")}, {"ratio": float("inf")}, {"seed": -1},
     {"blind_per_batch": -1}],
)
def test_numbers_without_sense_are_refused(change):
    with pytest.raises(RadliteError, match=f"{next(iter(change))}={next(iter(change.values()))}"):
        Mixture(Rows("robot", 3), None, **change)


def test_real_datasets(robot, human):
    batch = Mixture(robot, human, 3, 1.0).batch(0)
    assert [s.embodiment for s in batch] == ["robot"] * 3 + ["human"] * 3
    assert all((s.action is None) == (s.embodiment == "human") for s in batch)


@given(MIXTURES, st.integers(1, 12), st.integers(0, 5))
def test_human_first_is_humans_and_then_the_robots_of_a_mixture_without_them(mixture, first, blind):
    if mixture.human is None:
        with pytest.raises(RadliteError, match="human data for human_first"):
            replace(mixture, human_first=first)
        return
    two = replace(mixture, human_first=first, blind_per_batch=blind)
    plain = replace(mixture, human=None, blind_per_batch=blind)
    for step in range(first):
        assert {who for who, _ in two.batch(step)} <= {"human"} and two.blind(step) == []
    for step in range(3):
        assert two.batch(first + step) == plain.batch(step) and two.blind(first + step) == plain.blind(step)
    counted = [who for step in range(first + 3) for who, _ in two.batch(step)]
    assert counted.count("human") == two.humans_before(first + 3) and counted.count("robot") == two.robots_before(first + 3)
