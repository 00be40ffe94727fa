"""`kernelwright calibrate` as a person runs it: from a file, from the store, dry, learning, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from door_nouns import TASK, passed
from model_reports import copy
from model_samples import lines, simulated

from kernelwright.calibrating import calibrate_model, stored_samples
from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import DeviceInfo, Evaluation, Measurement, Profile, TimedCall, TimingKind
from kernelwright.verifier.model.calibration import calibrated_gpu, calibration_path
from kernelwright.verifier.model.gpus import find_gpu

Cli = Callable[..., subprocess.CompletedProcess[str]]
TRUTH = find_gpu("H200").with_fitted({"dram_share": 0.8, "launch_seconds": 3e-6})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "h200.jsonl"
    path.write_text(lines(simulated(TRUTH)))
    return path


def test_from_a_file(cli: Cli, home: Path, file: Path) -> None:
    dry = cli("calibrate", "--from", file, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "calibrated on NVIDIA H200, driver 580.65.06, 2026-11-20" in dry.stdout
    assert "launch_seconds" in dry.stdout
    assert "Nothing was kept" in dry.stdout
    assert not calibration_path(home, "H200").exists()
    done = cli("calibrate", "--from", file, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["path"] == str(calibration_path(home, "H200"))
    assert said["constants"]["launch_seconds"]["value"] == pytest.approx(3e-6, rel=0.1)
    assert said["error_after"] < said["error_before"]
    assert calibrated_gpu("H200", home).dram_share == said["constants"]["dram_share"]["value"]


def test_with_learning(home: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    assert run(["calibrate", "--from", str(file), "--learn", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["learned"]["held_out"] > 0
    assert said["learned"]["analytic"] > 0
    assert said["learned"]["used"] == (said["learned"]["held_out"] < said["learned"]["analytic"])


def test_learning_without_scikit_learn(home: Path, file: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    assert run(["calibrate", "--from", str(file), "--learn"]) == 2
    assert "kernelwright[model]" in capsys.readouterr().err
    assert not calibration_path(home, "H200").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "measures the micro-benchmarks on a GPU"),
        (["--from", "none.jsonl"], "no such file"),
        (["--from", "FILE", "--gpu", "T4"], "no sample is of T4"),
        (["--from", "FILE", "--gpu", "Voodoo"], "Voodoo"),
        (["--stored"], "no measured evaluation"),
        (["--from", "BAD"], "BAD:1: this line is no JSON"),
    ],
)
def test_what_it_refuses(
    home: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    Store(load_settings().database_url).close()
    (tmp_path / "BAD").write_text("no\n")
    given = [{"FILE": str(file), "BAD": str(tmp_path / "BAD")}.get(a, a) for a in arguments]
    assert run(["calibrate", *given]) == 2
    assert said in capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert not calibration_path(home, "H200").exists()


def on_a_gpu(kernel: Kernel, seconds: float, launches: int = 1) -> Evaluation:
    timing = passed().timing
    assert timing is not None
    calls = [TimedCall(workload="as-given", seconds=seconds * factor) for factor in (0.99, 1.0, 1.01)]
    return passed(kernel).model_copy(
        update={
            "device": DeviceInfo(
                kind="cuda",
                name="NVIDIA H200",
                gpu="H200",
                arch="sm_90",
                isolation="docker",
                versions={"driver": "580"},
            ),
            "timing": timing.model_copy(update={"kind": TimingKind.MEASURED, "seconds": seconds, "calls": calls}),
            "profile": Profile(launches=[copy(1 << 20).to_json()] * launches),
        }
    )


def test_samples_from_the_store(home: Path) -> None:
    one, two, three = (Kernel(f"# {n}\n", "me") for n in range(3))
    with Store(load_settings().database_url) as store:
        with pytest.raises(MisuseError, match="no measured evaluation"):
            stored_samples(store)
        store.add_evaluation(TASK, one, passed(one))
        store.add_evaluation(TASK, two, on_a_gpu(two, 5e-6, launches=2))
        with pytest.raises(MisuseError, match="1 measured evaluations, none of a kernel that is one launch"):
            stored_samples(store)
        store.add_evaluation(TASK, three, on_a_gpu(three, 5e-6))
        (sample,) = stored_samples(store)
    assert (sample.gpu, sample.driver, sample.source, sample.seconds) == ("NVIDIA H200", "580", three.id, 5e-6)
    assert sample.report() == copy(1 << 20)
    assert sample.repeats == 3
    assert sample.standard_error == pytest.approx(0.01 * 5e-6 / 3**0.5)


def test_a_measurement_says_its_own_error(home: Path) -> None:
    kernel = Kernel("# measured\n", "me")
    found = on_a_gpu(kernel, 5e-6)
    measurement = Measurement(
        rounds=20, calls={"candidate": 800, "eager": 800}, medians={}, times={}, speedups={}, standard_error=0.004,
        budget_ended=False, unsettled=[], looked_at=10, wall=None, ceilings={}, clocks=[],
    )  # fmt: skip
    assert found.timing is not None
    timing = found.timing.model_copy(update={"measurement": measurement, "calls": []})
    with Store(load_settings().database_url) as store:
        store.add_evaluation(TASK, kernel, found.model_copy(update={"timing": timing}))
        (sample,) = stored_samples(store)
    assert (sample.repeats, sample.standard_error) == (800, pytest.approx(0.004 * 5e-6))


def test_a_kept_calibration_reaches_the_profile(cli: Cli, home: Path, tmp_path: Path, file: Path) -> None:
    calibrate_model(simulated(TRUTH), load_settings())
    program = tmp_path / "add.cu"
    program.write_text(
        "__global__ void add(float* x) { x[threadIdx.x] += 1; }\n"
        "int main() { float* x; cudaMalloc(&x, 128); cudaMemset(x, 0, 128); add<<<1, 32>>>(x); return cudaDeviceSynchronize(); }\n"
    )
    done = cli("profile", program, "--json")
    assert done.returncode == 0, done.stderr
    (kernel,) = json.loads(done.stdout)["kernels"]
    assert "calibrated on NVIDIA H200" in kernel["interval_source"]
    assert kernel["seconds_low"] <= kernel["seconds"] <= kernel["seconds_high"]
