"""Four bits: what is quantised and what is not, gradients that outlive a prediction, and learning on top of it."""

import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

bnb = pytest.importorskip("bitsandbytes")

from radlite.actions import ActionStats  # noqa: E402
from radlite.adapter import attach_lora  # noqa: E402
from radlite.bases import load_vlm  # noqa: E402
from radlite.cli import main  # noqa: E402
from radlite.collate import CollateConfig, collate  # noqa: E402
from radlite.episodes import Episode, EpisodeDataset, write_dataset  # noqa: E402
from radlite.errors import RadliteError  # noqa: E402
from radlite.loss import rad_loss  # noqa: E402
from radlite.mixture import Mixture  # noqa: E402
from radlite.policy import load_policy  # noqa: E402
from radlite.quantize import PARTS, class_table, linears, secure, unpacked  # noqa: E402
from radlite.reasoning import Reasoning  # noqa: E402
from radlite.train import TrainConfig, read_log, train  # noqa: E402
from tests import models  # noqa: E402

LESSON = CollateConfig(fields=("task", "move"))


@pytest.fixture(scope="module", params=[*models.KINDS, "radlite-tiny"])
def folder(request, base, tmp_path_factory):
    """A base of every class, the embedded one among them."""
    return base if request.param == "radlite-tiny" else models.save(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def sixteen(robot, human, tmp_path_factory):
    """Ten robot frames and six human ones, each an episode, with a short chain."""
    out = tmp_path_factory.mktemp("sixteen")
    for name, data, count in (("robot", robot, 10), ("human", human, 6)):
        episodes = []
        for k in np.linspace(0, data.num_frames - 1, count):
            f = data.frame(int(k))
            chain = Reasoning(task=f.reasoning.task, move=f.reasoning.move)
            episodes.append(Episode(f.instruction, f.image[None], (chain,), name, None if f.action is None else f.action[None]))
        write_dataset(out / name, episodes)
    return out


def test_the_decoder_is_quantised_and_nothing_else(folder):
    found = linears(load_vlm(folder, quantize="nf4"))
    whole = linears(load_vlm(folder))
    assert set(found["decoder"]) == {"Linear4bit"} and tuple(found) == PARTS
    assert all(set(found[part]) == {"Linear"} for part in PARTS if part != "decoder")
    assert {part: sum(counts.values()) for part, counts in found.items()} == {p: sum(c.values()) for p, c in whole.items()}
    assert found["head"] == {"Linear": 1} and set(whole["decoder"]) == {"Linear"}


@pytest.mark.parametrize("kind, projector", [("smolvlm", 1), ("qwen3_vl", 6)])  # Qwen: a merger behind the tower and two within
def test_the_projector_is_a_part_of_its_own(kind, projector, tmp_path):
    vlm = load_vlm(models.save(kind, tmp_path), quantize="nf4")
    assert linears(vlm)["projector"] == {"Linear": projector}
    rows = [line.split() for line in class_table(vlm).splitlines()]
    assert rows[0] == ["part", "class", "layers"] and [row[0] for row in rows[1:]] == [*PARTS]
    assert rows[2] == ["projector", "Linear", str(projector)] and rows[3] == ["decoder", "Linear4bit", str(3 * 7)]


def test_sixteen_bits_stay_beside_four(folder):
    """Our own preparation: only what is trained is float32, and nothing that is frozen is made larger."""
    vlm = load_vlm(folder, torch.bfloat16, quantize="nf4")
    attach_lora(vlm, 4, 4, 0)
    kinds = {trained: {p.dtype for p in vlm.model.parameters() if p.requires_grad == trained} for trained in (True, False)}
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16, torch.uint8}}


