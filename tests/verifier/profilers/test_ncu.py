"""Nsight Compute's command line and reports; samples in `data/` follow NVIDIA's documentation, their numbers are made up."""

from __future__ import annotations

import stat
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import model_reports
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelwright.sandbox.launch import LaunchReport
from kernelwright.verifier.evaluation import Profile, TimingKind
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_time import kernel_time
from kernelwright.verifier.model.metrics import metrics
from kernelwright.verifier.profilers import ncu
from kernelwright.verifier.profilers.tools import Finished, ProblemKind

DATA = Path(__file__).with_name("data")


def sample(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def kinds(run: ncu.NcuRun) -> list[ProblemKind]:
    return [problem.kind for problem in run.problems]


def test_the_metrics_are_those_of_the_emulator() -> None:
    gpu, report = find_gpu("H200"), model_reports.copy(1 << 20)
    ours = metrics(report, report.resources, gpu, kernel_time(report, gpu))
    assert sorted(ncu.METRICS) == sorted(name for name in ours if not name.startswith("kernelwright__"))


def test_a_report_of_several_kernels() -> None:
    run = ncu.parse(sample("ncu_two_kernels.csv"))
    assert [launch.kernel for launch in run.launches] == ["_Z5scalePK6float4PS_i"] * 2 + ["_Z9transposePKfPfi"]
    assert run.problems == ()
    scale, _, transpose = run.launches
    assert (scale.grid, scale.block, scale.compute_capability) == ((16384, 1, 1), (256, 1, 1), "9.0")
    assert scale.metrics["gpu__time_duration.sum"] == pytest.approx(33.728e-6)  # nsecond
    assert scale.metrics["dram__bytes_read.sum"] == 67_112_960
    assert scale.metrics["sm__cycles_elapsed.avg.per_second"] == pytest.approx(1.98e9)  # cycle/nsecond
    assert scale.metrics["sm__maximum_warps_per_active_cycle_pct"] == 100
    assert "sm__inst_executed_pipe_tensor.sum" in scale.missing  # n/a
    assert transpose.metrics["launch__shared_mem_per_block_static"] == 4096


def test_it_becomes_a_measured_profile() -> None:
    profile = ncu.parse(sample("ncu_two_kernels.csv")).to_profile()
    assert profile.kind is TimingKind.MEASURED
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
    report = LaunchReport.from_json(profile.launches[0])
    # 16,384 blocks of 256 threads that each load and store 16 bytes and multiply four numbers
    threads = 16384 * 256
    assert report.blocks_total * 256 == threads
    assert report.counters.global_load_bytes == report.counters.global_store_bytes == 16 * threads
    assert report.counters.global_load_requests == threads / 32
    assert report.counters.flops == {"fp32": 4 * threads}
    assert report.resources is not None
    assert report.resources.registers == 16


def test_profiles_were_modelled_before_there_was_a_kind() -> None:
    assert Profile.model_validate({"launches": []}).kind is TimingKind.MODELLED


def test_units_other_than_base() -> None:
    (launch,) = ncu.parse(sample("ncu_other_units.csv")).launches
    assert launch.metrics["gpu__time_duration.sum"] == pytest.approx(41.22e-6)
    assert launch.metrics["dram__bytes_read.sum"] == pytest.approx(16.78e6)
    assert launch.metrics["launch__shared_mem_per_block_static"] == pytest.approx(4100)
    assert launch.metrics["sm__cycles_elapsed.avg.per_second"] == pytest.approx(1.98e9)
    assert launch.metrics["launch__grid_size"] == 100  # from the column, where there is no metric


@pytest.mark.parametrize("unit", ["furlong", "nsecond", "%"])
def test_a_wrong_unit_is_told_and_the_value_left_out(unit: str) -> None:
    run = ncu.parse(sample("ncu_other_units.csv").replace("Mbyte", unit))
    assert "dram__bytes_read.sum" not in run.launches[0].metrics
    assert kinds(run) == [ProblemKind.UNREADABLE]
    assert unit in str(run.problems[0])


def test_what_some_chips_call_otherwise() -> None:
    (launch,) = ncu.parse(
        sample("ncu_other_units.csv").replace("dram__bytes_read.sum", "dram__bytes_op_read.sum")
    ).launches
    assert launch.metrics["dram__bytes_read.sum"] == pytest.approx(16.78e6)


@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("ncu_no_permission.txt", ProblemKind.NO_PERMISSION, "administrators"),
        ("ncu_no_match.txt", ProblemKind.NOTHING_MATCHED, "no launch"),
        ("ncu_no_driver.txt", ProblemKind.NO_DEVICE, "driver"),
        ("ncu_unknown_metric.txt", ProblemKind.UNKNOWN_METRIC, "dram__bytes_read.sum"),
    ],
)
def test_what_went_wrong_is_said(name: str, kind: ProblemKind, word: str) -> None:
    run = ncu.parse(sample(name))
    assert run.launches == ()
    assert kinds(run)[0] is kind
    assert word in str(run.problems[0])


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("==ERROR== Profiling is not supported on device 0. To find out supported GPUs refer --list-chips option.", ProblemKind.UNSUPPORTED),
        ("==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no other tool", ProblemKind.BUSY),
        ("==ERROR== The application returned an error code (139).", ProblemKind.PROGRAM_FAILED),
        ("==ERROR== Failed to initialize the profiler: LibraryNotLoaded. Check that a compatible", ProblemKind.NO_DEVICE),
        ("==ERROR== Something else.", ProblemKind.FAILED),
        ("", ProblemKind.UNREADABLE),
    ],
)  # fmt: skip
def test_further_messages(row: str, kind: ProblemKind) -> None:
    assert kinds(ncu.parse(row)) == [kind]


