"""Sampling from a model that is being trained: conversations in, token ids and texts out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernelwright.rl.contrastive.prompt import Messages

__all__ = ["Sample", "Sampling", "encode", "sample"]


@dataclass(frozen=True)
class Sampling:
    """How replies are drawn."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 4096
    """Of a reply."""
    at_once: int = 64
    """Sequences generated at a time: what memory allows."""


@dataclass(frozen=True)
class Sample:
    """One reply."""

    prompt_ids: list[int]
    completion_ids: list[int]
    """With the end of the text, unless it was cut off."""
    text: str


def encode(tokenizer: Any, messages: Messages) -> list[int]:
    """The token ids of a conversation that the model is to answer, by its chat template; plain text where it has none."""
    if getattr(tokenizer, "chat_template", None):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    text = "\n\n".join(message["content"] for message in messages)
    return list(tokenizer(text)["input_ids"])


def sample(model: Any, tokenizer: Any, prompts: Sequence[list[int]], sampling: Sampling) -> list[Sample]:
    """One reply a prompt, drawn with torch's global generator (whose state a checkpoint holds)."""
    found: list[Sample] = []
    for start in range(0, len(prompts), sampling.at_once):
        found += _batch(model, tokenizer, prompts[start : start + sampling.at_once], sampling)
    return found


def _batch(model: Any, tokenizer: Any, prompts: Sequence[list[int]], sampling: Sampling) -> list[Sample]:
    import torch

    longest = max(map(len, prompts))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    ends = _ends(model, tokenizer)
    with _evaluating(model), torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=True,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=0,
            max_new_tokens=sampling.max_tokens,
            pad_token_id=pad,
            eos_token_id=ends,
            use_cache=True,
        )
    found = []
    for prompt, row in zip(prompts, out[:, longest:].tolist(), strict=True):
        end = next((n + 1 for n, token in enumerate(row) if token in ends), len(row))
        completion = row[:end]
        found.append(Sample(list(prompt), completion, tokenizer.decode(completion, skip_special_tokens=True)))
    return found


def _ends(model: Any, tokenizer: Any) -> list[int]:
    own = getattr(model.generation_config, "eos_token_id", None)
    known = own if isinstance(own, list) else [] if own is None else [own]
    return sorted({*known, tokenizer.eos_token_id})


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, and with the cache that gradient checkpointing turns off in training."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
