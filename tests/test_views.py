"""Views: parts, unions and other people's chains, read like the datasets under them."""

import numpy as np
import pytest

from radlite.errors import RadliteError
from radlite.mixture import Mixture
from radlite.views import View, some_episodes, together, with_chains_of_others


def test_a_view_of_everything_is_the_dataset(robot):
    view = together(robot)
    assert view.num_frames == robot.num_frames and view.embodiment == "robot"
    for k in (0, 7, robot.num_frames - 1):
        assert view.frame(k).episode == robot.frame(k).episode and (view.frame(k).image == robot.frame(k).image).all()
        assert view.reasoning(k) == robot.reasoning(k)
    assert (view.actions() == robot.actions()).all()


def test_two_datasets_are_read_one_after_the_other(robot, few):
    view = together(robot, few)
    assert view.num_frames == robot.num_frames + few.num_frames
    assert (view.frame(robot.num_frames + 1).image == few.frame(1).image).all()
    assert (view.actions()[robot.num_frames :] == few.actions()).all()
    assert view.sha256 != together(few, robot).sha256 != robot.sha256


def test_some_episodes_are_whole_episodes_of_that_axis(human):
    axes = [human.episode_meta(i)["axis"] for i in range(len(human))]
    for axis in set(axes):
        view, mine = some_episodes(human, axis=axis), [i for i, a in enumerate(axes) if a == axis]
        assert [view.frame(k).episode for k in range(view.num_frames)] == [
            i for i in mine for _ in range(len(human[i].frames))
        ]
    first = some_episodes(human, 1)
    assert first.num_frames == len(human[0].frames) and first.sha256 != some_episodes(human, 2).sha256


def test_chains_of_others_keep_pictures_and_words_but_never_together(human):
    view = with_chains_of_others(human)
    assert view.num_frames == human.num_frames
    for k in range(view.num_frames):
        mine, shown = human.frame(k), view.frame(k)
        assert (shown.image == mine.image).all() and shown.episode == mine.episode
        assert shown.reasoning == view.reasoning(k)
        words = [human.frame(j) for j in range(human.num_frames) if human.reasoning(j) == shown.reasoning]
        assert all(w.episode != mine.episode for w in words)
        assert shown.instruction in {w.instruction for w in words}  # the instruction goes with its chain
    starts = [human.episode_slice(i).start for i in range(len(human))]
    assert all(view.frame(k).step == 0 for k in starts)  # as far along as the picture is
    assert view.sha256 == with_chains_of_others(human).sha256
    assert len({with_chains_of_others(human, seed).sha256 for seed in range(9)}) == 2  # three clips have two such circles


def test_a_mixture_takes_views(robot, human):
    mixture = Mixture(together(robot, robot), some_episodes(human, 2), 4, 1.0, blind_per_batch=2)
    assert [s.embodiment for s in mixture.batch(3)] == ["robot"] * 4 + ["human"] * 4 and len(mixture.blind(3)) == 2


def test_what_makes_no_view_is_refused(robot, human):
    with pytest.raises(RadliteError, match="one embodiment"):
        together(robot, human)
    with pytest.raises(RadliteError, match="one embodiment"):
        together()
    with pytest.raises(RadliteError, match="99 episodes"):
        some_episodes(human, 99)
    with pytest.raises(RadliteError, match="axis newest"):
        some_episodes(human, axis="newest")
    with pytest.raises(RadliteError, match="actions belong"):
        View([robot], words=np.zeros(robot.num_frames, np.int64))
    with pytest.raises(RadliteError, match="two clips"):
        with_chains_of_others(_First(human))


class _First:
    """A dataset of one episode."""

    def __init__(self, dataset):
        self.path, self.num_frames = dataset.path, len(dataset[0].frames)

    def __len__(self):
        return 1
