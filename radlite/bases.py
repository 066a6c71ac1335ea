"""Bases by name: which there are, where their files come from, and how they are loaded; from safetensors only, no remote code."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from tokenizers import AddedToken
from torch import nn
from transformers import AutoModelForImageTextToText, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from radlite.actions import BINS
from radlite.checkpoint import read_into
from radlite.errors import RadliteError
from radlite.families import Family, family_of
from radlite.formats.staging import read_json
from radlite.precision import chosen
from radlite.quantize import check_quantize, four_bit, library, secure
from radlite.tiny import wave_features
from radlite.vlm import VLM, action_tokens

SHIPPED = ("radlite-tiny",)  # bases that ship in the package
CHANNELS = 64  # of the features of a new action token's value
ABOUT = ("*.json", "*.txt", "*.jinja")  # files of a repository on the Hub that say what it is: nothing that runs
WEIGHTS = ("*.safetensors",)


@dataclass(frozen=True)
class Rung:
    """A named base on the Hub, at one revision.

    Attributes:
        repo: repository.
        revision: commit, so that the weights under a name never change.
        tokens: of its tokenizer, action tokens not among them.
        quantize: how its LoRA is best trained on one consumer card: "nf4", or None for bfloat16.
    """

    repo: str
    revision: str
    tokens: int
    quantize: str | None


LADDER: dict[str, Rung] = {
    "smolvlm2-256m": Rung("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", "067788b187b95ebe7b2e040b3e4299e342e5b8fd", 49_280, None),
    "smolvlm2-500m": Rung("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "7b375e1b73b11138ff12fe22c8f2822d8fe03467", 49_280, None),
    "qwen3-vl-2b": Rung("Qwen/Qwen3-VL-2B-Instruct", "89644892e4d85e24eaac8bacfd4f463576704203", 151_669, "nf4"),
    "qwen3-vl-4b": Rung("Qwen/Qwen3-VL-4B-Instruct", "ebb281ec70b05090aa6165b016eac8ec08e71b17", 151_669, "nf4"),
    "qwen3-vl-8b": Rung("Qwen/Qwen3-VL-8B-Instruct", "0c351dd01ed87e9c1b53cbc748cba10e6187ff3b", 151_669, "nf4"),
}
"""Name -> where it is. `radlite-tiny` ships in the package."""


def wrap(model: nn.Module, tokenizer: PreTrainedTokenizerBase, name: str = "memory", sha256: str = "") -> VLM:
    """A VLM around a model that is already in memory.

    Raises:
        RadliteError: another class of model, or a tokenizer without the 256 action tokens.
    """
    family = family_of(model.config.model_type, name)
    ids = torch.tensor(tokenizer.convert_tokens_to_ids(action_tokens()))
    if len(ids.unique()) != BINS:
        raise RadliteError(
            f"the action tokens <a0>..<a{BINS - 1}>", f"a tokenizer without them in {name}", "give it some with add_actions"
        )
    return VLM(name, model, tokenizer, family(model.config, tokenizer), ids, sha256)


def add_action_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Gives a tokenizer the 256 action tokens, in place; False where they are already."""
    tokens = action_tokens()
    if set(tokens) <= set(tokenizer.get_vocab()):
        return False
    tokenizer.add_tokens([AddedToken(t, special=True, normalized=False) for t in tokens], special_tokens=True)
    return True


