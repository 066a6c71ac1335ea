"""An adapter: how it gets into a base, and from there to disk and back, with a card; only its own base, only whole files."""

from __future__ import annotations

import json
import warnings
from importlib import resources
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from radlite.actions import ActionStats
from radlite.checkpoint import STATE, read_tensors, verify_folder, write_folder
from radlite.errors import RadliteError
from radlite.families import Family
from radlite.formats.staging import disk_errors, read_json
from radlite.lora import fuse
from radlite.norm import fuse_norms
from radlite.quantize import CHOICES, library, round_weights
from radlite.vlm import VLM

SHIPPED = ("rad", "ecot")
CARD = "README.md"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CARD_ROWS = {"steps_done": "steps", "seed": "seed", "rate": "peak learning rate", "lora_rank": "LoRA rank",
             "quantize": "trained on a base in", "robot_per_batch": "robot samples a step",
             "blind_per_batch": "robot samples a step without their picture",
             "ratio": "human samples per robot sample"}  # fmt: skip
CARD_TEXT = """# A RAD policy

{what} on `{base}` (weights {weights}). Trained by radlite.

| what | value |
| --- | --- |
{rows}

## Figures

{figures}

## Use

{use}
"""
CARD_USE = """```python
import radlite

policy = radlite.load_policy({base!r}, adapter=folder)
```"""


def adapter_folder(adapter: str | Path) -> Path:
    """The folder of a shipped adapter ("rad", "ecot"), of an adapter, or of a run that holds one."""
    if str(adapter) in SHIPPED:
        return Path(str(resources.files("radlite"))) / "weights" / str(adapter)
    folder = Path(adapter)
    inner = folder / "adapter"
    folder = inner if (inner / STATE).exists() else folder
    if not (folder / STATE).exists():
        raise RadliteError(f"an adapter: one of {', '.join(SHIPPED)}, or a folder with {STATE}", str(adapter),
                           "train one with `radlite train`, or check the path")
    return folder


def load_adapter(vlm: VLM, adapter: str | Path) -> tuple[ActionStats, int | None]:
    """Loads an adapter into `vlm` in place; returns its action statistics and, if known, the tokens of its longest chain.

    One that undoes what four bits took (`radlite.rounding`) gets a base of the weights that they stand for, packed or not.

    Raises:
        RadliteError: no adapter there, one of another base, or a damaged file; the model is unchanged then.
    """
    folder = adapter_folder(adapter)
    verify_folder(folder)
    about = read_json(folder / STATE, "an adapter")
    _check_base(vlm, about, folder)
    stats, longest = _statistics(about, folder)
    rounded = _rounded(about, folder)
    if about.get("method") == "full":
        load_whole(vlm, read_tensors(folder / "model.safetensors"), folder)
        return stats, longest
    weights = read_tensors(folder / "adapter_model.safetensors")
    settings = read_json(folder / "adapter_config.json", "an adapter")
    settings["base_model_name_or_path"] = getattr(vlm.model, "name_or_path", None)  # checked above by its sha256
    model = _peft(vlm.model, LoraConfig.from_peft_type(**settings))
    odd = set(weights) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if odd:
        model.unload()
        raise RadliteError("just the weights that its configuration names", f"{min(odd)} lacks or is too many in {folder}",
                           "train the adapter again")
    set_peft_model_state_dict(model, weights)
    vlm.model = model
    if rounded and not vlm.quantize:
        round_weights(vlm, rounded)
    return stats, longest


def merged_statistics(vlm: VLM) -> tuple[ActionStats | None, int | None]:
    """What `radlite.export` wrote beside a merged model: action statistics and the tokens of its longest chain; else None."""
    folder = vlm.folder
    if folder is None or not (folder / STATE).exists():
        return None, None
    return _statistics(read_json(folder / STATE, "a merged policy"), folder)


def _statistics(about: dict, folder: Path) -> tuple[ActionStats, int | None]:
    stats, longest = ActionStats.from_dict(about.get("stats")), about.get("longest_chain")
    if not (longest is None or isinstance(longest, int) and longest >= 0):
        raise RadliteError(f"a count of tokens as longest_chain in {folder / STATE}", repr(longest), "train the adapter again")
    return stats, longest


def _rounded(about: dict, folder: Path) -> torch.dtype | None:
    """In which precision the weights were that an adapter's start has undone the rounding of; None: it has undone none."""
    undoes = about.get("undoes")
    if undoes is None:
        return None
    dtype = DTYPES.get(str(undoes.get("dtype"))) if isinstance(undoes, dict) and undoes.get("quantize") in CHOICES[:1] else None
    if dtype is None:
        raise RadliteError(f"{{'quantize': 'nf4', 'dtype': ...}} as undoes in {folder / STATE}", repr(undoes)[:80],
                           "update radlite, or train the adapter again")
    library()  # before anything is changed
    return dtype


def _check_base(vlm: VLM, about: dict, folder: Path) -> None:
    """The content decides: the same base may lie in another folder than when the adapter was trained."""
    if about.get("base_sha256") != vlm.sha256:
        raise RadliteError(
            f"an adapter trained on {vlm.name} ({vlm.sha256[:12]})",
            f"one for {about.get('base')} ({str(about.get('base_sha256'))[:12]}) in {folder}",
            "load the base that it was trained on, or train it again on this one",
        )


