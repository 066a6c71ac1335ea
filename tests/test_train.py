"""Training: it learns, it can be stopped anywhere, and whatever goes wrong leaves the last good files as they were."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from radlite import adapter as adapters
from radlite import checkpoint
from radlite import resume as resuming
from radlite.actions import ActionStats
from radlite.adapter import load_adapter
from radlite.bases import load_vlm
from radlite.cli import main
from radlite.collate import CollateConfig, longest_chain
from radlite.demo import DemoConfig, demo_training
from radlite.errors import RadliteError
from radlite.mixture import Mixture
from radlite.policy import Policy, load_policy
from radlite.reasoning import Reasoning
from radlite.train import TrainConfig, rate_at, read_log, train
from tests import models

LESSON = ("task", "move")  # short sequences train fast
SHORT = TrainConfig(
    steps=6, rate=2e-3, warmup=2, lora_rank=4, log_every=2, precision="no",
    collate=CollateConfig(fields=LESSON, reasoning_dropout=0.2, field_dropout=0.2),
)  # fmt: skip


@pytest.fixture(scope="module")
def mixture(robot, human):
    return Mixture(robot, human, robot_per_batch=2, ratio=0.5)


def run(base, mixture, out, config=SHORT, **more):
    return train(load_vlm(base), mixture, out, config, progress=False, **more)


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(base, mixture, tmp_path_factory):
    """A finished LoRA run of six steps. Read it only."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run(base, mixture, out)
    return out


# ---------------------------------------------------------------------------------------------------- learning
def test_it_learns(taught):
    rows = read_log(taught[0] / "log.jsonl")
    assert rows[-1]["loss"] < 0.25 * rows[0]["loss"]
    assert all(f["accuracy"] > 0.9 for f in rows[-1]["fields"].values())


def test_the_log_is_told_row_by_row(base, mixture, tmp_path):
    told = []
    run(base, mixture, tmp_path / "run", on_log=told.append)
    assert told == read_log(tmp_path / "run" / "log.jsonl") and [row["step"] for row in told] == [2, 4, 6]


def test_the_log(finished):
    rows = read_log(finished / "log.jsonl")
    assert [r["step"] for r in rows] == [2, 4, 6]
    for row in rows:
        assert set(row) == {"step", "loss", "lr", "samples_per_s", "fields"}
        assert row["loss"] > 0 and row["samples_per_s"] > 0
        assert {"action", "eos"} <= set(row["fields"]) <= {*LESSON, "action", "eos"}
        assert all(set(f) == {"loss", "accuracy", "tokens"} for f in row["fields"].values())
    assert rows[0]["lr"] > rows[1]["lr"] > rows[2]["lr"] > 0  # warm-up is over, the cosine falls


def test_a_log_that_was_cut_off_is_read_up_to_there(tmp_path):
    whole = json.dumps({"step": 1, "fields": {"task": {"loss": 1.0}}})
    path = tmp_path / "log.jsonl"
    path.write_text(whole + "\n" + whole[:-1])  # what is left still ends with a brace
    assert [r["step"] for r in read_log(path)] == [1]
    assert read_log(tmp_path / "none") == []


# ---------------------------------------------------------------------------------------------------- resuming
@pytest.mark.parametrize("rank", [4, 0], ids=["lora", "full"])
def test_six_steps_are_three_and_three(base, mixture, finished, tmp_path, rank):
    config = replace(SHORT, lora_rank=rank)
    whole = finished
    if rank == 0:
        whole = tmp_path / "whole"
        run(base, mixture, whole, config)
    first = run(base, mixture, tmp_path / "parts", config, stop_after=3)
    assert (first.steps, first.interrupted) == (3, False)
    second = run(base, mixture, tmp_path / "parts", config)
    assert second.steps == 6
    one, two = (load_file(p / "checkpoint" / "state.safetensors") for p in (whole, tmp_path / "parts"))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-6)
    assert any(name.startswith("weight/") and one[name].abs().sum() > 0 for name in one)
    steps = [r["step"] for r in read_log(tmp_path / "parts" / "log.jsonl")]
    assert steps == [2, 4, 6]  # the line of a step that was done again is there once


