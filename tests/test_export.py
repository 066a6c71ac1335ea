"""A merged policy: plain transformers load it, it says the same, and its card tells where it comes from."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from radlite.bases import load_vlm
from radlite.cli import main
from radlite.collate import CollateConfig
from radlite.errors import RadliteError
from radlite.export import export
from radlite.mixture import Mixture
from radlite.policy import load_policy
from radlite.train import TrainConfig, train
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


@pytest.fixture(scope="module", params=[*models.KINDS, "radlite-tiny"])
def trained(request, base, robot, human, tmp_path_factory):
    """(base folder, run) of a few steps with the rows of new words trained beside LoRA."""
    out = tmp_path_factory.mktemp(request.param)
    folder = base if request.param == "radlite-tiny" else models.save(request.param, out / "base", tied=False)
    lesson = CollateConfig(fields=("task", "move"))
    config = TrainConfig(steps=4, rate=5e-3, warmup=1, lora_rank=4, precision="no", collate=lesson)
    train(load_vlm(folder), Mixture(robot, human, 2, 0.5), out / "run", config, progress=False)
    return folder, out / "run"


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


def test_what_is_there_is_not_overwritten(trained, tmp_path):
    folder, run = trained
    (tmp_path / "mine").mkdir()
    with pytest.raises(RadliteError, match="new folder"):
        export(run, tmp_path / "mine", base=folder)
    with pytest.raises(RadliteError):
        export(tmp_path / "nothing", tmp_path / "out", base=folder)
    assert not (tmp_path / "out").exists()