def test_a_report_without_units_is_not_guessed_at() -> None:
    rows = [row for row in sample("ncu_two_kernels.csv").splitlines() if not row.startswith('"",')]
    run = ncu.parse("\n".join(rows))
    assert run.launches == ()
    assert kinds(run) == [ProblemKind.UNREADABLE]


def test_lines_of_the_program_between_the_rows() -> None:
    rows = sample("ncu_two_kernels.csv").splitlines()
    mixed = [line for row in rows for line in (row, '"an open quote', "1,2,3", '"0","too short"')]
    assert ncu.parse("\n".join(mixed)).launches == ncu.parse(sample("ncu_two_kernels.csv")).launches


@given(st.text(alphabet=st.sampled_from('"0,9.1(a=ID\n%KernlNam/'), max_size=300), st.integers(0, 4000))
def test_damaged_reports_never_raise(junk: str, at: int) -> None:
    text = sample("ncu_two_kernels.csv")
    ncu.parse(junk)
    ncu.parse(text[:at] + junk + text[at:])
    for launch in ncu.parse(text[: at * 4]).launches:
        launch.report()


def test_the_command_line() -> None:
    line = ncu.command(
        ["python", "a b.py", "--csv"],
        selection=ncu.Selection(("_Z1kPf", "$s"), skip=3, count=2),
        metrics=("dram__bytes_read.sum", "gpu__time_duration.sum"),
        log_file="/tmp/x",
    )
    assert line[0] == "ncu"
    assert line[-3:] == ["python", "a b.py", "--csv"]
    given_with = dict(pairwise(line))
    assert given_with["--page"] == "raw"
    assert given_with["--print-units"] == "base"
    assert given_with["--clock-control"] == "none"
    assert given_with["--kernel-name"] == r"regex:^(_Z1kPf|\$s)$"
    assert given_with["--launch-skip"] == "3"
    assert given_with["--launch-count"] == "2"
    assert given_with["--metrics"] == "dram__bytes_read.sum,gpu__time_duration.sum"
    assert given_with["--log-file"] == "/tmp/x"


@pytest.mark.parametrize(
    ("program", "selection"),
    [
        ([], None),
        (["x"], ncu.Selection(("k;rm",))),
        (["x"], ncu.Selection(("a|b",))),
        (["x"], ncu.Selection(skip=-1)),
        (["x"], ncu.Selection(count=0)),
    ],
)
def test_command_lines_that_make_no_sense(program: list[str], selection: ncu.Selection | None) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ncu.command(program, selection=selection)


FAKE = f"""#!{sys.executable}
import pathlib, sys
args = sys.argv[1:]
log, asked = args[args.index("--log-file") + 1], args[args.index("--metrics") + 1].split(",")
print("the program's own output")
unknown = "dram__bytes_read.sum" in asked, "sm__ctas_launched.sum" in asked
if unknown[0]:
    text = "==ERROR== Failed to find metric regex:^dram__bytes_read\\\\.(sum|min|max|avg|pct|ratio|max_rate)$"
elif unknown[1]:
    text = "==ERROR== Failed to find metric sm__ctas_launched.sum"
else:
    text = pathlib.Path({str(DATA / "ncu_two_kernels.csv")!r}).read_text().replace("dram__bytes_read.sum", "dram__bytes_op_read.sum")
pathlib.Path(log).write_text(text)
sys.exit(1 if any(unknown) else 0)
"""


@pytest.fixture
def fake_ncu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called ncu that knows two metrics less."""
    tool = tmp_path / "ncu"
    tool.write_text(FAKE, encoding="utf-8")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tool


@pytest.mark.usefixtures("fake_ncu")
def test_metrics_that_the_chip_lacks_are_asked_for_otherwise_or_left_out() -> None:
    run = ncu.profile(["true"])
    assert len(run.launches) == 3
    assert run.launches[0].metrics["dram__bytes_read.sum"] == 67_112_960  # under the chip's own name
    assert kinds(run) == [ProblemKind.UNKNOWN_METRIC]
    assert "sm__ctas_launched.sum" in str(run.problems[0])
    assert "dram__bytes_read.sum" not in str(run.problems[0])


def test_no_key_of_the_person_reaches_the_tool(fake_ncu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    seen: dict[str, str] = {}

    def runner(command: Sequence[str], *, seconds: float, environment: Mapping[str, str]) -> Finished:
        assert command[0] == str(fake_ncu)
        seen.update(environment)
        return Finished(-9, "", "", timed_out=True)

    run = ncu.profile(["true"], seconds=5, environment={"FLAG": "1"}, runner=runner)
    assert "OPENAI_API_KEY" not in seen
    assert (seen["LC_ALL"], seen["FLAG"]) == ("C", "1")
    assert kinds(run)[0] is ProblemKind.TIMEOUT
    assert "5 s" in str(run.problems[0])


def test_a_tool_that_does_not_start(fake_ncu: Path) -> None:
    fake_ncu.write_text("#!/no/such/interpreter\n")
    assert kinds(ncu.profile(["true"])) == [ProblemKind.FAILED]


def test_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncu, "find_tool", lambda name, also=(): None)
    run = ncu.profile(["true"])
    assert kinds(run) == [ProblemKind.MISSING]
    assert "not installed" in str(run.problems[0])
    assert kinds(ncu.read_report(tmp_path / "none.csv")) == [ProblemKind.UNREADABLE]
