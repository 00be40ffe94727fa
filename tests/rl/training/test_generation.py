"""Sampling: conversations as token ids; with the extra, replies that end where the text does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training_extra import needs_extra

from kernelwright.rl.training.generation import Sampling, encode, sample

MESSAGES = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]


class Letters:
    """A tokenizer of one id a letter."""

    def __init__(self, chat_template: str | None) -> None:
        self.chat_template = chat_template

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": ([1] if add_special_tokens else []) + [ord(c) for c in text]}

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> str:
        assert options == {"tokenize": False, "add_generation_prompt": True}
        return "".join(f"<{m['role'][0]}>{m['content']}" for m in messages) + "<a>"


def test_a_chat_template_is_used_and_has_its_own_beginning() -> None:
    assert encode(Letters("yes"), MESSAGES) == [ord(c) for c in "<s>s<u>u<a>"]


def test_without_one_it_is_plain_text() -> None:
    assert encode(Letters(None), MESSAGES) == [1, *(ord(c) for c in "s\n\nu")]


@needs_extra
def test_prompts_of_different_lengths_have_replies_of_their_own(tmp_path: Path) -> None:
    import torch

    from kernelwright.rl.training.models import load_model
    from kernelwright.rl.training.tiny import save_tiny_model

    loaded = load_model(str(save_tiny_model(tmp_path / "tiny", seed=0, hidden=32)))
    prompts = [[1, 5], [1, 5, 6, 7, 8], [1]] * 8

    def drawn(at_once: int) -> list[list[int]]:
        torch.manual_seed(3)
        return [
            each.completion_ids
            for each in sample(loaded.model, loaded.tokenizer, prompts, Sampling(max_tokens=12, at_once=at_once))
        ]

    found = drawn(24)
    assert len(found) == 24
    assert found == drawn(24)
    end = loaded.tokenizer.eos_token_id
    assert all(1 <= len(ids) <= 12 and end not in ids[:-1] for ids in found)
    assert any(ids[-1] == end for ids in found)
    assert len(drawn(5)) == 24
    loaded.model.train()
    sample(loaded.model, loaded.tokenizer, prompts[:1], Sampling(max_tokens=1))
    assert loaded.model.training
