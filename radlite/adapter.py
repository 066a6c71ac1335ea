"""Putting a trained adapter into a base: only its own base, only whole files, only safetensors."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

from radlite.actions import ActionStats
from radlite.checkpoint import STATE, read_json, read_tensors, verify_folder
from radlite.errors import RadliteError
from radlite.vlm import VLM

SHIPPED = ("rad", "ecot")


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


def load_adapter(vlm: VLM, adapter: str | Path) -> ActionStats:
    """Loads an adapter into `vlm` in place and returns its action statistics.

    Raises:
        RadliteError: no adapter there, one of another base, or a damaged file; the model is unchanged then.
    """
    folder = adapter_folder(adapter)
    verify_folder(folder)
    about = read_json(folder / STATE, "an adapter")
    _check_base(vlm, about, folder)
    stats = ActionStats.from_dict(about.get("stats"))
    if about.get("method") == "full":
        vlm.model.load_state_dict(read_tensors(folder / "model.safetensors"), strict=False)
        return stats
    weights = read_tensors(folder / "adapter_model.safetensors")
    settings = read_json(folder / "adapter_config.json", "an adapter")
    model = get_peft_model(vlm.model, LoraConfig.from_peft_type(**settings))
    odd = set(weights) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if odd:
        model.unload()
        raise RadliteError("just the weights that its configuration names", f"{min(odd)} lacks or is too many in {folder}",
                           "train the adapter again")
    set_peft_model_state_dict(model, weights)
    vlm.model = model
    return stats


def _check_base(vlm: VLM, about: dict, folder: Path) -> None:
    """The content decides: the same base may lie in another folder than when the adapter was trained."""
    if about.get("base_sha256") != vlm.sha256:
        raise RadliteError(
            f"an adapter trained on {vlm.name} ({vlm.sha256[:12]})",
            f"one for {about.get('base')} ({str(about.get('base_sha256'))[:12]}) in {folder}",
            "load the base that it was trained on, or train it again on this one",
        )
