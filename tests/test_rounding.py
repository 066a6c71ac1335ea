"""LoRA that starts by undoing what four bits took: nearer to the whole base, all of it at full rank, and told in its file."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch

bnb = pytest.importorskip("bitsandbytes")

from radlite.actions import ActionStats  # noqa: E402
from radlite.adapter import attach_lora, load_adapter  # noqa: E402
from radlite.bases import load_vlm  # noqa: E402
from radlite.checkpoint import STATE, write_folder  # noqa: E402
from radlite.collate import collate  # noqa: E402
from radlite.errors import RadliteError  # noqa: E402
from radlite.mixture import Mixture  # noqa: E402
from radlite.policy import load_policy  # noqa: E402
from radlite.precision import autocast  # noqa: E402
from radlite.quantize import round_weights, unpacked  # noqa: E402
from radlite.rounding import _set, start_from_rounding  # noqa: E402
from radlite.train import TrainConfig, train  # noqa: E402
from tests import models  # noqa: E402

FILES = ("adapter_config.json", "adapter_model.safetensors")


@pytest.fixture(scope="module", params=[*models.KINDS, "radlite-tiny"])
def folder(request, base, tmp_path_factory):
    return base if request.param == "radlite-tiny" else models.save(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def mixture(robot, human):
    return Mixture(robot, human, 3, 1.0, seed=4)


def _batch(vlm, mixture, step=0):
    return collate(mixture.batch(step), vlm, ActionStats.fit(mixture.robot.actions()), key=(0, step))


def _four(folder, rank, dtype=torch.float32):
    vlm = load_vlm(folder, dtype, quantize="nf4")
    attach_lora(vlm, rank, 2 * rank, 0)  # a scale that is not one
    return vlm


def _beside(model):
    """Name -> LoRA layer, of all that stand around a layer in four bits."""
    return {n: m for n, m in model.named_modules() if isinstance(getattr(m, "base_layer", None), bnb.nn.Linear4bit)}


@torch.no_grad()
def _said(vlm, batch):
    """Hidden states (N, D) of all that is no padding."""
    vlm.model.eval()
    with autocast("no", vlm.device):
        return vlm.forward(batch.input_ids, None, batch.pixel_values)[batch.attention_mask.bool()].float()


def test_lora_of_full_rank_undoes_all_of_it(folder, mixture):
    whole = load_vlm(folder, torch.float32)
    wide = max(min(m.weight.shape) for m in whole.text_model.modules() if isinstance(m, torch.nn.Linear))
    vlm = _four(folder, wide)
    batch, other = _batch(whole, mixture), _batch(whole, mixture, 1)
    before = (_said(vlm, other) - _said(whole, other)).norm()
    start_from_rounding(vlm, batch)
    truth = _said(whole, other)
    left = (_said(vlm, other) - truth).norm()
    assert before > 1e-2 * truth.norm() and left < 1e-3 * before  # also on a batch that it has not seen


def test_of_a_small_rank_what_counts_most(folder, mixture):
    """Nearer than from nothing, and nearer than the same rank of the weights' own error, as LoftQ and peft start."""
    whole, vlm = load_vlm(folder, torch.float32), _four(folder, 4)
    other = _batch(whole, mixture, 1)
    truth, nothing = _said(whole, other), _said(vlm, other)
    start_from_rounding(vlm, _batch(whole, mixture))
    mine = _said(vlm, other)
    layers = dict(whole.base.named_modules())
    for name, layer in _beside(vlm.base).items():
        u, s, v = torch.linalg.svd(layers[name].weight.data - unpacked(layer.base_layer).float())
        layer.lora_B["default"].weight.data = u[:, :4] * s[:4] / layer.scaling["default"]
        layer.lora_A["default"].weight.data = v[:4].contiguous()
    plain = _said(vlm, other)
    left, loftq, before = ((x - truth).norm() for x in (mine, plain, nothing))
    assert left < 0.9 * before and left < loftq


