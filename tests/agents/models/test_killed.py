"""A process killed between and in the middle of paid calls, again and again: what was answered is never asked again."""

from __future__ import annotations

import random
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from model_calls import request
from search_doubles import run

from kernelwright.agents.model_server import serving
from kernelwright.agents.models.prices import Rate
from kernelwright.db.store import Store

PLACES = 30
KILLS = 10
RATE = Rate(Decimal(2), Decimal("0.1"), Decimal("2.5"), Decimal(10))
CHILD = """
import sys
from decimal import Decimal
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from model_calls import request
from kernelwright.agents.models.paid import PaidModel
from kernelwright.agents.models.prices import Price, Prices, Rate
from kernelwright.agents.models.spec import Models
from kernelwright.config import Settings
from kernelwright.db.store import Store
rate = Rate(Decimal(2), Decimal("0.1"), Decimal("2.5"), Decimal(10))
with Store(sys.argv[1]) as store, Models(Settings(), environ={}) as models:
    model = PaidModel(models.client(sys.argv[2]), store, "softmax-7k3f9q", Prices((("*", Price(rate)),), Path("p")), Decimal(5))
    for number in range(1, int(sys.argv[4]) + 1):
        model.complete(request(number, text=f"Attempt {number}."))
        print(number, flush=True)
"""


@pytest.mark.long
def test_no_answered_call_is_paid_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chance = random.Random(6)
    database = tmp_path / "k.db"
    with Store(database) as store:
        store.create_run(run())
    with serving({"replies": [{"text": "x" * 400, "delay": 0.005, "times": "forever"}]}) as server:
        command = [
            sys.executable,
            "-c",
            CHILD,
            str(database),
            f"{server.openai_url}#m",
            str(Path(__file__).parents[2]),
            str(PLACES),
        ]
        for _ in range(KILLS):
            child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert child.stdout is not None
            # as many answers are waited for as chance has it, then it is killed wherever it is
            for _line in range(chance.randrange(1, PLACES)):
                child.stdout.readline()
            child.kill()
            child.stdout.close()
            child.wait()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        served = server.tally()
    with Store(database) as store:
        calls = store.calls("softmax-7k3f9q")
    assert sorted(call.place.attempt for call in calls) == list(range(1, PLACES + 1))
    assert all(
        call.reply is not None and call.request == request(call.place.attempt, text=f"Attempt {call.place.attempt}.")
        for call in calls
    )
    # only a reply that was on its way when its process was killed can have been asked for twice
    assert served.repeated <= KILLS
    assert len(served.calls) <= PLACES + KILLS
    assert sum(call.dollars for call in calls) <= RATE.cost(served.charged())
