"""The learned correction: it finds what the model lacks, is used only if it helps, never extrapolates, and carries no code."""

from __future__ import annotations

import json
import math
import sys
from datetime import UTC, datetime

import numpy as np
import pytest
from model_reports import bank_conflicts, copy, softmax_rows, tiled_matmul
from model_samples import simulated, textbook
from pydantic import ValidationError

from kernelwright.errors import ConfigError
from kernelwright.verifier.model.analytic import analytic_time
from kernelwright.verifier.model.calibration import Calibration, calibrate, folds_of
from kernelwright.verifier.model.features import FEATURES, features
from kernelwright.verifier.model.fit import Observation
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.learned import Learned, learn
from kernelwright.verifier.model.trees import Correction, Tree
from kernelwright.verifier.model.uncertainty import Spread

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
H200 = find_gpu("H200")


def wide_set():
    """Twenty sources of some hundred and fifty launches, families overlapping in kind, so that one can speak for another."""
    found = list(textbook())
    for at, threads in enumerate((64, 128, 512)):
        found += [(f"softmax t{threads}", softmax_rows(rows, 1024, threads)) for rows in (64, 512, 2048, 4096)]
        found += [(f"copy t{threads}", copy(1 << e, 1 << at, threads)) for e in (16, 19, 21, 22, 23)]
    for tile, per_thread in ((32, 2), (64, 8), (128, 4)):
        found += [(f"tiles {tile} {per_thread}", tiled_matmul(n, tile, per_thread)) for n in (256, 512, 1024, 2048)]
    for accesses in (100, 200):
        found += [(f"conflicts {accesses}", bank_conflicts(ways, accesses, 1024)) for ways in (1, 2, 8, 16, 32)]
    return found


def observations(samples) -> list[Observation]:
    return [Observation(s.report(), s.seconds, s.standard_error / s.seconds, s.source) for s in samples]


def biased(report) -> float:
    """Something that the model does not know: shared-memory and matrix kernels take 2.2 times as long."""
    return 2.2 if report.counters.shared_load_requests > report.counters.global_load_requests else 1.0


def samples_with_a_bias(seed: int = 0):
    launches = wide_set()
    truth = H200.with_fitted({"launch_seconds": 2.6e-6})
    made = []
    for number, (source, report) in enumerate(launches):
        made += simulated(truth, [(source, report)], seed=1000 * seed + number, bias={source: biased(report)})
    return made


@pytest.fixture(scope="module")
def learned() -> Calibration:
    pytest.importorskip("sklearn")
    return calibrate(samples_with_a_bias(), now=NOW, learn=lambda *given: learn(*given).correction)


def test_it_finds_what_the_model_does_not_know(learned: Calibration) -> None:
    correction = learned.correction
    assert correction is not None
    assert learned.note.correction == correction.digest
    assert correction.held_out < 0.7 * correction.analytic
    card = learned.apply(H200)
    without, with_it = [], []
    for sample in samples_with_a_bias(seed=9):  # measured again
        report = sample.report()
        plain, corrected = analytic_time(report, card), kernel_time(report, card)
        without.append(abs(math.log(sample.seconds / plain.seconds)))
        with_it.append(abs(math.log(sample.seconds / corrected.seconds)))
        assert corrected.analytic_seconds == plain.seconds
        assert corrected.seconds_low <= corrected.seconds <= corrected.seconds_high
        assert "learned correction of" in corrected.interval_source
    assert sum(with_it) < 0.5 * sum(without)


def test_it_survives_json_and_predicts_the_same(learned: Calibration) -> None:
    again = Calibration.model_validate_json(learned.model_dump_json())
    assert again == learned
    assert kernel_time(tiled_matmul(768), again.apply(H200)) == kernel_time(tiled_matmul(768), learned.apply(H200))


