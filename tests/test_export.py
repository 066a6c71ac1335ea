"""A merged policy: plain transformers load it, it says the same, and its card tells where it comes from."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from radlite.adapter import card
from radlite.bases import load_vlm
from radlite.cli import main
from radlite.collate import CollateConfig
from radlite.errors import RadliteError
from radlite.export import export
from radlite.mixture import Mixture
from radlite.policy import Policy, load_policy
from radlite.train import TrainConfig, train
from radlite.views import some_episodes
from tests import models

PLAIN = """
import json, sys
import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
folder, ids, out = sys.argv[1:4]
model = AutoModelForImageTextToText.from_pretrained(folder, local_files_only=True)
tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
assert model.dtype == torch.bfloat16 and tokenizer.convert_tokens_to_ids("<a7>") > 0
logits = model.float()(input_ids=torch.tensor([json.loads(ids)])).logits[0, -1]
json.dump(logits.tolist(), open(out, "w"))
"""


CLASSES = [*models.KINDS, "radlite-tiny"]


def run(kind, base, out, mixture, **changes):
    """(base folder, run) of a few steps with the rows of new words trained beside LoRA."""
    folder = base if kind == "radlite-tiny" else models.save(kind, out / "base", tied=False)
    lesson = CollateConfig(fields=("task", "move"))
    settings = {"steps": 4, "rate": 5e-3, "warmup": 1, "lora_rank": 4, "precision": "no", "collate": lesson}
    quantize = changes.pop("quantize", None)
    train(load_vlm(folder, quantize=quantize), mixture, out / "run", TrainConfig(**settings | changes), progress=False)
    return folder, out / "run"


@pytest.fixture(scope="module")
def mixture(robot, human):
    return Mixture(robot, human, 2, 0.5, blind_per_batch=1)


@pytest.fixture(scope="module", params=CLASSES)
def trained(request, base, mixture, tmp_path_factory):
    return run(request.param, base, tmp_path_factory.mktemp(request.param), mixture)


def test_plain_transformers_say_what_the_adapter_says(trained, tmp_path):
    folder, run = trained
    figures = tmp_path / "results.json"
    figures.write_text(json.dumps({"successes": 3, "trials": 4}))
    merged = tmp_path / "merged"
    assert main(["export", "--adapter", str(run), "--model", str(folder), "--results", str(figures), "--out", str(merged)]) == 0
    policy = load_policy(folder, run)
    ids = policy.vlm.prompt_ids("pick up the red can", picture=False)
    command = [sys.executable, "-c", PLAIN, str(merged), json.dumps(ids), str(tmp_path / "logits.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = torch.tensor(json.loads((tmp_path / "logits.json").read_text()))
    with torch.no_grad():
        mine = policy.vlm.lm_head(policy.vlm.forward(torch.tensor([ids]), None))[0, -1]
    torch.testing.assert_close(theirs, mine, atol=0.02 * float(mine.std()) + 0.02, rtol=0.05)  # bfloat16 weights
    text = (merged / "README.md").read_text()
    assert str(folder) in text and '"successes": 3' in text and "| seed | 0 |" in text and "| LoRA rank | 4 |" in text
    assert "| human samples per robot sample | 0.5 |" in text
    sizes = {p.suffix: p.stat().st_size for p in merged.iterdir()}
    whole = sum(p.numel() for p in policy.vlm.base.parameters())
    assert sizes[".safetensors"] < 2.1 * whole + 100_000


def test_a_merged_policy_acts_without_its_adapter(trained, tmp_path):
    folder, run = trained
    merged = load_policy(export(run, tmp_path / "merged", base=folder))
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)
    mine, theirs = (p.predict(frames, "pick up the red can", False) for p in (merged, load_policy(folder, run)))
    assert merged.longest_chain == load_policy(folder, run).longest_chain
    for one, two in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one.action[:3], two.action[:3], atol=0.01)


@pytest.mark.parametrize("how", ["four bits", "full"])
@pytest.mark.parametrize("kind", CLASSES)
def test_a_policy_of_four_bits_or_of_all_weights_is_merged_and_acts(kind, how, base, robot, mixture, tmp_path):
    """What was learnt beside weights in four bits goes into the whole ones, in 16 bits."""
    if how == "four bits":
        pytest.importorskip("bitsandbytes")
    changes = {"quantize": "nf4", "rate": 2e-2} if how == "four bits" else {"lora_rank": 0}
    folder, out = run(kind, base, tmp_path, mixture, **changes)
    merged = export(out, tmp_path / "merged", base=folder)
    kept = load_file(merged / "model.safetensors")
    assert {t.dtype for t in kept.values()} == {torch.bfloat16}
    assert ("| trained on a base in | nf4 |" in (merged / "README.md").read_text()) == (how == "four bits")
    mine, theirs = load_policy(merged), load_policy(folder, out)
    bare = Policy(load_vlm(folder), mine.stats)
    sample = robot.frame(3)
    said = [replace(p, precision="no").predict([sample.image], sample.instruction, False)[0] for p in (mine, theirs, bare)]
    assert np.isfinite(said[0].action).all()
    near, far = (np.abs(said[0].action_probs - other.action_probs).max() for other in said[1:])
    assert near < 0.3 * far and far > 1e-3  # it says what the adapter says, and not what the base says


def test_what_prepares_pictures_goes_with_it(base, mixture, tmp_path):
    """Plain `transformers` then prepare them as the base's own files say; where there are none, none are made up."""
    folder, out = run("smolvlm", base, tmp_path, mixture, steps=1)
    edge = {"longest_edge": 64}
    SmolVLMImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False).save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"processor_class": "SmolVLMProcessor"}')
    merged = export(out, tmp_path / "merged", base=folder)
    assert AutoImageProcessor.from_pretrained(merged, local_files_only=True).size["longest_edge"] == 64
    assert (merged / "processor_config.json").read_bytes() == (folder / "processor_config.json").read_bytes()
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink()
    assert not [*export(out, tmp_path / "other", base=folder).glob("*processor*")]


