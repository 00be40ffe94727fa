"""The tiny model: its pieces make kernels, and with the extra it reads and writes them word by word."""

from __future__ import annotations

import ast
from itertools import product
from pathlib import Path

import pytest
from training_extra import needs_extra

from kernelwright.rl.contrastive.exemplars import Variant
from kernelwright.rl.contrastive.reading import read_reply
from kernelwright.rl.training.rows import reply_of
from kernelwright.rl.training.tiny import BODIES, ENDINGS, FILLERS, save_tiny_model
from kernelwright.verifier.evaluation import TimingKind

PAIRS = [pytest.param(b, e, id=f"{x}, {y}") for (x, b), (y, e) in product(BODIES.items(), ENDINGS.items())]


@pytest.mark.parametrize(("body", "ending"), PAIRS)
def test_a_body_and_an_ending_are_a_kernel(body: str, ending: str) -> None:
    found = read_reply(body + ending, "tiny").kernel
    assert found is not None
    ast.parse(found.source)
    assert reply_of(found.source).strip() == (body + ending).strip()  # as a prompt shows it


def test_nothing_shorter_is_a_whole_kernel() -> None:
    assert all(read_reply(body, "tiny").kernel is None for body in BODIES.values())
    assert len({*BODIES.values(), *ENDINGS.values(), *FILLERS}) == len(BODIES) + len(ENDINGS) + len(FILLERS)


@needs_extra
def test_it_reads_kernels_as_words_and_writes_them_back(tmp_path: Path) -> None:
    from llm_doubles import BRIEFING

    from kernelwright.rl.contrastive.prompt import ContrastivePrompt
    from kernelwright.rl.training.generation import encode
    from kernelwright.rl.training.models import load_model

    loaded = load_model(str(save_tiny_model(tmp_path / "tiny", seed=0, hidden=32)))
    words = loaded.tokenizer
    pair = BODIES["vector"], ENDINGS["honest"]
    body, ending = (words(piece, add_special_tokens=False)["input_ids"] for piece in pair)
    assert (len(body), len(ending)) == (1, 1)
    assert words.decode([*body, *ending], skip_special_tokens=True) == "".join(pair)
    kernel = read_reply("".join(pair), "tiny").kernel
    assert kernel is not None
    shown = Variant("a", kernel.source, 1.5, 1e-5, TimingKind.MODELLED)
    prompt = encode(words, ContrastivePrompt(BRIEFING).first([shown]))
    at = prompt.index(body[0])
    assert prompt[at : at + 2] == [*body, *ending]
    assert len(prompt) < 100


@needs_extra
def test_the_seed_makes_the_weights(tmp_path: Path) -> None:
    first, again, other = (save_tiny_model(tmp_path / str(n), seed=seed, hidden=32) for n, seed in enumerate((1, 1, 2)))
    weights = [(path / "model.safetensors").read_bytes() for path in (first, again, other)]
    assert weights[0] == weights[1] != weights[2]
