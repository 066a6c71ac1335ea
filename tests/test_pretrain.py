"""The pre-training: it runs, resumes, goes on from a base, and what it writes is a base."""

import json

import numpy as np
import pytest
import torch

from radlite.base import batches, pretrain
from radlite.base.batches import Meter, Pictures, Wording, coarser
from radlite.base.data import CLASSES, GRID, make_pictures
from radlite.base.pretrain import PatchNames, PretrainConfig
from radlite.bases import load_vlm

HELD_OUT = 128
SMALL = PretrainConfig(pictures=16, dense_steps=1, text_steps=2, dense_batch=4, batch=4, drill_batch=3, told_batch=2, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        for module in (batches, pretrain):
            patch.setattr(module, "HELD_OUT", HELD_OUT)
        make_pictures(out / "pictures", SMALL.pictures + HELD_OUT, SMALL.seed, workers=1, chunk=48)
        pretrain.pretrain(out, SMALL, log_every=1)
        yield out


def test_it_writes_a_base_and_a_finished_run_is_not_repeated(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3] and all(np.isfinite(line["loss"]) for line in lines)
    before = load_vlm(folder / "model").sha256
    pretrain.pretrain(folder, SMALL)
    assert load_vlm(folder / "model").sha256 == before


def test_it_goes_on_from_a_base(folder, tmp_path):
    (tmp_path / "pictures").symlink_to(folder / "pictures")
    config = PretrainConfig(**{**SMALL.__dict__, "dense_steps": 0, "text_steps": 1, "start": str(folder / "model")})
    pretrain.pretrain(tmp_path, config)
    old, new = (dict(load_vlm(f / "model").model.named_parameters()) for f in (folder, tmp_path))
    moved = max(float((old[k] - new[k]).detach().abs().max()) for k in old)
    assert 0 < moved < 0.01  # one small step away, not a fresh start


def test_held_out_pictures_are_never_drawn_and_the_meter_reads_them(folder):
    pictures = Pictures(folder / "pictures", 0)
    assert pictures.train == len(pictures.views) - HELD_OUT
    drawn = np.concatenate([pictures.batch(step, 4)[0] for step in range(50)])
    assert drawn.max() < pictures.train and np.array_equal(pictures.batch(7, 4)[0], pictures.batch(7, 4)[0])
    vlm = load_vlm(folder / "model")
    head = PatchNames(vlm.tokenizer, vlm.model.config.text_config.hidden_size)
    marks = pretrain.evaluate(vlm.model, pictures, Wording(vlm.tokenizer), Meter(vlm.tokenizer), head)
    assert {"patches", "drills", "x", "lateral", "words"} <= set(marks) and 0 <= marks["drills"] <= 1


def test_labels_are_the_paid_tokens():
    vlm = load_vlm()
    batch = Wording(vlm.tokenizer).drill_batch(3, np.random.default_rng(0), 2)
    paid = batch["labels"] != -100
    assert torch.equal(batch["labels"][paid], batch["input_ids"][paid]) and 0 < paid.float().mean() < 0.5
    said = vlm.tokenizer.decode(batch["labels"][0][paid[0]])
    assert "cm" in said and "gripper" not in said


def test_coarser_patches_keep_what_covers_most():
    cells = np.zeros((1, GRID * GRID), np.uint8)
    cells.reshape(GRID, GRID)[:4, :4] = CLASSES.index("red can")  # 3 x 3 patches of 12 x 12
    patches = coarser(cells, 12).reshape(12, 12)
    assert (patches[:3, :3] == CLASSES.index("red can")).all() and (patches[3:] == 0).all()


def test_tokens_that_no_sentence_holds_keep_their_rows(folder):
    from radlite.tiny import build_model

    vlm = load_vlm(folder / "model")
    rows = vlm.model.get_input_embeddings().weight.detach()
    born = build_model(vlm.tokenizer, SMALL.seed).get_input_embeddings().weight.detach()
    vocabulary = vlm.tokenizer.get_vocab()
    silent = [*vlm.action_ids.tolist(), vlm.eos_id, vocabulary[" ACTION:"], vocabulary[" MOVE REASONING:"]]
    assert (rows[silent] - born[silent]).abs().max() < 1e-6  # weight decay only
    spoken = [vocabulary[t] for t in (" is", " 3 cm left", " 3 cm right")]
    assert (rows[spoken] - born[spoken]).abs().max(1).values.min() > 1e-5  # three steps of the warm-up