@pytest.mark.parametrize("kind", models.KINDS)
def test_an_output_layer_of_its_own_is_trained_kept_and_taken_up_again(mixture, tmp_path, kind):
    """Full training of a model whose output layer is not its embedding."""
    base, config = models.save(kind, tmp_path / "base", tied=False), replace(SHORT, lora_rank=0, steps=4, log_every=1)
    vlm = load_vlm(base)
    train(vlm, mixture, tmp_path / "whole", config, progress=False)
    trained, before = vlm.base.lm_head.weight, load_vlm(base).base.lm_head.weight
    assert (trained - before).abs().max() > 1e-3
    assert torch.equal(load_policy(base, tmp_path / "whole").vlm.base.lm_head.weight, trained)
    run(base, mixture, tmp_path / "parts", config, stop_after=2)
    again = load_vlm(base)
    train(again, mixture, tmp_path / "parts", config, progress=False)
    torch.testing.assert_close(again.base.lm_head.weight, trained, rtol=0, atol=1e-6)


def test_a_full_training_without_one_of_its_weights_is_refused(base, mixture, tmp_path):
    out, config = tmp_path / "run", replace(SHORT, lora_rank=0, steps=1)
    run(base, mixture, out, config)

    def fill(folder):
        (folder / "radlite.json").write_bytes((out / "adapter" / "radlite.json").read_bytes())
        weights = load_file(out / "adapter" / "model.safetensors")
        save_file(dict(list(weights.items())[1:]), folder / "model.safetensors")

    checkpoint.write_folder(tmp_path / "adapter", fill)
    with pytest.raises(RadliteError, match="lacks or is too many"):
        load_policy(base, tmp_path / "adapter")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_all_weights_are_trained_in_float32_whatever_the_base_is_kept_in(mixture, tmp_path, dtype):
    vlm = load_vlm(models.save("smolvlm", tmp_path / "base"), dtype)
    train(vlm, mixture, tmp_path / "run", replace(SHORT, lora_rank=0, steps=1), progress=False)
    assert {p.dtype for p in vlm.model.parameters()} == {torch.float32}


def test_a_finished_run_returns_at_once_and_changes_nothing(base, mixture, finished):
    before = tree(finished)
    assert run(base, mixture, finished).steps == 6
    assert tree(finished) == before


def interrupt_at(monkeypatch, step):
    """Ctrl-C from another thread while batch `step` is drawn."""
    draw = Mixture.batch

    def batch(self, number):
        if number == step:
            sender = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))
            sender.start()
            sender.join()
        return draw(self, number)

    monkeypatch.setattr(Mixture, "batch", batch)


