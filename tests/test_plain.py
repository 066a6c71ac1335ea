"""The fast way of writing writes what plain `generate` does: every family, one row and many, with and without drafts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radlite.actions import BRIDGE_STATS
from radlite.bases import load_vlm
from radlite.episodes import EpisodeDataset
from radlite.plain import generate
from radlite.policy import Policy, load_policy
from radlite.reasoning import ACTION_TAG
from tests import models

CLOSE = 1e-4  # of two logits: nearer than that, rounding decides which word it is
ROBOT = Path(__file__).parents[1] / "data_samples" / "robot"


@pytest.fixture(scope="module", params=models.KINDS)
def random(request, tmp_path_factory):
    """A random model: its chains never end by themselves."""
    vlm = load_vlm(models.save(request.param, tmp_path_factory.mktemp(request.param)))
    return Policy(vlm, BRIDGE_STATS, longest_chain=24, precision="no")


@pytest.fixture(scope="module")
def rad():
    return replace(load_policy("radlite-tiny", "rad", device="cpu"), precision="no")


def pairs(count):
    """`count` frames of the shipped robot clips, and those right before them: (before, now)."""
    clips = EpisodeDataset(ROBOT)
    at = [k for k in range(1, clips.num_frames) if clips.frame(k).step][:: clips.num_frames // (count + 4)][:count]
    assert len(at) == count
    return [clips.frame(k - 1) for k in at], [clips.frame(k) for k in at]


def alike(plain, fast):
    """The same tokens, up to where rounding decides; how many rows are the same to the end."""
    whole = 0
    for one, other in zip(plain, fast, strict=True):
        margin = one.margin_where_it_differs(other.tokens)
        assert margin is None or margin < CLOSE
        assert margin is not None or one.tokens == other.tokens
        whole += margin is None
    return whole


def test_random_models_write_what_plain_generate_writes(random):
    images = np.random.default_rng(3).integers(0, 256, (5, 64, 64, 3), np.uint8)
    told = ["stop", "put the red can on the white plate", "pick up the red can", "go", "stop now"]
    chain = EpisodeDataset(ROBOT).frame(0).reasoning
    chains = [None, chain.before("plan"), False, chain.before("move"), chain]
    plain = generate(random, images, told, chains)
    tag = len(random.vlm.encode(f" {ACTION_TAG}"))
    assert {len(one.tokens) for one in plain} >= {tag + 7, 30 + tag + 7}  # at once, and never by itself
    drafts = random.predict(images[::-1], told, chains, decode="mode")
    for guess in (None, drafts):
        assert alike(plain, random.predict(images, told, chains, decode="mode", drafts=guess)) >= 4


@pytest.mark.parametrize("batch", [1, 32])
def test_a_robot_writes_what_plain_generate_writes(rad, batch):
    before, now = pairs(batch)
    plans = [s.reasoning.before("bboxes") for s in now]
    told = [s.instruction for s in now]
    plain = generate(rad, [s.image for s in now], told, plans)
    said = rad.predict([s.image for s in before], told, plans, decode="mode")
    for drafts in (None, said):
        fast = rad.predict([s.image for s in now], told, plans, decode="mode", drafts=drafts)
        assert alike(plain, fast) >= 0.9 * batch
        assert np.mean([p.reasoning.move is not None for p in fast]) > 0.9  # chains that end, with fields in them
