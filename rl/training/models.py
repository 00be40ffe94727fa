"""Language models by path: any causal model that transformers loads, a GGUF file included, with a LoRA adapter on top."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelwright.errors import ConfigError
from kernelwright.rl.training.extra import quiet

__all__ = [
    "Loaded",
    "Lora",
    "load_model",
    "load_weights",
    "on_gpu",
    "prepare",
    "save_model",
    "save_weights",
    "with_adapter",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters on all linear layers but the last (Hu et al. 2021, https://arxiv.org/abs/2106.09685)."""

    rank: int = 16
    """0 trains all weights and makes no adapter."""
    alpha: int = 32
    dropout: float = 0.0


@dataclass
class Loaded:
    """A model that can be trained, and its tokenizer."""

    model: Any
    tokenizer: Any
    name: str
    """Short, for people and for the author of kernels."""


def on_gpu() -> bool:
    """Whether models are put on a GPU here."""
    import torch

    return torch.cuda.is_available()


def _forget_quantization(model: Any) -> None:
    """A GGUF file's weights are plain tensors once they are loaded; transformers still calls the model quantized,
    which its trainer refuses, and would say so in what is saved of it."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def load_model(path: str, *, adapter: Path | None = None, hub: bool = False) -> Loaded:
    """Loads a model and its tokenizer; code that a model brings along is never run.

    Args:
        path: a folder as `save_pretrained` writes it (an adapter's folder names its base model), a GGUF file, or with `hub` a
            name on the hub.
        adapter: an adapter of an earlier stage, which is merged into the weights.
        hub: whether the hub may be asked.

    Raises:
        ConfigError: it can't be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    quiet()
    place = Path(path).expanduser()
    if not hub and not place.exists():
        raise ConfigError(
            f"there is no model at {path}.",
            mend="Give a folder or a .gguf file, or allow the hub with --hub.",
            path=str(place),
        )
    options: dict[str, Any] = {"local_files_only": not hub, "trust_remote_code": False}
    where = str(place) if place.exists() else path
    merged: list[Path] = []
    if (place / "adapter_config.json").is_file():
        merged.append(place)
        where = _base_of(place)
    if place.suffix.lower() == ".gguf":
        where, options["gguf_file"] = str(place.parent), place.name
    dtype = torch.bfloat16 if on_gpu() and torch.cuda.is_bf16_supported() else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(place) if merged else where, **options)
        model = AutoModelForCausalLM.from_pretrained(where, dtype=dtype, **options)
        if "gguf_file" in options:
            _forget_quantization(model)
        for folder in [*merged, *([] if adapter is None else [adapter])]:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, str(folder), local_files_only=True).merge_and_unload()
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:  # transformers raises them all
        said = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the model can't be loaded: {said}",
            mend="It must be a causal language model with its tokenizer, as transformers saves them, or a .gguf file.",
            path=str(place),
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise ConfigError("the model's tokenizer has neither a padding token nor an end of text.", path=str(place))
    tokenizer.padding_side = "left"
    if on_gpu():
        model = model.to("cuda")
    return Loaded(model, tokenizer, place.stem if place.suffix.lower() == ".gguf" else place.name or path)


def _base_of(adapter: Path) -> str:
    import json

    try:
        base = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"this adapter does not say what it is for: {error!r}.", path=str(adapter)) from error
    return str(base)


def with_adapter(model: Any, lora: Lora) -> Any:
    """The model with fresh adapters, or as it is where `lora.rank` is 0.

    Raises:
        ConfigError: the model has no layers that an adapter can be put on.
    """
    if lora.rank == 0:
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(
            f"no adapter can be put on this model: {error}.", mend="Train all weights: --lora-rank 0."
        ) from error


def prepare(loaded: Loaded, lora: Lora, seed: int) -> Loaded:
    """The model as it is trained: with fresh adapters, which are drawn from the seed."""
    import torch

    torch.manual_seed(seed)
    return Loaded(with_adapter(loaded.model, lora), loaded.tokenizer, loaded.name)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes a whole model, adapters merged in, that `load_model` and any server of models can load."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    whole.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def save_weights(model: Any, folder: Path) -> None:
    """Writes the weights that are trained: the adapters, or all where there are none."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad},
        str(folder / "trained.safetensors"),
    )


def load_weights(model: Any, folder: Path) -> None:
    """Reads back what `save_weights` wrote.

    Raises:
        ConfigError: the weights are of another model.
    """
    from safetensors.torch import load_file

    found = load_file(str(folder / "trained.safetensors"))
    wanted = {name for name, p in model.named_parameters() if p.requires_grad}
    if set(found) != wanted:
        raise ConfigError("the checkpoint is of another model or other adapters.", path=str(folder))
    model.load_state_dict(found, strict=False)