def test_the_card_beside_an_adapter_names_its_data_and_may_be_written_on(trained, mixture, tmp_path):
    folder, adapter = trained[0], shutil.copytree(trained[1] / "adapter", tmp_path / "adapter")
    text = (adapter / "README.md").read_text()
    frames = {kind: getattr(mixture, kind).num_frames for kind in ("robot", "human")}
    for line in (f"| robot data | robot: {frames['robot']} frames of 4 episodes, sha256 {mixture.robot.sha256[:12]} |",
                 f"| human data | human: {frames['human']} frames of 3 episodes, sha256 {mixture.human.sha256[:12]} |",
                 "| seed | 0 |", "| steps | 4 |", "| robot samples a step without their picture | 1 |",
                 "| human samples per robot sample | 0.5 |", f"load_policy({str(folder)!r}, adapter=folder)"):  # fmt: skip
        assert line in text
    (adapter / "README.md").write_text(f"{text}\nLicence: mine.\n")
    load_policy(folder, adapter)


def test_cards_know_views_and_the_arm_without_human_data(base, robot, tmp_path):
    _, out = run("smolvlm", base, tmp_path, Mixture(some_episodes(robot, 2), None, 2), steps=1)
    text = (out / "adapter" / "README.md").read_text()
    assert f"| robot data | robot: {some_episodes(robot, 2).num_frames} frames of 4 episodes, sha256" in text
    assert "| human data | none |" in text
    assert "| human data | sha256" in card({"train": {"human": "0" * 64}}, "base")  # an older one that knows no more


def test_what_is_there_is_not_overwritten(trained, tmp_path):
    folder, run = trained
    (tmp_path / "mine").mkdir()
    with pytest.raises(RadliteError, match="new folder"):
        export(run, tmp_path / "mine", base=folder)
    with pytest.raises(RadliteError):
        export(tmp_path / "nothing", tmp_path / "out", base=folder)
    assert not (tmp_path / "out").exists()
