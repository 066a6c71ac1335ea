"""Switches that save memory, and more processes: each changes how a step is computed and not what comes out."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from radlite import train as training
from radlite.actions import ActionStats
from radlite.bases import load_vlm
from radlite.collate import CollateConfig, collate
from radlite.errors import RadliteError
from radlite.loss import rad_loss, together
from radlite.mixture import Mixture
from radlite.moments import moments, restore
from radlite.policy import load_policy
from radlite.train import TrainConfig, read_log, train
from tests import models

LESSON = CollateConfig(fields=("task", "bboxes", "move"), path_noise=0.5, field_dropout=0.2)
PLAIN = TrainConfig(steps=3, rate=2e-3, warmup=1, lora_rank=4, log_every=1, precision="no", collate=LESSON)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tiny random model: what is tested is the way, not the sight."""
    return models.save("smolvlm", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def mixture(robot, human):
    return Mixture(robot, human, robot_per_batch=3, ratio=0.67, blind_per_batch=2)


@pytest.fixture(scope="module")
def plain(small, mixture, tmp_path_factory):
    """Log and weights of three ordinary steps."""
    return _run(small, mixture, tmp_path_factory.mktemp("plain"), PLAIN)


def _run(base, mixture, out, config, **more):
    train(load_vlm(base, **more), mixture, out, config, progress=False)
    return read_log(out / "log.jsonl"), load_file(out / "adapter" / "adapter_model.safetensors")


def _alike(one, two, tolerance=1e-4):
    assert [row["step"] for row in one[0]] == [row["step"] for row in two[0]]
    for mine, other in zip(one[0], two[0], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=tolerance)
        assert mine["fields"].keys() == other["fields"].keys()
        for name, field in mine["fields"].items():
            assert field == pytest.approx(other["fields"][name], rel=10 * tolerance, abs=1e-5), name
    for name, weight in one[1].items():
        torch.testing.assert_close(weight, two[1][name], atol=5e-4, rtol=0.02)


@pytest.mark.parametrize("change", [{"micro_tokens": 400}, {"micro_tokens": 1}, {"checkpointing": True}], ids=str)
def test_a_step_in_parts_is_the_whole_step(small, mixture, plain, tmp_path, change):
    _alike(_run(small, mixture, tmp_path, replace(PLAIN, **change)), plain)


def test_parts_hold_every_sequence_once_and_like_lengths_together(vlm, robot, human):
    samples = [robot.frame(k) for k in range(4)] + [human.frame(k) for k in range(3)]
    batch = collate(samples, vlm, ActionStats.fit(robot.actions()), CollateConfig(field_dropout=0.5), (1,))
    parts = batch.parts(900)
    assert len(parts) > 1 and sum(len(p.input_ids) for p in parts) == 7
    assert sum(p.weight for p in parts) == pytest.approx(batch.weight, rel=1e-6)
    found = {tuple(ids[mask.bool()].tolist()) for p in parts for ids, mask in zip(p.input_ids, p.attention_mask, strict=True)}
    assert found == {tuple(i[m.bool()].tolist()) for i, m in zip(batch.input_ids, batch.attention_mask, strict=True)}
    for part in parts:
        assert len(part.input_ids) == 1 or part.input_ids.numel() <= 900 + 16 * len(part.input_ids)
        assert part.input_ids.shape[1] < part.attention_mask.sum(1).max() + 16  # no wider than it needs to be
    losses = [rad_loss(vlm, p, weight=batch.weight) for p in parts]
    whole = rad_loss(vlm, batch)
    torch.testing.assert_close(sum(loss.total for loss in losses), whole.total, rtol=1e-5, atol=1e-6)
    table = together([loss.fields for loss in losses])
    assert table.keys() == whole.fields.keys()
    assert all(table[k] == pytest.approx(whole.fields[k], rel=1e-4, abs=1e-6) for k in table)


def test_an_eight_bit_optimiser_learns_and_goes_on_where_it_stopped(small, mixture, tmp_path):
    pytest.importorskip("bitsandbytes")
    config = replace(PLAIN, steps=6, optimizer="paged_adamw_8bit")
    whole = _run(small, mixture, tmp_path / "whole", config)
    train(load_vlm(small), mixture, tmp_path / "parts", config, progress=False, stop_after=3)
    again = _run(small, mixture, tmp_path / "parts", config)
    assert whole[0][-1]["loss"] < whole[0][0]["loss"]
    assert again[0][-1]["loss"] == pytest.approx(whole[0][-1]["loss"], rel=1e-3)


def test_moments_in_eight_bits_survive_a_file(tmp_path):
    """From 4,096 numbers on a tensor's moments are bytes, and all of them share one table of what a byte means."""
    optim = pytest.importorskip("bitsandbytes").optim

    def begun():
        torch.manual_seed(5)
        params = [torch.nn.Parameter(torch.randn(64, 80)) for _ in range(2)]
        return params, optim.PagedAdamW8bit(params, lr=0.1)

    def stepped(params, optimizer, times):
        for _ in range(times):
            for p in params:
                p.grad = p.detach() - 1
            optimizer.step()

    params, optimizer = begun()
    stepped(params, optimizer, 3)
    save_file(moments(optimizer), tmp_path / "moments.safetensors")
    others, other = begun()
    stepped(others, other, 1)  # it has a state of its own to lose
    for mine, theirs in zip(others, params, strict=True):
        mine.data.copy_(theirs.data)
    restore(other, load_file(tmp_path / "moments.safetensors"))
    for p, o in ((params, optimizer), (others, other)):
        stepped(p, o, 2)
    assert all(torch.equal(a, b) for a, b in zip(params, others, strict=True))
    assert any(t.dtype == torch.uint8 for t in moments(optimizer).values())


def test_half_precision_has_near_the_same_losses(small, mixture, plain, tmp_path):
    """On a card without bf16; here on the CPU: near the same losses."""
    found = _run(small, mixture, tmp_path, replace(PLAIN, precision="fp16"))
    for mine, other in zip(found[0], plain[0], strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=0.02)


def _overflows(monkeypatch, steps):
    """Gradients that are infinite in these steps, counted from 0, as those of a loss that was scaled too far."""
    share, done = training._Run._share_gradients, []

    def shared(self):
        share(self)
        if len(done) in steps:
            self.params[0].grad.view(-1)[0] = torch.inf
        done.append(None)

    monkeypatch.setattr(training._Run, "_share_gradients", shared)
    return done


def _scale(out):
    return json.loads((out / "checkpoint" / "radlite.json").read_text())["scaler"]["scale"]


HALF = replace(PLAIN, precision="fp16", steps=5)


def test_a_scaled_loss_that_overflows_costs_its_step_and_half_of_the_scale(small, mixture, tmp_path, monkeypatch):
    _overflows(monkeypatch, [2])
    vlm, weights = load_vlm(small), []

    def told(row):
        weights.append([p.detach().clone() for p in vlm.model.parameters() if p.requires_grad])

    train(vlm, mixture, tmp_path, HALF, progress=False, on_log=told)
    assert _scale(tmp_path) == 512.0
    same = [all(map(torch.equal, one, two)) for one, two in zip(weights, weights[1:], strict=False)]
    assert same == [False, True, False, False]  # the third step changes nothing, and then it goes on
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [1, 2, 3, 4, 5]


def test_a_resumed_run_scales_as_the_one_that_was_not_stopped(small, mixture, tmp_path, monkeypatch):
    _overflows(monkeypatch, [1])
    train(load_vlm(small), mixture, tmp_path, HALF, progress=False, stop_after=3)
    monkeypatch.undo()
    train(load_vlm(small), mixture, tmp_path, HALF, progress=False)
    assert _scale(tmp_path) == 512.0
    state = json.loads((tmp_path / "checkpoint" / "radlite.json").read_text())["scaler"]
    assert state["_growth_tracker"] == 3  # steps since: one before the stop, two behind it


def test_overflow_upon_overflow_ends_the_training(small, mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "MOST_SKIPPED", 3)
    done = _overflows(monkeypatch, range(1, 100))
    with pytest.raises(RadliteError, match="gradient norm inf at step 4"):
        train(load_vlm(small), mixture, tmp_path, replace(HALF, steps=50), progress=False)
    assert len(done) == 5  # a good one, three that were let pass, and the one too many
    assert not (tmp_path / "adapter").exists()


def test_overflows_that_are_not_in_a_row_may_be_many(small, mixture, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "MOST_SKIPPED", 1)
    _overflows(monkeypatch, [0, 2, 4])
    assert train(load_vlm(small), mixture, tmp_path, HALF, progress=False).steps == 5
    assert _scale(tmp_path) == 128.0


@pytest.mark.parametrize("wish", [{"optimizer": "sgd"}, {"micro_tokens": -1}, {"precision": "int8"}])
def test_unknown_switches_are_refused(wish):
    with pytest.raises(RadliteError):
        TrainConfig(**wish)


@pytest.mark.parametrize("bits", ["whole", "four bits"])
def test_two_processes_do_what_one_does(bits, small, clips, tmp_path):
    """`accelerate launch` with gloo: the same mean loss of ten steps and the same adapter, up to rounding.

    The fields of the log are those of the first process's own sequences (`TrainLog`), so they are not compared.
    """
    data = ["--robot", str(clips["robot"]), "--human", str(clips["human"]), "--model", str(small), "--steps", "10"]
    sizes = ["--robot-per-batch", "4", "--ratio", "0.5", "--blind-per-batch", "3", "--lora-rank", "4", "--precision", "no"]
    if bits == "four bits":
        pytest.importorskip("bitsandbytes")
        sizes += ["--quantize", "nf4"]
    here = ["--multi_gpu", "--mixed_precision", "no", "--num_machines", "1", "--dynamo_backend", "no"]
    launch = [sys.executable, "-m", "accelerate.commands.launch", *here]
    results, losses = {}, {}
    for processes in (1, 2):
        out = tmp_path / str(processes)
        train_it = ["-m", "radlite", "train", *data, *sizes, "--out", str(out)]
        command = [*launch, "--num_processes", "2", *train_it] if processes == 2 else [sys.executable, *train_it]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        results[processes] = load_file(out / "adapter" / "adapter_model.safetensors")
        made = json.loads((out / "adapter" / "radlite.json").read_text())["train"]
        assert (made["steps_done"], made["processes"]) == (10, processes)
        losses[processes] = [row["loss"] for row in read_log(out / "log.jsonl")]
    assert len(losses[1]) == 1 and losses[2] == pytest.approx(losses[1], rel=1e-4)  # the mean of ten steps
    moved = 0.0
    for name, weight in results[1].items():
        assert (results[2][name] - weight).norm() <= 0.1 * weight.norm() + 1e-6, name  # Adam makes a step of any rounding
        moved += float(weight.abs().sum()) if "lora_B" in name else 0.0
    assert moved > 0
    load_policy(small, tmp_path / "2")


def test_every_class_goes_through_parts_and_checkpoints(robot, human, tmp_path):
    """Qwen's positions and deep features belong to their rows, also in parts."""
    mixture = Mixture(robot, human, robot_per_batch=3, ratio=0.67)
    for kind in models.KINDS:
        folder = models.save(kind, tmp_path / kind)
        plain = _run(folder, mixture, tmp_path / f"{kind}-plain", PLAIN)
        switched = replace(PLAIN, micro_tokens=700, checkpointing=True)
        _alike(_run(folder, mixture, tmp_path / f"{kind}-parts", switched), plain)