def test_ctrl_c_saves_and_returns_and_the_run_goes_on(base, mixture, finished, tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 2)
        result = run(base, mixture, tmp_path / "run")
    assert result.interrupted and result.steps == 3
    assert signal.getsignal(signal.SIGINT) is handler  # given back
    load_policy(base, tmp_path / "run")  # what is there can be used
    assert run(base, mixture, tmp_path / "run").steps == 6
    one, two = (load_file(p / "adapter" / "adapter_model.safetensors") for p in (finished, tmp_path / "run"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "change, word",
    [(lambda m, c: (m, replace(c, rate=1e-3)), "config"), (lambda m, c: (replace(m, seed=5), c), "mixture"),
     (lambda m, c: (replace(m, human=None), c), "human")],
    ids=["rate", "order", "data"],
)  # fmt: skip
def test_another_run_in_the_same_folder_is_refused(base, mixture, finished, change, word):
    before = tree(finished)
    with pytest.raises(RadliteError, match=word):
        run(base, *change(mixture, SHORT)[:1], finished, change(mixture, SHORT)[1])
    assert tree(finished) == before


def test_a_second_training_in_the_same_folder_is_refused_and_the_first_goes_on(base, mixture, finished, tmp_path):
    refused = []

    def begin_another(_):
        with pytest.raises(RadliteError, match="another at work there.*choose another --out") as error:
            run(base, mixture, tmp_path / "run")
        refused.append(error)

    run(base, mixture, tmp_path / "run", on_log=begin_another)
    assert len(refused) == 3 and tree(tmp_path / "run" / "adapter") == tree(finished / "adapter")
    assert run(base, mixture, tmp_path / "run").steps == 6  # nobody holds it any more


def test_the_rate_rises_and_falls_twice_with_a_restart():
    once, twice = replace(SHORT, steps=4), replace(SHORT, steps=10, restart=6)
    assert [rate_at(6 + k, twice) for k in range(4)] == [rate_at(k, once) for k in range(4)]
    assert [rate_at(k, twice) for k in range(6)] == [rate_at(k, replace(SHORT, steps=6)) for k in range(6)]


def test_a_model_that_has_an_adapter_already_is_refused(base, mixture, tmp_path):
    vlm = load_vlm(base)
    train(vlm, mixture, tmp_path / "run", SHORT, progress=False, stop_after=1)
    with pytest.raises(RadliteError, match="freshly loaded"):
        train(vlm, mixture, tmp_path / "run", SHORT, progress=False)


def test_precision_can_change_within_one_process(base, mixture, tmp_path):
    """accelerate remembers its precision for good; our own autocast does not."""
    config = replace(SHORT, steps=1, precision="bf16")
    assert run(base, mixture, tmp_path / "run", config).steps == 1
    assert run(base, mixture, tmp_path / "other", replace(config, precision="no")).steps == 1


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"rate": float("inf")}, {"rate": "a"}, {"lora_rank": -1},
     {"lora_rank": 2.5}, {"lora_alpha": -3}, {"lora_alpha": 0}, {"log_every": 0}, {"seed": -1}, {"warmup": None},
     {"clip": float("nan")}, {"clip": 0}, {"clip": "a"}, {"micro_tokens": "a"}, {"micro_tokens": -1}, {"precision": "fp8"},
     {"restart": 400}, {"restart": -1}, {"checkpoint_seconds": -1}, {"optimizer": ["adamw"]}],
    ids=str,
)  # fmt: skip
def test_bad_configurations_are_refused(change):
    with pytest.raises(RadliteError, match=next(iter(change))):
        TrainConfig(**change)