@pytest.mark.parametrize("how", [{"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
                                 {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, {"load_in_8bit": True}], ids=str)
@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_weights_that_were_quantised_before_are_refused(how, quantize, tmp_path):
    """They would be trained, merged and exported as if they were whole, and nobody had looked at their layers."""
    folder = models.save("smolvlm", tmp_path / "whole")
    settings = BitsAndBytesConfig(**how)
    model = AutoModelForImageTextToText.from_pretrained(folder, quantization_config=settings, device_map={"": "cpu"})
    model.save_pretrained(tmp_path / "small")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path / "small")
    with pytest.raises(RadliteError, match="quantised already.*quantize='nf4'"):
        load_vlm(tmp_path / "small", quantize=quantize)


def test_a_model_that_was_loaded_otherwise_is_refused(folder):
    whole = load_vlm(folder)
    with pytest.raises(RadliteError, match="in four bits"):
        secure(whole)
    four = load_vlm(folder, quantize="nf4")
    name, layer = next((n, m) for n, m in four.base.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" != n
                       and not isinstance(m, bnb.nn.Linear4bit))
    four.base.set_submodule(name, bnb.nn.Linear4bit(layer.in_features, layer.out_features))
    with pytest.raises(RadliteError, match="whole"):
        secure(four)


def _gradients(vlm, batch):
    vlm.model.train()
    vlm.model.zero_grad()
    rad_loss(vlm, batch).total.backward()
    return {n: p.grad.clone() for n, p in vlm.model.named_parameters() if p.requires_grad and p.grad is not None}


def test_gradients_are_those_of_the_weights_that_four_bits_stand_for(folder, sixteen):
    """Loss and gradients of LoRA through four bits, against the same weights unpacked into ordinary layers."""
    four, whole = load_vlm(folder, torch.float32, quantize="nf4"), load_vlm(folder, torch.float32)
    layers = dict(whole.base.named_modules())
    for name, layer in four.base.named_modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            layers[name].weight.data = unpacked(layer).float()
    found = [_gradients(*_adapted(vlm, sixteen)) for vlm in (four, whole)]
    assert found[0].keys() == found[1].keys()
    norm = sum(g.square().sum() for g in found[1].values()).sqrt()
    off = sum((found[0][n] - g).square().sum() for n, g in found[1].items()).sqrt()
    assert off < 1e-5 * norm


def _passes(folder, sixteen):
    """A model in four bits with LoRA whose B is not zero, and a batch."""
    return _adapted(load_vlm(folder, quantize="nf4"), sixteen)


def _adapted(vlm, sixteen):
    """The model with LoRA whose B is not zero, the same for the same names, and a batch."""
    data = EpisodeDataset(sixteen / "robot").cache()
    attach_lora(vlm, 4, 4, 0)
    with torch.no_grad():
        for name, p in vlm.model.named_parameters():
            if "lora_B" in name:
                p.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    samples = [data.frame(k) for k in range(4)]
    return vlm, collate(samples, vlm, ActionStats.fit(data.actions()), LESSON)


def _predicts(vlm, batch):
    vlm.model.eval()
    with torch.no_grad():
        vlm.forward(batch.input_ids, batch.attention_mask, batch.pixel_values)


def test_gradients_are_the_same_after_a_prediction(folder, sixteen):
    vlm, batch = _passes(folder, sixteen)
    before = _gradients(vlm, batch)
    _predicts(vlm, batch)
    after = _gradients(vlm, batch)
    assert before.keys() == after.keys() and len(before) > 10
    for name, gradient in before.items():
        assert (after[name] - gradient).norm() <= 1e-6 * gradient.norm(), name


def _may_repack(folder):
    """Of every layer in four bits of a freshly loaded model: whether it may repack its weights when it predicts."""
    layers = load_vlm(folder, quantize="nf4").base.modules()
    return [layer.support_avx512bf16_for_cpu for layer in layers if isinstance(layer, bnb.nn.Linear4bit)]


def test_the_guard_is_on_every_layer_whatever_the_processor(folder, monkeypatch):
    """A layer asks the processor when it is made; one without AVX512-BF16 needs no guard, so ours is made to say it has it."""
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: True)
    guarded = _may_repack(folder)
    monkeypatch.setattr("radlite.bases.secure", lambda vlm: None)
    bare = _may_repack(folder)
    assert len(guarded) == len(bare) > 10 and all(bare) and not any(guarded)


@pytest.mark.skipif(not bnb.functional.has_avx512bf16(), reason="this processor has no AVX512-BF16: the trap is not there")
def test_without_the_guard_they_are_not(folder, sixteen):
    """What the guard is for; when a new bitsandbytes mends it, this fails, and the guard may go."""
    vlm, batch = _passes(folder, sixteen)
    for layer in vlm.base.modules():
        if isinstance(layer, bnb.nn.Linear4bit):
            layer.support_avx512bf16_for_cpu = True
    before = _gradients(vlm, batch)
    _predicts(vlm, batch)
    after = _gradients(vlm, batch)
    lost = [n for n in before if n not in after or (after[n] - before[n]).norm() > 0.1 * before[n].norm()]
    assert lost


def test_weights_in_four_bits_cannot_be_trained_themselves(folder, sixteen, tmp_path):
    mixture = Mixture(EpisodeDataset(sixteen / "robot"), None, 2)
    with pytest.raises(RadliteError, match="lora_rank=0"):
        train(load_vlm(folder, quantize="nf4"), mixture, tmp_path / "run", TrainConfig(steps=2, lora_rank=0), progress=False)
    assert not (tmp_path / "run" / "adapter").exists()


def test_sixteen_samples_are_learnt_by_heart_in_four_bits(folder, sixteen, tmp_path, capsys):
    """`radlite train --quantize nf4`, then `load_policy` acts: the whole way of a real model, on a CPU."""
    steps = "80" if load_vlm(folder).vocabulary > 1_000 else "100"  # the embedded one is larger, slower, and learns sooner
    command = ["train", "--robot", str(sixteen / "robot"), "--human", str(sixteen / "human"), "--model", str(folder)]
    sizes = ["--robot-per-batch", "10", "--ratio", "0.6", "--blind-per-batch", "0", "--lora-rank", "16"]
    lesson = ["--steps", steps, "--rate", "6e-3", "--action-weight", "20"]
    assert main([*command, *sizes, *lesson, "--quantize", "nf4", "--out", str(tmp_path / "run")]) == 0
    last = read_log(tmp_path / "run" / "log.jsonl")[-1]["fields"]
    assert last["action"]["accuracy"] >= 0.95, last["action"]
    assert "Linear4bit" in capsys.readouterr().out  # what is in four bits is told before the training
    policy = load_policy(folder, tmp_path / "run", quantize="nf4")
    assert set(linears(policy.vlm)["decoder"]) == {"Linear4bit"}
    data = EpisodeDataset(sixteen / "robot").cache()
    frames = [data.frame(k) for k in range(10)]
    said = policy.predict(np.stack([f.image for f in frames]), [f.instruction for f in frames], [f.reasoning for f in frames])
    truth = np.stack([f.action for f in frames])
    assert np.median(np.abs(np.stack([p.action for p in said]) - truth)[:, :3]) < 0.005  # metres