def test_only_layers_in_four_bits_and_nothing_else(folder, mixture):
    vlm, fresh = _four(folder, 4), _four(folder, 4)
    start_from_rounding(vlm, _batch(vlm, mixture))
    new, old = vlm.model.state_dict(), fresh.model.state_dict()
    changed = {n for n in new if not torch.equal(new[n], old[n])}
    layers = _beside(vlm.model)
    assert changed == {f"{n}.lora_{side}.default.weight" for n in layers for side in "AB"} and len(layers) > 5
    lengths = [[state[n].norm(dim=1) for n in sorted(changed) if "lora_A" in n] for state in (new, old)]
    for mine, usual in zip(*lengths, strict=True):  # so that a learning rate means the same
        torch.testing.assert_close(mine, usual, rtol=1e-4, atol=0)
    assert all(not m._forward_pre_hooks for m in vlm.model.modules())


def test_the_same_start_every_time_and_the_next_random_number_is_as_it_was(mixture, base):
    starts, numbers = [], []
    for _ in range(2):
        vlm = _four(base, 4)
        torch.manual_seed(7)
        start_from_rounding(vlm, _batch(vlm, mixture))
        numbers.append(torch.rand(()))
        starts.append({n: p.clone() for n, p in vlm.model.named_parameters() if "lora_" in n})
    torch.manual_seed(7)
    assert torch.rand(()) == numbers[0] == numbers[1]
    assert all(torch.equal(starts[0][n], starts[1][n]) for n in starts[0])


def test_in_sixteen_bits_under_autocast(folder, mixture):
    whole, vlm = load_vlm(folder, torch.bfloat16), _four(folder, 8, torch.bfloat16)
    batch, other = _batch(whole, mixture), _batch(whole, mixture, 1)
    truth, before = _said(whole, other), _said(vlm, other)
    with autocast("bf16", vlm.device):
        start_from_rounding(vlm, batch)
    assert (_said(vlm, other) - truth).norm() < (before - truth).norm()
    assert {p.dtype for n, p in vlm.model.named_parameters() if "lora_" in n} == {torch.float32}


def test_round_weights_is_what_four_bits_stand_for(folder, mixture):
    four, rounded = load_vlm(folder, torch.float32, quantize="nf4"), load_vlm(folder, torch.float32)
    whole = _said(rounded, _batch(four, mixture))
    round_weights(rounded)
    batch = _batch(four, mixture)
    torch.testing.assert_close(_said(rounded, batch), _said(four, batch), rtol=1e-4, atol=1e-5)
    assert (_said(rounded, batch) - whole).norm() > 1e-2 * whole.norm()


@pytest.mark.parametrize("undo", [True, False])
def test_a_trained_policy_acts_alike_packed_and_unpacked(undo, base, mixture, tmp_path):
    """An adapter that undoes rounding says so, and gets rounded weights wherever it is loaded; another gets what is asked for."""
    config = TrainConfig(steps=2, warmup=1, lora_rank=4, lora_alpha=4, precision="no", undo_rounding=undo)
    train(load_vlm(base, quantize="nf4"), mixture, tmp_path / "run", config, progress=False)
    about = json.loads((tmp_path / "run" / "adapter" / "radlite.json").read_text())
    assert about.get("undoes") == ({"quantize": "nf4", "dtype": "float32"} if undo else None)
    assert about["train"]["config"].get("undo_rounding") is (True if undo else None)  # runs of before it go on
    packed, whole = (load_policy(base, tmp_path / "run", bits, device="cpu") for bits in ("nf4", None))
    batch = _batch(whole.vlm, mixture, 1)
    off = (_said(packed.vlm, batch) - _said(whole.vlm, batch)).norm() / _said(whole.vlm, batch).norm()
    assert (off < 1e-4) == undo and np.isfinite(float(off))


