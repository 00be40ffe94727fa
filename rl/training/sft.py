"""Supervised fine-tuning on TRL: the first stage of CUDA-L1, and what each round of the second one ends with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kernelwright.errors import ConfigError
from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.models import Loaded, save_model
from kernelwright.rl.training.progress import StopRequest, Watcher
from kernelwright.rl.training.rows import Row, Tokens, tokens_of
from kernelwright.rl.training.settings import SftSettings
from kernelwright.rl.training.trainer import Hooks, common_arguments, train

__all__ = ["collate", "train_sft"]


def train_sft(
    loaded: Loaded, rows: Sequence[Row], settings: SftSettings, folder: Folder, *, stop: StopRequest, watcher: Watcher
) -> bool:
    """Trains a model on replies, and writes it to the folder at the end; whether it came to the end.

    Raises:
        ConfigError: no row is short enough.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    tokens, left_out = tokens_of(rows, loaded.tokenizer, settings.max_tokens)
    if not tokens:
        raise ConfigError(
            f"none of the {len(rows)} rows has {settings.max_tokens:,} tokens or fewer.", mend="Raise --max-tokens."
        )
    steps = max(1, math.ceil(math.ceil(len(tokens) / settings.batch) * settings.epochs))
    hooks = Hooks("sft", steps, stop, watcher, {"rows": len(tokens), "too_long": left_out})
    trainer = SFTTrainer(
        model=loaded.model,
        args=SFTConfig(
            **common_arguments(settings, folder),
            max_steps=steps,
            per_device_train_batch_size=settings.batch,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
        ),
        train_dataset=Dataset.from_list([{"input_ids": each.input_ids, "labels": each.labels} for each in tokens]),
        processing_class=loaded.tokenizer,
        data_collator=lambda batch: collate([Tokens(b["input_ids"], b["labels"]) for b in batch], loaded.tokenizer),
    )
    ended = train(trainer, folder, hooks)
    if ended:
        save_model(loaded.model, loaded.tokenizer, folder.model)
    return ended


def collate(batch: Sequence[Tokens], tokenizer: Any) -> dict[str, Any]:
    """Rows of equal length, padded on the right: `input_ids`, `attention_mask`, `labels`, each int64 (rows, longest)."""
    import torch

    longest = max(len(each.input_ids) for each in batch)

    def padded(values: list[int], filler: int) -> list[int]:
        return values + [filler] * (longest - len(values))

    return {
        "input_ids": torch.tensor([padded(each.input_ids, tokenizer.pad_token_id) for each in batch]),
        "attention_mask": torch.tensor([padded([1] * len(each.input_ids), 0) for each in batch]),
        "labels": torch.tensor([padded(each.labels, -100) for each in batch]),
    }
