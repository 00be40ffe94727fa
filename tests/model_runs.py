"""Searches with language models as coder and judge against the scripted server: everything real but the evaluation.

The evaluation reads its outcome in the kernel's own text, so that hundreds of attempts take seconds. Run as a program it
is a search to be killed: ``python model_runs.py STORE BASE_URL ROUNDS STRATEGY`` prints a line for every event.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from search_doubles import TASK, evaluation, run

from kernelwright.agents.builtin.judge import RooflineJudge
from kernelwright.agents.llm.briefing import Briefing
from kernelwright.agents.llm.coder import LlmCoder
from kernelwright.agents.llm.judge import LlmJudge
from kernelwright.agents.llm.votes import Voters
from kernelwright.agents.models.paid import PaidModel
from kernelwright.agents.models.prices import load_prices
from kernelwright.agents.models.provider import Patience
from kernelwright.agents.models.spec import Models
from kernelwright.bench_tasks.task import TaskSignature, TensorSpec
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.events import Event, Observer, ignore
from kernelwright.rl.search import SearchResult, search
from kernelwright.rl.strategies import strategy_named
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.model.gpus import find_gpu

RUN = "softmax-7k3f9q"
MODEL = "openai:scripted"
PRICES = """
[[price]]
models = ["openai:scripted"]
input = "3"
cached_input = "0.3"
output = "15"
"""


def source(version: int, outcome: str) -> str:
    """A kernel that says how it is to be judged."""
    return (
        "import torch\n\n\nclass ModelNew(torch.nn.Module):\n"
        f"    version = {version}  # outcome: {outcome}\n\n"
        "    def forward(self, x):\n        return x\n"
    )


CODER = "You write CUDA kernels"
JUDGE = "You read what a verifier found"
VOTER = "You read a CUDA kernel before it is run"
IMPROVE = {"evidence": [], "limiter": "dram", "change": "wider loads", "expected_speedup": 1.1, "stop": False}
REPAIR = {"cause": "an index", "line": 5, "fix": "guard the edge"}


def judges() -> list[dict[str, Any]]:
    """A judge for kernels that passed and for those that failed, and a voter that doubts."""
    return [
        {"when": {"system": JUDGE, "prompt": r"Attempt \d+ is right"}, "json": IMPROVE, "times": "forever"},
        {"when": {"system": JUDGE, "prompt": r"Attempt \d+ failed"}, "json": REPAIR, "times": "forever"},
        {
            "when": {"system": VOTER},
            "json": {"why": "fine", "verdict": True, "confidence": 0.5},
            "times": "forever",
        },
    ]


def reply(version: int, outcome: str) -> str:
    return f"PLAN: version {version}\n```python\n{source(version, outcome)}```\n"


def chain(outcomes: list[str]) -> list[dict[str, Any]]:
    """A coder that answers to the latest kernel it is shown: version 1 for none, version n + 1 for version n."""
    after = [
        {
            "when": {"system": CODER, "prompt": rf"version = {number}  # outcome"},
            "text": reply(number + 1, outcome),
            "times": "forever",
        }
        for number, outcome in reversed(list(enumerate(outcomes[1:], 1)))
    ]
    return [
        *after,
        {
            "when": {"system": CODER, "prompt": "Write the first kernel"},
            "text": reply(1, outcomes[0]),
            "times": "forever",
        },
    ]


def outcome_of(number: int) -> str:
    return "wrong" if number % 4 == 2 else "compile_error" if number % 7 == 3 else f"{1e-5 / number:.6e}"


def script(attempts: int) -> list[dict[str, Any]]:
    """Replies for a search of so many attempts."""
    return [*judges(), *chain([outcome_of(number) for number in range(1, attempts + 1)])]


def evaluate(candidate: Kernel, observer: Observer) -> Evaluation:
    """The outcome that the text asks for; a text without one is no kernel."""
    found = re.search(r"# outcome: (\S+)", candidate.source)
    if found is None:
        return evaluation(candidate, Verdict.REJECTED)
    word = found[1]
    return evaluation(candidate, Verdict(word) if word in set(Verdict) else float(word))


def briefing() -> Briefing:
    tensor = TensorSpec("x", (4, 8), "float32", (8, 1))
    return Briefing(TASK, TaskSignature(inputs=(tensor,), outputs=(tensor,), parameters=()), find_gpu("H200"))


def model_search(
    store: Store,
    strategy: str,
    rounds: int,
    *,
    budget: str | None = None,
    candidates: int | None = None,
    observer: Observer = ignore,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> SearchResult:
    """A search with one model for everything; the environment says where its server is."""
    settings = load_settings(budget=budget)
    about = briefing()
    patience = Patience(first_wait=0.0, longest_wait=0.0)
    with Models(settings, patience=patience) as models:
        client = models.client(MODEL)
        model = PaidModel(
            client,
            store,
            RUN,
            load_prices(settings.prices),
            budget=None if budget is None else Decimal(budget),
            clock=clock,
        )
        return search(
            run(RUN, rounds=rounds, strategy=strategy, coder=MODEL, judge=MODEL),
            strategy=strategy_named(strategy, candidates),
            coder=LlmCoder(model, about, kernels_shown=5),
            judge=LlmJudge(model, about, RooflineJudge(about.gpu, {})),
            ranker=Voters(model, about),
            evaluate=evaluate,
            store=store,
            checkpoints=store.checkpoints,
            observer=observer,
        )


def environment(folder: Path, base_url: str) -> dict[str, str]:
    """What a search needs: a key, the server, prices, and nothing of the person's own settings."""
    prices = folder / "prices.toml"
    prices.write_text(PRICES)
    return {
        "OPENAI_API_KEY": "sk-scripted-0123456789",
        "OPENAI_BASE_URL": base_url,
        "KERNELWRIGHT_PRICES": str(prices),
        "KERNELWRIGHT_DATA": str(folder),
    }


def _tell(event: Event) -> None:
    sys.stdout.write(f"{type(event).__name__}\n")
    sys.stdout.flush()


def _main(arguments: list[str]) -> None:
    place, base_url, rounds, strategy = arguments
    os.environ.update(environment(Path(place).parent, base_url))
    with Store(place) as store:
        result: Any = model_search(store, strategy, int(rounds), observer=_tell)
    sys.stdout.write(f"ended: {result.stopped_because}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
