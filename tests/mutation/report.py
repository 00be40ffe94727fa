"""What a mutation run found, as `benchmarks/results/mutation.json` and `docs/mutation.md`."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mutation.equivalent import BY_ARGUMENT
from mutation.explained import EXPLAINED
from mutation.mutants import Mutant
from mutation.operators import OPERATORS

from kernelwright.sandbox.device import Device
from kernelwright.verifier.device_info import device_info

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "mutation.json"
PAGE = ROOT / "docs" / "mutation.md"
GOAL = 0.99
"""The share of mutants that are neither stillborn nor equivalent that is to be refused."""


def write_report(mutants: Sequence[Mutant], lines: Mapping[str, Mapping[str, Any]], code: str) -> int:
    """Writes both files, prints the sums; exit code 1 if the goal is missed."""
    report = make_report(mutants, lines, code)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(report), encoding="utf-8")
    sums = report["sums"]
    print("\n".join(_table(report)))
    print(
        f"{sums['injected']} injected, {sums['stillborn']} do not compile, {sums['equivalent']} equivalent; "
        f"{sums['killed']} of {sums['counted']} refused ({sums['share']:.1%}), {sums['survived']} survived; "
        f"precision faults: {sums['precision_killed']} of {sums['precision_counted']}"
    )
    return 0 if sums["share"] >= GOAL and sums["precision_killed"] == sums["precision_counted"] else 1


def make_report(mutants: Sequence[Mutant], lines: Mapping[str, Mapping[str, Any]], code: str) -> dict[str, Any]:
    """The run as one JSON object."""
    rows: list[dict[str, Any]] = []
    for operator in OPERATORS:
        mine = [lines[m.key] for m in mutants if m.operator is operator]
        if mine:
            fates = Counter(map(_fate, mine))
            by = Counter(f"{line['verdict']} ({line['stage']})" for line in mine if _fate(line) == "killed")
            rows.append(
                {
                    "operator": operator.name,
                    "what": operator.what,
                    "precision": operator.precision,
                    "injected": len(mine),
                    "killed_by": dict(by.most_common()),
                    **{fate: fates[fate] for fate in ("killed", "stillborn", "equivalent", "survived")},
                }
            )
    kept = [
        {
            "name": m.name,
            "verdict": lines[m.key]["verdict"],
            "fate": _fate(lines[m.key]),
            "reason": lines[m.key].get("equivalent") or BY_ARGUMENT.get(m.name) or EXPLAINED.get(m.name, ""),
            "diff": m.diff,
            "seeds": lines[m.key]["seeds"],
        }
        for m in mutants
        if _fate(lines[m.key]) in {"survived", "equivalent"}
    ]
    counted: list[dict[str, Any]] = list(rows)
    killed, survived = sum(r["killed"] for r in counted), sum(r["survived"] for r in counted)
    precision = [row for row in counted if row["precision"]]
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **device_info(Device("emulator", "H200", "sm_90", "")).versions,
        },
        "date": datetime.now(UTC).date().isoformat(),
        "judge_code": code,
        "seeds": "secret: drawn anew for every verdict; told here for mutants that passed",
        "sums": {
            "injected": sum(r["injected"] for r in counted),
            "stillborn": sum(r["stillborn"] for r in counted),
            "equivalent": sum(r["equivalent"] for r in counted),
            "counted": killed + survived,
            "killed": killed,
            "survived": survived,
            "share": killed / max(1, killed + survived),
            "precision_counted": sum(r["killed"] + r["survived"] for r in precision),
            "precision_killed": sum(r["killed"] for r in precision),
            "verdict_seconds": round(sum(lines[m.key]["seconds"] for m in mutants), 1),
        },
        "operators": rows,
        "passed": kept,
        "mutants": {m.name: f"{lines[m.key]['verdict']} ({lines[m.key]['stage']})" for m in mutants},
    }


def _fate(line: Mapping[str, Any]) -> str:
    if line["verdict"] == "passed":
        return "equivalent" if "equivalent" in line or line["name"] in BY_ARGUMENT else "survived"
    return "stillborn" if line["verdict"] == "compile_error" else "killed"


def _cpu() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return names[0].split(":", 1)[1].strip() if names else platform.machine()


def _table(report: Mapping[str, Any]) -> list[str]:
    lines = [
        "| fault | what it does | injected | does not compile | equivalent | refused | survived | refused as (in stage) |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for row in report["operators"]:
        by = ", ".join(f"{how}: {count}" for how, count in row["killed_by"].items())
        lines.append(
            f"| `{row['operator']}` | {row['what']} | {row['injected']} | {row['stillborn']} | {row['equivalent']} | "
            f"{row['killed']} | {row['survived']} | {by} |"
        )
    return lines


def page(report: Mapping[str, Any]) -> str:
    """`docs/mutation.md`, from the JSON object alone."""
    sums, machine = report["sums"], report["machine"]
    parts = [
        "# Mutation test of the verifier",
        "",
        "This page is generated by `make mutation-test` from `benchmarks/results/mutation.json`.",
        "",
        "Faults are injected automatically into the honest kernels of `tests/honest` by operators on their source"
        " (`tests/mutation/operators.py`), and each mutant is judged by the real verifier with secret seeds drawn anew.",
        "",
        f"- {sums['injected']} mutants injected; {sums['stillborn']} do not compile and {sums['equivalent']} are equivalent"
        " (they are set apart).",
        f"- Of the other {sums['counted']}, {sums['killed']} are refused ({sums['share']:.1%}) and {sums['survived']} pass.",
        f"- Faults of precision: {sums['precision_killed']} of {sums['precision_counted']} refused.",
        "",
        f"{report['date']}, {machine['cpu']}, Python {machine['python']}, torch {machine['torch']}, "
        f"NVRTC {machine['nvidia-cuda-nvrtc']}; {sums['verdict_seconds']:.0f} s of verdicts, added up.",
        "",
        *_table(report),
    ]
    for fate, title in (("survived", "Survivors"), ("equivalent", "Equivalent mutants")):
        kept = [item for item in report["passed"] if item["fate"] == fate]
        parts += ["", f"## {title}", ""]
        if not kept:
            parts.append("None.")
        for item in kept:
            parts += [
                f"`{item['name']}`: {item['reason'] or 'not explained yet'}",
                "",
                "```diff",
                item["diff"],
                "```",
                "",
            ]
    return "\n".join(parts).rstrip("\n") + "\n"