def attach_lora(vlm: VLM, rank: int, alpha: int, seed: int) -> None:
    """Puts LoRA into the model in place; its adapter also carries the rows of the action tokens and of new words."""
    torch.manual_seed(seed)
    vlm.model = with_lora(vlm.model, vlm.family, rank, vlm.lora_token_rows, alpha)


def with_lora(model: nn.Module, family: Family, rank: int, rows: list[int], alpha: int = 32) -> PeftModel:
    """A `transformers` model with LoRA on what its family allows and with trainable embedding rows, changed in place.

    An output layer with a table of its own gets trainable rows of its own.
    """
    tables = rows if tied(model) else {"embed_tokens": rows, "lm_head": rows}
    lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules=family.lora_targets, trainable_token_indices=tables or None)
    model = _peft(model, lora)
    fuse(model)
    fuse_norms(model)
    return model


def _peft(model: nn.Module, settings: LoraConfig) -> PeftModel:
    """peft asks transformers for a property by its old name, and a notebook would show that warning in red."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(model, settings)


def tied(model: nn.Module) -> bool:
    """Whether the output layer is the embedding's table, and not one of its own."""
    return model.get_input_embeddings().weight is model.get_output_embeddings().weight


def trainable_state(vlm: VLM, method: str) -> dict[str, Tensor]:
    """The weights that training changes, by name, on the CPU."""
    lora = method == "lora"
    state = get_peft_model_state_dict(vlm.model, save_embedding_layers=False) if lora else _whole(vlm.model)
    return {k: v.detach().to("cpu").contiguous().clone() for k, v in state.items()}


def _whole(model: nn.Module) -> dict[str, Tensor]:
    """All weights by name; an output layer that is the embedding is not there twice."""
    return {k: v for k, v in model.state_dict().items() if not (tied(model) and k.startswith("lm_head."))}


def load_whole(vlm: VLM, weights: dict[str, Tensor], folder: Path) -> None:
    """Puts what `trainable_state` gave of a full training back into the model, in place.

    Raises:
        RadliteError: a weight that the model has is not among them, or one is that it has not; the model is unchanged then.
    """
    odd = set(weights) ^ set(_whole(vlm.model))
    if odd:
        raise RadliteError("just the weights of the base", f"{min(odd)} lacks or is too many in {folder}", "train it again")
    vlm.model.load_state_dict(weights, strict=False)  # not strict: the output layer may be the embedding


def write_adapter(
    folder: Path, vlm: VLM, method: str, stats: ActionStats, state: dict[str, Tensor], made: dict, longest: int
) -> None:
    """Writes an adapter that `load_policy` reads: weights, LoRA's configuration, the base it belongs to, whether it undoes that
    one's rounding, action statistics, and `longest`, the tokens of the longest chain it was taught."""
    about = {
        "format": 1,
        "base": vlm.name,
        "base_sha256": vlm.sha256,
        "method": method,
        **({"undoes": {"quantize": vlm.quantize, "dtype": str(vlm.base.dtype).removeprefix("torch.")}}
           if made.get("config", {}).get("undo_rounding") else {}),
        "stats": stats.to_dict(),
        "longest_chain": longest,
        "train": made,
    }

    def fill(target: Path) -> None:
        if method == "lora":
            peft_config = vlm.model.peft_config["default"]
            plain = {**peft_config.to_dict(), "base_model_name_or_path": vlm.name, "inference_mode": True}
            (target / "adapter_config.json").write_text(json.dumps(_plain(plain), indent=1, sort_keys=True))
        save_file(
            state, target / ("adapter_model.safetensors" if method == "lora" else "model.safetensors")
        )
        (target / STATE).write_text(json.dumps(about, indent=1))

    write_folder(folder, fill)
    with disk_errors(folder):  # beside what the manifest guards: its owner may write more into a card
        (folder / CARD).write_text(card(about, vlm.name))


def card(about: dict, base: str, figures: dict | None = None, what: str = "LoRA", use: str = CARD_USE) -> str:
    """Base, data, seed and figures of an adapter, as Markdown.

    Args:
        about: what `write_adapter` noted.
        base: its name.
        figures: any, for instance of an evaluation.
        what: what the files are.
        use: how they are loaded; may name {base}.
    """
    train = about.get("train") or {}
    facts = {**(train.get("mixture") or {}), **(train.get("config") or {}), **train}
    rows = [f"| {title} | {facts[key]} |" for key, title in CARD_ROWS.items() if facts.get(key) is not None]
    rows += [f"| {kind} data | {_data(train, kind)} |" for kind in ("robot", "human")]
    told = f"```json\n{json.dumps(figures, indent=1)}\n```" if figures else "None were given; `radlite evaluate` gives some."
    return CARD_TEXT.format(what=what if facts.get("lora_rank") else "Full training", base=base,
                            weights=about.get("base_sha256", "")[:12], rows="\n".join(rows), figures=told,
                            use=use.format(base=base))  # fmt: skip


def _data(train: dict, kind: str) -> str:
    """What an adapter's card says of its "robot" or its "human" data."""
    if not train.get(kind):
        return "none"
    known = (train.get("data") or {}).get(kind)
    told = f"{', '.join(known['folders'])}: {known['frames']} frames of {known['episodes']} episodes, " if known else ""
    return f"{told}sha256 {train[kind][:12]}"


def _plain(value):
    """JSON-able copy of peft's configuration (it holds sets and enums)."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, set | list | tuple):
        items = [_plain(v) for v in value]
        return sorted(items) if isinstance(value, set) else items
    return getattr(value, "value", value)
