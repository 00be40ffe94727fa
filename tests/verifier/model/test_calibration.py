"""Calibration on simulated cards: constants come back, intervals hold what they promise, and bad samples get a clear error."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from model_reports import copy, naive_matmul, softmax_rows
from model_samples import measured, simulated, textbook

from kernelwright.errors import ConfigError, MisuseError, NotFoundError
from kernelwright.verifier.model import assemble
from kernelwright.verifier.model.analytic import analytic_time
from kernelwright.verifier.model.calibration import Calibration, calibrate, calibrated_gpu, calibration_path, load, save
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
H200 = find_gpu("H200")
TRUTH = H200.with_fitted({"dram_share": 0.78, "launch_seconds": 3.2e-6, "loaded_latency": 2.8, "overlap": 2.2})


@pytest.fixture(scope="module")
def found() -> Calibration:
    return calibrate(simulated(TRUTH), now=NOW)


def test_constants_come_back_within_their_stated_error(found: Calibration) -> None:
    for name, constant in found.constants.items():
        assert constant.prior == H200.fitted(name)
        assert abs(math.log(constant.value / TRUTH.fitted(name))) < 2.5 * constant.error, name
    assert found.constants["launch_seconds"].error < 0.06
    assert found.constants["dram_share"].error < 0.08
    assert found.error_after < 0.08 < 0.2 < found.error_before


def test_a_constant_that_no_sample_speaks_of_keeps_its_prior(found: Calibration) -> None:
    atomics = found.constants["atomic_share"]  # the textbook has no atomics
    assert atomics.value == pytest.approx(atomics.prior)
    assert atomics.error == pytest.approx(0.8)


def test_the_note_says_what_it_rests_on(found: Calibration) -> None:
    assert found.note.sentence() == (
        f"calibrated on NVIDIA H200, driver 580.65.06, 2026-11-20 ({len(textbook())} samples of 10 kernels)"
    )
    assert found.gpu == "H200"
    assert found.note.error < 0.06
    assert {"all", "launch", "latency"} <= set(found.note.spreads)


def test_intervals_of_new_kernels_hold_the_time_as_often_as_they_say(found: Calibration) -> None:
    card = found.apply(H200)
    within = total = 0
    for sample in simulated(TRUTH, seed=5):  # the same launches, measured again
        time = kernel_time(sample.report(), card)
        within += time.seconds_low <= sample.seconds <= time.seconds_high
        total += 1
        assert time.seconds_low <= time.seconds <= time.seconds_high
    assert within / total >= 0.75
    new = [("new", softmax_rows(2048, 2048)), ("new", naive_matmul(768)), ("new", copy(3 << 20, 4))]
    for sample in simulated(TRUTH, new, seed=6):
        plain, calibrated = kernel_time(sample.report(), H200), kernel_time(sample.report(), card)
        assert abs(math.log(sample.seconds / calibrated.seconds)) < 0.1
        assert calibrated.seconds_high / calibrated.seconds_low < plain.seconds_high / plain.seconds_low


def test_evidence_names_the_calibration(found: Calibration) -> None:
    row = assemble.launch_row(copy(1 << 20), found.apply(H200))
    assert "calibrated on NVIDIA H200, driver 580.65.06, 2026-11-20" in row["interval_source"]
    dumped = found.apply(H200).model_dump(mode="json")  # what a bundle keeps
    assert dumped["calibration"]["device"] == "NVIDIA H200"
    assert dumped["constants"]["overlap"] == found.constants["overlap"].value


def test_outliers_do_not_bend_the_constants() -> None:
    samples = simulated(TRUTH)
    for at in (3, 20):
        samples[at] = measured(samples[at].report(), samples[at].source, 30 * samples[at].seconds)
    spoilt = calibrate(samples, now=NOW)
    for name in ("dram_share", "launch_seconds"):
        assert abs(math.log(spoilt.constants[name].value / TRUTH.fitted(name))) < 0.15


def test_a_card_that_is_as_the_table_says_keeps_its_priors_or_stays_near() -> None:
    found = calibrate(simulated(H200, noise=0.02), now=NOW)
    for name, constant in found.constants.items():
        assert abs(math.log(constant.value / H200.fitted(name))) < 2.5 * constant.error
    assert found.error_after <= found.error_before


def test_it_is_kept_and_found_again(found: Calibration, tmp_path: Path) -> None:
    assert load(tmp_path, "H200") is None
    assert calibrated_gpu("nvidia h200", tmp_path) is H200
    path = save(found, tmp_path)
    assert path == calibration_path(tmp_path, "H200") == tmp_path / "calibrations" / "h200.json"
    assert load(tmp_path, "h200") == found
    card = calibrated_gpu("nvidia h200", tmp_path)
    report = copy(1 << 22)
    assert kernel_time(report, card) == kernel_time(report, found.apply(H200)) != kernel_time(report, H200)
    assert calibrated_gpu("H100", tmp_path).calibration is None
    save(found, tmp_path)  # in place of the older one
    assert [p.name for p in path.parent.iterdir()] == ["h200.json"]


def spoil(**changes: object):
    def change(data: dict) -> str:
        return json.dumps({**data, **changes})

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: "", "no calibration"),
        (lambda data: "{", "no calibration"),
        (lambda data: "[]", "no calibration"),
        (spoil(version=2), "version"),
        (spoil(gpu="T4"), "calibration of 'T4'"),
        (spoil(constants={"dram_share": {"value": 40.0, "prior": 1.0, "error": 0.1}}), "dram_share can't be 40.0"),
        (spoil(constants={"dram_share": {"value": 0.0, "prior": 1.0, "error": 0.1}}), "value"),
        (spoil(constants={"sms": {"value": 1.0, "prior": 1.0, "error": 0.1}}), "'sms' is no constant"),
        (spoil(surprise=1), "surprise"),
        (lambda data: json.dumps({**data, "note": {**data["note"], "spreads": {"all": {"samples": 9, "low": 1.0, "high": 2.0}}}}), "low"),
        (lambda data: json.dumps({**data, "note": {**data["note"], "correction": "0123"}}), "not the one that the note names"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_calibration(found: Calibration, tmp_path: Path, change, said: str) -> None:
    path = save(found, tmp_path)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(ConfigError) as caught:
        calibrated_gpu("H200", tmp_path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_that_cannot_be_written(found: Calibration, tmp_path: Path) -> None:
    (tmp_path / "calibrations").write_text("a file")
    with pytest.raises(ConfigError, match="can't be written"):
        save(found, tmp_path)


def test_several_gpus_need_a_choice() -> None:
    both = simulated(TRUTH) + simulated(find_gpu("T4"), gpu="Tesla T4")
    with pytest.raises(MisuseError, match="several GPUs: NVIDIA H200, Tesla T4"):
        calibrate(both, now=NOW)
    assert calibrate(both, now=NOW, gpu="t4").gpu == "T4"
    with pytest.raises(MisuseError, match="no sample is of L40S; they are of NVIDIA H200, Tesla T4"):
        calibrate(both, now=NOW, gpu="L40S")


def test_an_unknown_gpu() -> None:
    with pytest.raises(NotFoundError, match="GeForce 256"):
        calibrate(simulated(TRUTH, gpu="GeForce 256"), now=NOW)
    # beside a known one it is passed over once that one is named
    mixed = simulated(TRUTH) + simulated(TRUTH, gpu="GeForce 256")
    assert calibrate(mixed, now=NOW, gpu="H200").note.samples == len(textbook())


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_samples(count: int) -> None:
    with pytest.raises(MisuseError, match="too few" if count else "no sample|too few"):
        calibrate(simulated(TRUTH)[:count], now=NOW)


def test_too_few_sources() -> None:
    with pytest.raises(MisuseError, match="12 samples of 1 sources are too few"):
        calibrate([measured(copy(1 << 20), "copy", 1e-5) for _ in range(12)], now=NOW)


def test_times_in_another_unit() -> None:
    wrong = [measured(each.report(), each.source, 1e3 * each.seconds) for each in simulated(TRUTH)]
    with pytest.raises(MisuseError, match="nowhere near"):
        calibrate(wrong, now=NOW)


def test_one_absurd_time_among_few_is_named() -> None:
    samples = simulated(TRUTH)[:16]
    samples[5] = measured(samples[5].report(), samples[5].source, 9e3)
    with pytest.raises(MisuseError, match=r"The farthest is sample 6, of 'copy4': 9e\+03 s where the model says"):
        calibrate(samples, now=NOW)


def test_times_that_have_nothing_to_do_with_the_launches() -> None:
    samples = simulated(TRUTH)
    shuffled = [
        measured(a.report(), a.source, b.seconds) for a, b in zip(samples, samples[17:] + samples[:17], strict=True)
    ]
    with pytest.raises(MisuseError, match="nowhere near"):
        calibrate(shuffled, now=NOW)


def test_a_launch_that_the_card_would_refuse() -> None:
    samples = simulated(TRUTH)
    fat = measured(copy(1 << 20, threads=1024, registers=128), "fat", 1e-5)
    with pytest.raises(MisuseError, match=f"sample {len(samples) + 1} can't have run on H200: .*registers"):
        calibrate([*samples, fat], now=NOW)


def test_the_order_of_samples_does_not_matter() -> None:
    samples = simulated(TRUTH)
    one, two = calibrate(samples, now=NOW), calibrate(samples[::-1], now=NOW)
    for name, constant in one.constants.items():
        assert constant.value == pytest.approx(two.constants[name].value, rel=1e-6)


def test_what_the_model_says_is_what_it_was_fitted_to(found: Calibration) -> None:
    """`error_after` is over held-out kernels, so it is not below what the kept constants leave on all samples by much."""
    card = found.apply(H200)
    left = [abs(math.log(s.seconds / analytic_time(s.report(), card).seconds)) for s in simulated(TRUTH)]
    assert sum(left) / len(left) < 1.1 * found.error_after
