"""An evaluator's process with the real verifier: hostile replies have the floor, honest ones pass."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.rl.contrastive.reward import FLOOR, LEAST_PASSED, NO_KERNEL
from kernelwright.rl.training.environment import Environment, Reply
from kernelwright.rl.training.pool import EvaluationPool
from kernelwright.rl.training.tiny import BODIES, ENDINGS, TASK
from kernelwright.training.opening import Tasks, new_runs, order_of, places_of
from kernelwright.training.worker import WORKER
from kernelwright.verifier.evaluation import Verdict


def rewards(*texts: str) -> list[tuple[float | None, str]]:
    settings = load_settings(device="emulator")
    tasks = Tasks((TASK,))
    with Store(settings.database_url) as store, EvaluationPool(WORKER, order_of(settings)) as pool:
        places = places_of(
            tasks, new_runs(tasks), {TASK.id: (0.0, 0.7)}, store, settings, stage="grpo", coder="tiny", rounds=9
        )  # fmt: skip
        env = Environment(pool, store, places, "trained:tiny", lambda: datetime.now(UTC))
        found = env.judge([Reply(TASK.id, text) for text in texts], "step 1")
        assert len(store.attempts(places[TASK.id].run_id)) == len(texts)
    return [(judged.reward, judged.why) for judged in found]


def test_a_hostile_reply_has_the_floor(home: Path) -> None:
    found = rewards(BODIES["vector"] + ENDINGS["patch"], BODIES["vector"] + ENDINGS["nothing launched"])
    assert found == [(FLOOR, Verdict.REJECTED), (NO_KERNEL, Verdict.REJECTED)]


@pytest.mark.learning
@pytest.mark.timeout(1800)
def test_every_piece_is_judged_as_it_is_called(home: Path) -> None:
    texts = {name: body + ENDINGS["honest"] for name, body in BODIES.items()}
    texts |= {"empty()": BODIES["vector"] + ENDINGS["honest, empty()"], "decoy": BODIES["scalar"] + ENDINGS["decoy"]}
    found = dict(zip(texts, rewards(*texts.values()), strict=True))
    verdicts = {name: why for name, (_, why) in found.items()}
    right = ("vector", "vector small", "scalar", "scalar small", "strided", "empty()")
    assert {name: verdicts[name] for name in right} == dict.fromkeys(right, "passed")
    assert verdicts["wrong"] == verdicts["imprecise"] == "wrong"
    assert verdicts["out of bounds"] == "unsafe"
    assert verdicts["broken"] == "compile_error"
    assert found["decoy"] == (FLOOR, "cheating")
    assert all((reward or -1) >= LEAST_PASSED for name, (reward, _) in found.items() if name in right)
    assert (found["vector"][0] or 0) > (found["strided"][0] or 0)