@pytest.mark.parametrize("undoes", ["nf4", {"quantize": "int3", "dtype": "float32"}, {"quantize": "nf4", "dtype": "float64"}])
def test_an_adapter_that_undoes_something_else_is_refused(undoes, base, mixture, tmp_path):
    config = TrainConfig(steps=1, lora_rank=4, precision="no")
    run = train(load_vlm(base, quantize="nf4"), mixture, tmp_path / "run", config, progress=False)
    about = json.loads((run.adapter / STATE).read_text())
    write_folder(tmp_path / "odd", lambda folder: [shutil.copy(run.adapter / n, folder) for n in FILES]
                 + [(folder / STATE).write_text(json.dumps({**about, "undoes": undoes}))])  # fmt: skip
    with pytest.raises(RadliteError, match="undoes"):
        load_policy(base, tmp_path / "odd", device="cpu")


def test_without_bitsandbytes_the_model_stays_as_it_is(base, mixture, tmp_path, monkeypatch):
    config = TrainConfig(steps=1, lora_rank=4, precision="no")
    run = train(load_vlm(base, quantize="nf4"), mixture, tmp_path / "run", config, progress=False)
    whole = load_vlm(base)
    before = {n: p.clone() for n, p in whole.model.named_parameters()}
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(RadliteError, match="bitsandbytes"):
        load_adapter(whole, run.adapter)
    assert not hasattr(whole.model, "peft_config")
    assert all(torch.equal(p, before[n]) for n, p in whole.model.named_parameters())


def test_weights_are_rounded_from_the_precision_of_the_training(tmp_path):
    """Weights stored in 32 bits, trained on in 16 and merged in 32: the same four bits."""
    folder = models.save("smolvlm", tmp_path)
    half, whole = load_vlm(folder, torch.bfloat16, quantize="nf4"), load_vlm(folder, torch.float32)
    round_weights(whole, torch.bfloat16)
    layers = dict(whole.base.named_modules())
    packed = [(n, m) for n, m in half.base.named_modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert packed and all(torch.equal(layers[n].weight.bfloat16(), unpacked(m)) for n, m in packed)


def test_where_nothing_was_lost_lora_can_still_learn(base, mixture):
    """Weights that four bits hold exactly."""
    vlm = _four(base, 4)
    layer = next(iter(_beside(vlm.base).values()))
    down = layer.lora_A["default"].weight.clone()
    _set(layer, torch.randn(10, layer.in_features), torch.zeros(layer.out_features, layer.in_features))
    assert torch.equal(layer.lora_A["default"].weight, down) and not layer.lora_B["default"].weight.any()


def test_a_run_starts_there_once_and_goes_on_from_its_checkpoint(base, mixture, tmp_path, monkeypatch):
    config = TrainConfig(steps=4, warmup=1, lora_rank=4, precision="no")
    straight = train(load_vlm(base, quantize="nf4"), mixture, tmp_path / "straight", config, progress=False)
    train(load_vlm(base, quantize="nf4"), mixture, tmp_path / "halves", config, progress=False, stop_after=2)
    monkeypatch.setattr("radlite.train.start_from_rounding", lambda *_: pytest.fail("a run that goes on has its start"))
    again = train(load_vlm(base, quantize="nf4"), mixture, tmp_path / "halves", config, progress=False)
    one, two = ((r.adapter / "adapter_model.safetensors").read_bytes() for r in (straight, again))
    assert one == two


def test_a_whole_base_knows_nothing_of_it(base, mixture, tmp_path, monkeypatch):
    monkeypatch.setattr("radlite.train.start_from_rounding", lambda *_: pytest.fail("nothing was rounded"))
    run = train(load_vlm(base), mixture, tmp_path / "run", TrainConfig(steps=1, lora_rank=4), progress=False)
    about = json.loads((run.adapter / "radlite.json").read_text())
    assert "undoes" not in about and "undo_rounding" not in about["train"]["config"]
