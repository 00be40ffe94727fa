"""Supervised fine-tuning: batches, and with the extra that replies are learned, stopped and gone on with."""

from __future__ import annotations

from pathlib import Path

from training_extra import needs_extra

from kernelwright.rl.training.folder import Folder
from kernelwright.rl.training.progress import StepDone, StopRequest
from kernelwright.rl.training.rows import Row, Tokens
from kernelwright.rl.training.settings import SftSettings
from kernelwright.rl.training.sft import collate, train_sft
from kernelwright.rl.training.tiny import BODIES, ENDINGS


class Padding:
    pad_token_id = 9


def test_rows_are_padded_on_the_right_and_padding_is_not_learned() -> None:
    batch = collate([Tokens([1, 2, 3], [-100, 2, 3]), Tokens([4], [4])], Padding())
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]


@needs_extra
def test_a_reply_is_learned_over_a_stop(tmp_path: Path) -> None:
    from kernelwright.rl.training.generation import Sampling, encode, sample
    from kernelwright.rl.training.models import load_model, prepare
    from kernelwright.rl.training.tiny import save_tiny_model

    wanted = BODIES["vector"] + ENDINGS["honest"]
    prompt = [{"role": "user", "content": "anything"}]
    rows = [Row(prompt, wanted, "t")] * 8
    settings = SftSettings(learning_rate=5e-3, epochs=10, batch=4, lora_rank=8, save_every=4)
    folder = Folder.create(tmp_path / "sft", {"stage": "sft"})
    path = str(save_tiny_model(tmp_path / "tiny", seed=0))
    stop, losses = StopRequest(), list[float]()

    def watch(done: StepDone) -> None:
        losses.append(done.figures["loss"])
        stop.asked = done.step == 10

    for ended in (False, True):
        stop.asked = False
        loaded = prepare(load_model(path), settings.lora, settings.seed)
        assert train_sft(loaded, rows, settings, folder, stop=stop, watcher=watch) is ended
    assert len(losses) == 20
    assert losses[-1] < 0.1 * losses[0]
    learned = load_model(str(folder.model))
    drawn = sample(learned.model, learned.tokenizer, [encode(learned.tokenizer, prompt)] * 8, Sampling(max_tokens=3))
    assert sum(each.text == wanted for each in drawn) >= 6