def test_the_help_tells_the_defaults_and_what_suits_a_large_model(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told, demo = " ".join(capsys.readouterr().out.split()), DemoConfig()
    humans = round(demo.robot_per_batch * demo.ratio)
    assert f"{demo.robot_per_batch} robot samples a step, {humans} human ones and {demo.blind_per_batch} without" in told
    assert f"a rate of {demo_training(demo.steps).rate:g}" in told
    assert "--rate 2e-4" in told and "--micro-tokens 2400" in told and "--checkpointing" in told


def test_a_process_of_a_launch_loads_onto_its_own_card(monkeypatch, clips, tmp_path):
    """Not onto the first one, where that of the first process lies."""
    used = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", used.append)
    monkeypatch.setenv("LOCAL_RANK", "1")

    def loaded(name, device, quantize):
        used.append(device)
        raise RadliteError("a model", "none", "this is far enough")

    monkeypatch.setattr("radlite.bases.load_vlm", loaded)
    data = ["--robot", str(clips["robot"]), "--human", str(clips["human"]), "--out", str(tmp_path)]
    assert main(["train", *data]) == 2 and used == ["cuda:1", "cuda:1"]


# -------------------------------------------------------------------------------------------------- accidents
@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_a_loss_that_is_not_finite_stops_and_names_the_samples(base, mixture, tmp_path, monkeypatch, where):
    run(base, mixture, tmp_path / "run", stop_after=2)
    before = tree(tmp_path / "run")
    vlm = load_vlm(base)
    if where == "weight":
        with torch.no_grad():
            vlm.model.model.connector.modality_projection.proj.weight[0, 0] = torch.nan
    else:
        monkeypatch.setattr(
            "accelerate.Accelerator.clip_grad_norm_", lambda *_: torch.tensor(float("inf"))
        )
    samples = mixture.batch(2)
    with pytest.raises(RadliteError, match=rf"step 2 on robot episode {samples[0].episode} step {samples[0].step}"):
        train(vlm, mixture, tmp_path / "run", SHORT, progress=False)
    assert tree(tmp_path / "run") == before
    monkeypatch.undo()
    assert run(base, mixture, tmp_path / "run", stop_after=1).steps == 3  # the checkpoint is as good as ever


@pytest.mark.parametrize("name", ["adapter", "checkpoint"])
def test_a_full_disk_leaves_the_old_files(base, mixture, tmp_path, monkeypatch, name):
    out = tmp_path / "run"
    run(base, mixture, out, stop_after=1)
    before, write = tree(out / name), resuming.save_file

    def full(tensors, path):
        if f".{name}.partial" in str(path):
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(tensors, path)

    monkeypatch.setattr(resuming, "save_file", full)
    monkeypatch.setattr(adapters, "save_file", full)
    with pytest.raises(RadliteError, match="No space left.*free some disk space"):
        run(base, mixture, out, stop_after=1)
    assert tree(out / name) == before
    assert sorted(p.name for p in out.iterdir()) == [".lock", "adapter", "checkpoint", "log.jsonl"]  # nothing half-written


LIMIT = """
import resource, signal, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from radlite.checkpoint import write_folder
from radlite.errors import RadliteError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_folder(Path(sys.argv[1]), lambda f: save_file({"a": torch.zeros(10_000)}, f / "state.safetensors"))
except RadliteError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_what_safetensors_says_when_the_disk_refuses_is_a_clear_error(tmp_path):
    """A real refusal by the operating system: safetensors has its own kind of error for it, no OSError."""
    done = subprocess.run([sys.executable, "-c", LIMIT, tmp_path / "x"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "to be able to write" in done.stdout and "too large" in done.stdout, done
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_before_training(base, mixture, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RadliteError, match="to be able to write"):
        run(base, mixture, tmp_path / "file" / "run")


# ---------------------------------------------------------------------------------------------------- adapters
@pytest.mark.parametrize("rank", [4, 0], ids=["lora", "full"])
def test_the_adapter_predicts_what_the_trained_model_does(base, mixture, robot, tmp_path, rank):
    vlm = load_vlm(base)
    train(vlm, mixture, tmp_path / "run", replace(SHORT, lora_rank=rank, steps=3, rate=1e-2), progress=False)
    ours, loaded = Policy(vlm, ActionStats.fit(robot.actions())), load_policy(base, tmp_path / "run")
    bare = Policy(load_vlm(base), ours.stats)
    assert loaded.stats == ours.stats
    assert loaded.longest_chain == longest_chain(vlm, mixture.robot, mixture.human, fields=SHORT.collate.fields) > 0
    sample = robot.frame(3)
    exact = [replace(p, precision="no") for p in (ours, loaded, bare)]
    said = [p.predict([sample.image], sample.instruction, False)[0].action_probs for p in exact]
    np.testing.assert_allclose(said[0], said[1], atol=1e-5)
    assert np.abs(said[0] - said[2]).max() > 1e-3  # and not what the base does


def test_the_longest_chain_is_the_longest_of_both_kinds(vlm, robot, human):
    count = {d: max(len(vlm.encode(" " + e.to_text())) for ep in d for e in ep.reasoning) for d in (robot, human)}
    assert longest_chain(vlm, robot, None) == count[robot]
    assert longest_chain(vlm, robot, human) == max(count.values())
    assert 0 < longest_chain(vlm, robot, human, fields=("move",)) < 12


def test_who_is_taught_actions_only_acts_at_once(base, mixture, robot, tmp_path):
    config = replace(SHORT, steps=1, collate=replace(SHORT.collate, fields=()))
    train(load_vlm(base), replace(mixture, blind_per_batch=0), tmp_path / "run", config, progress=False)
    policy, sample = load_policy(base, tmp_path / "run"), robot.frame(3)
    assert policy.longest_chain == 0
    assert policy.predict([sample.image], sample.instruction)[0].reasoning == Reasoning()


@pytest.mark.parametrize("length", ["long", -1, 2.5])
def test_a_nonsense_length_of_chains_is_refused(vlm, finished, tmp_path, length):
    def fill(folder):
        copy_files(finished, folder)
        about = json.loads((folder / "radlite.json").read_text()) | {"longest_chain": length}
        (folder / "radlite.json").write_text(json.dumps(about))

    checkpoint.write_folder(tmp_path / "adapter", fill)
    with pytest.raises(RadliteError, match="longest_chain"):
        load_adapter(vlm, tmp_path)


def test_a_base_that_moved_is_still_the_base(base, finished, tmp_path):
    (tmp_path / "moved").symlink_to(base)
    load_adapter(load_vlm(tmp_path / "moved"), finished)


def test_an_adapter_of_another_base_is_refused(base, finished, tmp_path):
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base)
    with torch.no_grad():
        model.model.connector.modality_projection.proj.weight[0, 0] += 1
    model.save_pretrained(tmp_path / "other")
    load_vlm(base).tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(RadliteError, match="an adapter trained on"):
        load_policy(tmp_path / "other", finished)


def copy_files(finished, folder):
    """All of an adapter but its manifest, which `write_folder` writes."""
    for path in (finished / "adapter").iterdir():
        if path.name != "manifest.json":
            (folder / path.name).write_bytes(path.read_bytes())


def spoil(folder, how):
    file = folder / "adapter_model.safetensors"
    if how == "flip":
        data = bytearray(file.read_bytes())
        data[-5] ^= 1
        file.write_bytes(data)
    elif how == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif how == "gone":
        file.unlink()
    else:
        (folder / how).write_text("{" if how == "manifest.json" else "{}")


@pytest.mark.parametrize(
    "how", ["flip", "cut", "gone", "manifest.json", "radlite.json", "adapter_config.json"]
)  # fmt: skip
def test_a_damaged_adapter_is_refused(base, vlm, finished, tmp_path, how):
    checkpoint.write_folder(tmp_path / "adapter", lambda f: None)
    for path in (finished / "adapter").iterdir():
        (tmp_path / "adapter" / path.name).write_bytes(path.read_bytes())
    spoil(tmp_path / "adapter", how)
    before = vlm.model
    with pytest.raises(RadliteError):
        load_adapter(vlm, tmp_path)
    assert vlm.model is before and not hasattr(vlm.model, "peft_config")


def test_an_adapter_with_too_few_weights_is_refused_and_leaves_the_base(base, finished, tmp_path):
    """Its checksums are right, but LoRA's start would silently stand in for what is missing."""

    def fill(folder):
        copy_files(finished, folder)
        weights = load_file(folder / "adapter_model.safetensors")
        save_file(dict(list(weights.items())[1:]), folder / "adapter_model.safetensors")

    checkpoint.write_folder(tmp_path / "adapter", fill)
    vlm = load_vlm(base)
    names = set(vlm.model.state_dict())
    with pytest.raises(RadliteError, match="lacks or is too many"):
        load_adapter(vlm, tmp_path)
    assert set(vlm.model.state_dict()) == names


@pytest.mark.parametrize("name, adapter", [("radlite-huge", None), (None, "radd"), (None, "/nowhere/at/all")])
def test_unknown_names_are_refused_with_the_known_ones(base, name, adapter):
    known = "radlite-tiny" if name else "rad, ecot"
    with pytest.raises(RadliteError, match=known):
        load_policy(name or base, adapter)