def test_our_trees_say_what_scikit_learn_says() -> None:
    """The trees as plain numbers against the library's own prediction, on launches in and between those of training."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    from kernelwright.verifier.model import learned as module

    every = observations(samples_with_a_bias())
    fields = module._trained(every, H200)
    correction = Correction.model_validate(
        fields
        | {"held_out": 0.0, "analytic": 0.0, "spread": Spread(samples=1, low=0, high=0), "least": -12, "most": 12}
    )
    values, targets = module._table(every, H200)
    model = ensemble.GradientBoostingRegressor(**module._SETTINGS).fit(values, targets)
    rng = np.random.default_rng(0)
    between = rng.uniform(values.min(axis=0), values.max(axis=0), (200, len(FEATURES))).astype(np.float32)
    for row in (*values, *between):
        expected = model.predict(row[None])[0]
        assert correction.predict(dict(zip(FEATURES, row, strict=True))) == pytest.approx(expected, abs=1e-9)


def test_noise_alone_is_not_learned() -> None:
    pytest.importorskip("sklearn")
    every = observations(simulated(H200, wide_set(), noise=0.2))
    found = learn(every, H200, folds_of(every, H200, fitted=False))
    assert found.correction is None
    assert found.held_out is not None
    assert found.analytic is not None
    assert found.held_out >= found.analytic
    assert "no better" in found.reason


def test_too_few_samples_are_not_learned_from() -> None:
    pytest.importorskip("sklearn")
    every = observations(simulated(H200)[:20])
    assert learn(every, H200, []) == Learned(
        None, None, None, "no correction: 20 samples of 4 sources are too few to learn from (40 of 8)"
    )


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    every = observations(simulated(H200))
    for given in (every, every[:5]):
        with pytest.raises(ConfigError, match=r"kernelwright\[model\]"):
            learn(given, H200, folds_of(every, H200, fitted=False))


LEAF = {"feature": (-1,), "threshold": (0.0,), "left": (-1,), "right": (-1,), "value": (0.5,)}
SPLIT = {
    "feature": (0, -1, -1), "threshold": (0.3, 0, 0), "left": (1, -1, -1), "right": (2, -1, -1), "value": (0, -1.0, 1.0),
}  # fmt: skip


def by_hand(**changes: object) -> Correction:
    """Two features; below 0.3 of the first a factor of exp(-1 + 0.5), else of exp(1 + 0.5)."""
    fields: dict[str, object] = {
        "features": ("share_dram", "occupancy"), "lowest": (0.0, 0.5), "highest": (1.0, 1.0), "base": 0.0,
        "trees": (SPLIT, LEAF), "least": -2.0, "most": 2.0, "samples": 50, "held_out": 0.1, "analytic": 0.2,
        "spread": {"samples": 50, "low": -0.1, "high": 0.2},
    }  # fmt: skip
    return Correction.model_validate(fields | changes)


def test_a_tree_by_hand() -> None:
    assert by_hand().predict({"share_dram": 0.2, "occupancy": 1}) == -0.5
    assert by_hand().predict({"share_dram": 0.4, "occupancy": 1}) == 1.5
    assert by_hand(most=1.0).predict({"share_dram": 0.4, "occupancy": 1}) == 1.0


def test_outside_of_training_the_analytic_time_stands_and_says_so() -> None:
    card = H200.model_copy(update={"correction": by_hand()})
    starved = copy(1 << 22, 1, registers=168)  # occupancy below a half
    time = kernel_time(starved, card)
    assert time.seconds == analytic_time(starved, H200).seconds
    assert time.interval_source.endswith("learned correction not used: occupancy is outside what it was trained on")
    inside = kernel_time(copy(1 << 24), card)
    assert inside.seconds == pytest.approx(inside.analytic_seconds * math.exp(1.5))
    assert inside.seconds_high == pytest.approx(inside.seconds * math.exp(0.2))
    assert by_hand().outside({"share_dram": math.nan, "occupancy": 1.0}) == "share_dram"
    assert by_hand().outside({"occupancy": 1.0}) == "share_dram"


def test_a_corrected_time_is_never_below_what_memory_needs() -> None:
    card = H200.model_copy(update={"correction": by_hand(trees=(LEAF,), base=-2.5)})
    time = kernel_time(copy(1 << 24), card)
    assert time.seconds == pytest.approx(time.terms["dram"] + time.terms["launch"])


@pytest.mark.parametrize(
    "changes",
    [
        {"trees": ({**LEAF, "value": (0.5, 1.0)},)},
        {"trees": ({**SPLIT, "left": (0, -1, -1)},)},  # a loop
        {"trees": ({**SPLIT, "right": (3, -1, -1)},)},
        {"trees": ({**SPLIT, "feature": (2, -1, -1)},)},
        {"trees": ({**LEAF, "value": (math.nan,)},)},
        {"lowest": (0.0,)},
        {"lowest": (2.0, 0.5)},
        {"least": 3.0},
        {"most": 1e9},
        {"features": ()},
        {"code": "import os"},
    ],
)
def test_a_correction_that_is_none(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        by_hand(**changes)
    assert Tree.model_validate(LEAF).leaf(np.zeros(1)) == 0.5


def test_features_are_finite_numbers_by_name() -> None:
    for _, report in wide_set():
        values = features(report, analytic_time(report, H200))
        assert tuple(values) == FEATURES
        assert all(math.isfinite(value) for value in values.values())


def test_a_correction_is_numbers_alone(learned: Calibration) -> None:
    def leaves(value: object):
        if isinstance(value, dict):
            for each in value.values():
                yield from leaves(each)
        elif isinstance(value, list):
            for each in value:
                yield from leaves(each)
        else:
            yield value

    data = json.loads(learned.model_dump_json())["correction"]
    assert {type(leaf) for leaf in leaves({k: v for k, v in data.items() if k != "features"})} <= {int, float}
