"""Where kernels stand against the roofs, in numbers, words and a picture."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from xml.etree import ElementTree

import model_reports
import pytest

from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model.gpus import find_gpu
from kernelwright.verifier.model.kernel_profile import profile_kernels
from kernelwright.verifier.profilers import roofline_plot
from kernelwright.verifier.profilers.bounds import (
    Roofline,
    measured_roofline,
    modelled_roofline,
    other_gpu,
    summary,
)
from kernelwright.verifier.profilers.ncu import NcuLaunch, parse
from kernelwright.verifier.profilers.tools import Problem, ProblemKind

H200 = find_gpu("H200")
SAMPLE = Path(__file__).with_name("data") / "ncu_two_kernels.csv"
needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None,
    reason="matplotlib is not installed (pip install 'kernelwright[plot]')",
)


def launches() -> tuple[NcuLaunch, ...]:
    return parse(SAMPLE.read_text(encoding="utf-8")).launches


def measured(**changes: float) -> Roofline:
    """Of the first launch of the sample with some metrics changed."""
    first = launches()[0]
    return measured_roofline([dataclasses.replace(first, metrics={**first.metrics, **changes})], H200)


def modelled() -> Roofline:
    reports = [model_reports.copy(1 << 24), model_reports.copy(1 << 20, scattered=True, name="scattered")]
    return modelled_roofline(profile_kernels(reports, H200), H200)


def test_a_measured_point_by_hand() -> None:
    roofline = measured_roofline(launches(), H200)
    # the roofs are those in the report: 16,896 fused multiply-adds a clock at 1.98 GHz, 1,536 bytes at 3.2 GHz
    assert roofline.peaks["fp32"] == pytest.approx(2 * 16896 * 1.98e9)
    assert roofline.bandwidth == pytest.approx(1536 * 3.2e9)
    assert roofline.kind is TimingKind.MEASURED
    transpose, scale = roofline.points  # the costliest first; of two launches of scale the longer one
    assert scale.seconds == pytest.approx(33.728e-6)
    assert scale.flops == 4 * 16384 * 256
    assert scale.intensity == pytest.approx(scale.flops / (67_112_960 + 67_010_560))
    assert scale.share == pytest.approx((67_112_960 + 67_010_560) / (1536 * 3.2e9) / 33.728e-6)
    assert transpose.intensity is None  # no FLOPs


def test_what_limits_measured_kernels() -> None:
    transpose, scale = measured_roofline(launches(), H200).points
    assert scale.diagnosis.limiter == "dram"  # 84 % busy
    assert transpose.diagnosis.limiter == "shared"  # 32 wavefronts a request
    assert "bank" in transpose.diagnosis.finding
    assert not any("modelled" in key for key in scale.diagnosis.evidence)


@pytest.mark.parametrize(
    ("changes", "limiter", "word"),
    [
        ({"gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": 20.0}, "latency", "loads in flight"),
        (
            {
                "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": 20.0,
                "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio": 500.0,
            },
            "latency",
            "barriers",
        ),
        ({"sm__throughput.avg.pct_of_peak_sustained_elapsed": 95.0}, "issue", "95 %"),
        ({"lts__throughput.avg.pct_of_peak_sustained_elapsed": 95.0}, "l2", "again and again"),
    ],
)
def test_other_limiters(changes: dict[str, float], limiter: str, word: str) -> None:
    (point,) = measured(**changes).points
    assert point.diagnosis.limiter == limiter
    assert word in point.diagnosis.finding


def test_launches_without_a_time_are_left_out_and_without_shares_undecided() -> None:
    first = launches()[0]
    assert measured_roofline([dataclasses.replace(first, metrics={})], H200).points == ()
    (point,) = measured_roofline([dataclasses.replace(first, metrics={"gpu__time_duration.sum": 1e-5})], H200).points
    assert point.diagnosis.limiter == "unknown"
    assert "nothing can be said" in summary(measured_roofline([first], H200))[0] or point.share == 0.0


def test_a_report_of_another_gpu_is_told() -> None:
    assert other_gpu(launches(), H200) == ""
    assert "9.0" in other_gpu(launches(), find_gpu("A100"))
    other = dataclasses.replace(launches()[0], metrics={"launch__sm_count": 114.0})
    assert "114" in other_gpu([other], H200)


def test_modelled_points_stand_where_the_model_says() -> None:
    reports = [model_reports.copy(1 << 24)]
    (profile,) = profile_kernels(reports, H200)
    (point,) = modelled_roofline([profile], H200).points
    assert point.kind is TimingKind.MODELLED
    assert point.seconds == pytest.approx(profile.time.seconds - H200.launch_seconds)
    assert point.bound_seconds == pytest.approx(2 * 4 * (1 << 24) / H200.achievable_bandwidth)
    assert 0.9 < point.share <= 1.0  # a plain copy is near the bandwidth's roof


def test_the_kind_stands_in_every_sentence() -> None:
    for roofline, word, other in (modelled(), "modelled for H200", "measured"), (
        measured_roofline(launches(), H200), "measured on H200", "modelled",
    ):  # fmt: skip
        assert len(summary(roofline)) == len(roofline.points)
        for sentence in summary(roofline):
            assert word in sentence
            assert other not in sentence


def texts(path: Path) -> str:
    """All text in an SVG file, which thereby is known to be XML."""
    return " ".join(" ".join(element.itertext()) for element in ElementTree.parse(path).iter())


@needs_matplotlib
@pytest.mark.parametrize("kind", list(TimingKind))
def test_the_kind_stands_on_the_picture(kind: TimingKind, tmp_path: Path) -> None:
    roofline = modelled() if kind is TimingKind.MODELLED else measured_roofline(launches(), H200)
    path = tmp_path / "roofline.svg"
    assert roofline_plot.draw(roofline, path) is None
    said = texts(path)
    assert {TimingKind.MODELLED: "times MODELLED, not measured", TimingKind.MEASURED: "times MEASURED on the GPU"}[
        kind
    ] in said
    assert f"FLOP/s, {kind.value}" in said
    for point in roofline.points:
        assert point.name in said
    again = tmp_path / "again.svg"
    roofline_plot.draw(roofline, again)
    assert again.read_bytes() == path.read_bytes()


@needs_matplotlib
@pytest.mark.parametrize("count", [0, 1, 40])
def test_pictures_of_any_number_of_kernels_with_any_name(count: int, tmp_path: Path) -> None:
    base = measured_roofline(launches(), H200)
    names = ["$x_{1}$", 'a<b>&"c"', "\x00\x1b[31mred\ud800", "n" * 500, "日本"]
    points = tuple(dataclasses.replace(base.points[at % 2], name=names[at % len(names)]) for at in range(count))
    for ending in roofline_plot.FORMATS:
        assert roofline_plot.draw(dataclasses.replace(base, points=points), tmp_path / f"r{ending}") is None
    if count:
        assert "$x_{1}$" in texts(tmp_path / "r.svg")


def test_other_endings_and_a_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"\.svg"):
        roofline_plot.draw(modelled(), tmp_path / "r.txt")
    monkeypatch.setattr(roofline_plot.importlib.util, "find_spec", lambda name: None)
    problem = roofline_plot.draw(modelled(), tmp_path / "r.svg")
    assert isinstance(problem, Problem)
    assert problem.kind is ProblemKind.MISSING
    assert not (tmp_path / "r.svg").exists()