def table_size(rows: int, tokens: int) -> int:
    """Rows of an embedding table for that many tokens: those that it has, or the next multiple of 64."""
    return rows if tokens <= rows else -(-tokens // 64) * 64


@torch.no_grad()
def add_actions(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives a model that has none the 256 action tokens, both in place; does nothing where they are.

    Rows that the table has to spare are used first, as Qwen's has. A new row starts at the mean of all, with a part of its own
    that is the more like another's the nearer the bins are; always the same, so that an adapter finds its base again.
    """
    if not add_action_words(tokenizer):
        return
    rows = len(model.get_input_embeddings().weight)
    if len(tokenizer) > rows:
        model.resize_token_embeddings(table_size(rows, len(tokenizer)), mean_resizing=False)
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    ids = tokenizer.convert_tokens_to_ids(action_tokens())
    own = wave_features((2 * torch.arange(BINS) + 1) / BINS - 1, CHANNELS)  # (256, CHANNELS)
    for table in [inputs] if inputs is outputs else [inputs, outputs]:
        mixed = own @ torch.randn(CHANNELS, table.shape[1], generator=torch.Generator().manual_seed(0))
        known = table[: min(ids)].float()
        table[rows:] = known.mean(0).to(table.dtype)  # those without a token, too: they are in every softmax
        table[ids] = (known.mean(0).cpu() + known.std(0).cpu() * mixed / mixed.std()).to(table.device, table.dtype)


def best_device() -> str:
    """cuda, mps or cpu: the best there is. A process that `accelerate launch` has started gets a card of its own.

    Raises:
        RadliteError: more processes than cards.
    """
    if not torch.cuda.is_available():
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if "LOCAL_RANK" not in os.environ:
        return "cuda"
    rank, cards = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if rank >= cards:
        raise RadliteError("a card for every process", f"process {rank + 1} on a machine with {cards}",
                           f"launch with --num_processes {cards}")
    return f"cuda:{rank}"


def check_device(device: str) -> None:
    """Raises RadliteError for a device that there is not, or not here."""
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise RadliteError("a device: 'cpu', 'cuda', 'cuda:1', 'mps', or None", repr(device), "None takes the best") from error
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (wanted.index or 0) >= counts.get(wanted.type, 0):
        here = ", ".join(f"{count} x {kind}" for kind, count in counts.items() if count)
        raise RadliteError(f"a machine with the device {str(device)!r}", here, "choose one that is here; None takes the best")


def base_folder(name: str | Path, weights: bool = True) -> Path:
    """The folder of a shipped base, of one on disk, or of one on the Hub, which is fetched into the Hub's own cache.

    Args:
        name: as in `load_vlm`.
        weights: False fetches only what says how the base is built and what its words are.
    """
    if not isinstance(name, str | Path):
        raise RadliteError("the name of a model, or its folder", repr(name)[:80], "pass for example 'radlite-tiny'")
    if str(name) in SHIPPED:
        return Path(str(resources.files("radlite"))) / "weights" / str(name)
    folder = Path(name)
    if (folder / "config.json").is_file():
        return folder
    rung = LADDER.get(str(name))
    if rung or (re.fullmatch(r"[\w.-]+/[\w.-]+", str(name)) and not folder.exists()):
        files = [*ABOUT, *WEIGHTS] if weights else [*ABOUT]
        return fetched(rung.repo if rung else str(name), rung.revision if rung else None, files)
    raise RadliteError(
        f"a model: one of {', '.join((*SHIPPED, *LADDER))}, a folder with config.json, or owner/name on the Hub",
        str(name),
        "check the name or the path",
    )


def fetched(repo: str, revision: str | None, files: list[str]) -> Path:
    """The folder of a repository of the Hub in the Hub's own cache, with the files at its top that fit the patterns `files`.

    Raises:
        RadliteError: it cannot be fetched, and is not there from before.
    """
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=files, ignore_patterns=["*/*"]))
    except Exception as error:  # the Hub's client, the network and the disk each have their own kinds
        raise RadliteError(
            f"the files of {repo}", f"{type(error).__name__}: {str(error)[:160]}",
            "connect to the network once, or copy the repository here and pass its folder",
        ) from error  # fmt: skip


def fingerprint(folder: Path) -> str:
    """SHA-256 over weights, configuration and vocabulary of a base."""
    files = [folder / "config.json", folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        read_into(digest, file)
    return digest.hexdigest()


def load_vlm(
    name: str | Path = "radlite-tiny",
    dtype: torch.dtype | None = None,
    device: str | None = "cpu",
    attention: str = "sdpa",
    quantize: str | None = None,
) -> VLM:
    """Loads a base from safetensors only; nothing is fetched but a base on the Hub that is not in its cache yet.

    Args:
        name: "radlite-tiny", a name of the ladder, a folder written by `save_pretrained`, or owner/name on the Hub.
        dtype: of the weights in memory; None: see `suited_dtype`.
        device: "cpu", "cuda", "cuda:1", "mps", or None for the best there is.
        attention: "sdpa", or "eager", which can show its weights.
        quantize: "nf4" keeps the language decoder's linear layers in four bits, see `radlite.quantize`; None keeps all.

    Raises:
        RadliteError: an unknown name (the known ones are listed), damaged files, another kind of model, one that is
            quantised already, a device that is not here.
    """
    check_quantize(quantize)
    if quantize:
        library()
    folder, device = base_folder(name), best_device() if device is None else device
    check_device(device)
    family = _family(folder)
    small = is_small(sum(f.stat().st_size for f in folder.glob("*.safetensors")))
    dtype = dtype or suited_dtype(device, small)
    if small:
        transformers_logging.disable_progress_bar()  # a bar over a few megabytes is noise
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            attn_implementation=attention,
            **({"quantization_config": four_bit(family, dtype), "device_map": {"": device}} if quantize else {}),
        )  # fmt: skip
        model = model if quantize else model.to(device)
        add_actions(model, tokenizer)
        vlm = wrap(model.eval(), tokenizer, str(name), fingerprint(folder))
        vlm.folder, vlm.quantize = folder, quantize
    except RadliteError:
        raise
    except Exception as error:  # transformers, tokenizers and safetensors each have their own kinds
        raise RadliteError(
            f"a whole base in {folder}",
            f"{type(error).__name__}: {str(error)[:200]}",
            "install radlite again, or save the base again with save_pretrained",
        ) from error
    if quantize:
        secure(vlm)
    return vlm


def _family(folder: Path) -> type[Family]:
    """What drives the base in a folder. Its configuration is read as JSON: `AutoConfig` would run code that comes with it.

    Weights that were quantised before are refused: what is asked for by `quantize` is checked layer by layer (`secure`), and
    LoRA is merged into whole weights only.
    """
    about = read_json(folder / "config.json", "a base")
    family = family_of(str(about.get("model_type")), folder)
    if any("quantization_config" in part for part in (about, about.get("text_config") or {})):
        raise RadliteError(f"a whole base in {folder}", "weights that are quantised already (quantization_config)",
                           "take the base that they were made of, and quantize='nf4' for four bits")
    return family


def is_small(size: int) -> bool:
    """Whether a base whose files of weights have that many bytes is kept in float32 everywhere; `radlite.memory` asks as well."""
    return size < 1 << 28


def suited_dtype(device: str, small: bool) -> torch.dtype:
    """float32 on a CPU and for a small model; else bfloat16, or float16 on a card that has no bfloat16."""
    if small or torch.device(device).type == "cpu":
        return torch.float32
    return chosen(None, torch.device(device)) or torch.bfloat16
