"""`dataset build` on a store with planted cheats, duplicates and held-out tasks: none gets in, and the honest ones do."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from curation_doubles import BODIES, evaluation, kernel, put, task, with_stage
from search_doubles import EPOCH
from submission_doubles import item, submission

from kernelwright.bench_tasks.scoring.results import Integrity
from kernelwright.bench_tasks.task import Task
from kernelwright.cli import run
from kernelwright.config import load_settings
from kernelwright.curating import build, held_out_tasks
from kernelwright.db.store import Store
from kernelwright.rl.curation.heldout import Strictness
from kernelwright.rl.curation.select import Reason, Rules
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import StageStatus, TimingKind, Verdict

pq = pytest.importorskip("pyarrow.parquet")
HONEST = ("rows", "mixed", "squashed", "products")
SECRET = ("gated", "running")


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(load_settings().database_url) as opened:
        yield opened


def _plant(store: Store) -> None:
    """Honest attempts, one a task, and around them everything that must stay out."""
    for name in HONEST:
        put(store, f"honest-{name}", task(name), kernel(name), 1e-5, said="Bytes bound it, so it is one pass.")
    clean = task("rows")
    # cheats: by verdict, and kernels that passed once and were found out in another evaluation, on this task or on another
    put(store, "cheat-1", clean, kernel("cheat1"), verdict=Verdict.CHEATING)
    put(store, "cheat-2", clean, kernel("cheat2"), 1e-6)
    store.add_evaluation(
        task("mixed"), kernel("cheat2"), evaluation(task("mixed"), kernel("cheat2"), None, verdict=Verdict.CHEATING)
    )
    renamed = Kernel(kernel("cheat1").source.replace("value", "amount").replace("place", "i"), "scripted")
    put(store, "cheat-3", clean, renamed, 1e-6)
    put(store, "cheat-4", clean, kernel("cheat4"), 1e-6)
    store.add_evaluation(clean, kernel("cheat4"), evaluation(clean, kernel("cheat4"), None, verdict=Verdict.WRONG))
    put(store, "cheat-5", clean, kernel("cheat5"), 1e-6)
    store.add_evaluation(clean, kernel("cheat5"), evaluation(clean, kernel("cheat5"), None, verdict=Verdict.UNSAFE))
    # passed, but flagged: a stage that warned, a finding of the static analysis, a submission that was suspect
    flagged = with_stage(
        evaluation(clean, kernel("flag1"), 1e-6), "integrity", status=StageStatus.WARNED, summary="written late"
    )
    _attempt(store, "flag-1", clean, kernel("flag1"), flagged)
    finding = {"severity": "warn", "rule": "clock", "reason": "it reads a clock", "line": 3}
    flagged = with_stage(evaluation(clean, kernel("flag2"), 1e-6), "static", evidence={"findings": [finding]})
    _attempt(store, "flag-2", clean, kernel("flag2"), flagged)
    made = put(store, "flag-3", clean, kernel("flag3"), 1e-6)
    store.add_submission(submission())
    judged = store.add_evaluation(clean, made.kernel, made.evaluation)
    store.add_submission_item(item("rows", judged, Integrity.SUSPECT, "its time came out otherwise"))
    # not judged whole
    for number, stage in enumerate(("correctness", "integrity", "timing")):
        bare = with_stage(evaluation(clean, kernel(f"bare{number}"), 1e-6), stage)
        _attempt(store, f"bare-{number}", clean, kernel(f"bare{number}"), bare)
    # duplicates of an honest one: names, comments, layout
    source = kernel("mixed").source
    for number, text in enumerate((
        source.replace("value", "total").replace("mixed_kernel", "sum_kernel").replace("self.scale", "self.gain"),
        source.replace("    const int row", "    /* one row */\n\n    const int row").replace("class ModelNew", "# written anew\nclass ModelNew"),
        source.replace("\n    const int row = blockIdx.x;", "  const   int row\n= blockIdx . x ;"),
        source.replace("        out[place]", "        value = value + 0.0f;\n        out[place]"),
    )):  # fmt: skip
        put(store, f"copy-{number}", task("mixed"), Kernel(text, "scripted"), 1.1e-5)
    # held-out tasks: themselves, renamed, resized, reworded; and one's kernel under an innocent task
    gated = task("gated").source
    disguises = [
        gated, gated.replace("hidden", "inner").replace("self.scale", "self.gain"), task("gated", rows=7, cols=33).source,
        gated.replace("F.silu(x)", "nn.functional.silu(x)").replace("Task gated.", "Gate it."), task("running", cols=4096).source,
        task("gated", body="        return (nn.SiLU()(x) * self.scale + y).tanh()").source,
    ]  # fmt: skip
    for number, text in enumerate(disguises):
        put(store, f"secret-{number}", Task(f"innocent{number}", text), kernel(f"secret{number}"), 1e-6)
    put(store, "secret-kernel", task("squashed", rows=96), kernel("secret0"), 1e-6)
    quoted = f'"""{gated.replace(chr(34) * 3, "")}"""\n' + kernel("quoted").source
    put(store, "secret-quoted", task("products"), Kernel(quoted, "scripted"), 1e-6)


def _attempt(store: Store, run_id: str, of: Task, candidate: Kernel, judged: Any) -> None:
    from search_doubles import run as run_of

    from kernelwright.rl.run import Attempt

    store.create_run(run_of(run_id, task=of))
    store.add_attempt(Attempt(run_id, 1, "", candidate, judged, None, EPOCH, 1.0))


@pytest.fixture
def held_out(tmp_path: Path) -> list[str]:
    """A file of a task, and a folder of them."""
    folder = tmp_path / "secret" / "level1"
    folder.mkdir(parents=True)
    for number, name in enumerate(SECRET):
        (folder / f"{number}_{name}.py").write_text(task(name).source)
    return [str(folder / "0_gated.py"), str(folder.parent)]


def _build(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert run(["dataset", "build", *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("purpose", ["sft", "rl"])
def test_nothing_planted_gets_in(
    store: Store, held_out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], purpose: str
) -> None:
    _plant(store)
    flags = [part for path in held_out for part in ("--held-out", path)]
    said = _build([str(tmp_path / "out"), "--for", purpose, *flags], capsys)
    rows = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
    assert {row["run_id"] for row in rows} == {f"honest-{name}" for name in HONEST}
    assert said["rows"] == len(rows) == len(HONEST)
    reasons: dict[str, set[str]] = {}
    for each in said["dropped"]:
        reasons.setdefault(each["run_id"].partition("-")[0], set()).add(each["reason"])
    assert reasons == {
        "cheat": {Reason.CONDEMNED.value},
        "flag": {Reason.SUSPECT.value, Reason.CONDEMNED.value, Reason.NOT_WHOLE.value},
        "bare": {Reason.NOT_WHOLE.value},
        "copy": {Reason.DUPLICATE.value, Reason.NEAR_DUPLICATE.value},
        "secret": {Reason.HELD_OUT.value, Reason.HELD_OUT_KERNEL.value},
    }
    assert said["store"]["failed"] == {"cheating": 1}


def test_without_held_out_tasks_theirs_are_let_in(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plant(store)
    said = _build([str(tmp_path / "out"), "--dry-run"], capsys)
    assert "secret-0" in {each["run_id"] for each in said["kept"]} | {each["run_id"] for each in said["dropped"]}
    assert Reason.HELD_OUT.value not in said["counts"]
    assert not (tmp_path / "out").exists()


def test_rows_say_where_they_are_from_and_can_be_read_back(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from kernelwright.agents.llm.parse import find_kernel, without_thoughts

    fences = 'NOTE = "```"\n' + kernel("rows").source
    made = put(store, "one", task("rows"), Kernel(fences, "openai:gpt"), 1e-5, said="One pass.")
    put(store, "two", task("mixed"), kernel("mixed", author="builtin"), 2e-5)
    later = put(
        store, "three", task("gated"), kernel("gated"), 1e-5, said="As the kernel before.", prompt="coder/improve@1"
    )
    shown = {"exemplars": [{"kernel": "x"}]}
    put(store, "four", task("products"), kernel("products"), 1e-5, said="As in the example.", settings=shown)
    said = _build([str(tmp_path / "out")], capsys)
    rows = {
        r["run_id"]: r for r in pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
    }
    row = rows["one"]
    assert (row["run_id"], row["attempt"], row["kernel_id"]) == ("one", 1, made.kernel.id)
    assert store.evaluation(row["evaluation_id"]) == made.evaluation
    assert (row["seconds"], row["baseline_seconds"], row["speedup"]) == (1e-5, 4e-5, 4.0)
    assert (row["time_kind"], row["gpu"], row["author"]) == ("modelled", "H200", "openai:gpt")
    assert row["reasoning"] == "One pass."
    assert find_kernel(without_thoughts(row["completion"])) == (fences, True)
    assert [m["role"] for m in row["messages"]] == ["system", "user", "assistant"]
    assert row["messages"][1]["content"] == row["prompt"]
    assert task("rows").source.strip() in row["prompt"]
    assert (rows["two"]["reasoning_chars"], rows["two"]["kernel_licence"]) == (-1, "Apache-2.0")
    # what speaks of kernels that the row does not show is counted, not shown
    assert (rows["three"]["reasoning"], rows["three"]["reasoning_chars"]) == ("", len("As the kernel before."))
    assert rows["four"]["reasoning"] == ""
    assert later.kernel.source.strip() in rows["three"]["completion"]
    assert said["time_kind"] == "modelled"


def test_rl_rows_have_what_a_judge_needs(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(store, "one", task("rows"), kernel("rows"), 8e-5)
    put(store, "one", task("rows"), kernel("other"), verdict=Verdict.WRONG)
    _build([str(tmp_path / "out"), "--for", "rl"], capsys)
    (row,) = pq.read_table(tmp_path / "out" / "data" / "train-00000-of-00001.parquet").to_pylist()
    from kernelwright.bench_tasks.task import NumericPolicy, Workload

    workloads = tuple(Workload.from_json(each) for each in json.loads(row["workloads"]))
    again = Task(
        row["task_name"], row["task_source"], workloads=workloads, policy=NumericPolicy(**json.loads(row["policy"]))
    )
    assert again.id == row["task_id"] == task("rows").id
    assert (row["attempts"], row["passed"], row["speedup"], row["baseline_seconds"]) == (2, 1, 0.5, 4e-5)
    assert [m["role"] for m in row["messages"]] == ["system", "user"]
    assert "completion" not in row


def test_the_same_store_gives_the_same_bytes(
    store: Store, held_out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plant(store)
    digests = []
    for name in ("a", "b"):
        digests.append(_build([str(tmp_path / name), "--held-out", held_out[1]], capsys)["sha256"])
    assert digests[0] == digests[1]
    for file in sorted((tmp_path / "a").rglob("*")):
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes(), file


def test_the_card_says_what_and_why(
    store: Store, held_out: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _plant(store)
    said = _build([str(tmp_path / "out"), "--held-out", held_out[1]], capsys)
    text = (tmp_path / "out" / "README.md").read_text()
    for reason, count in said["counts"].items():
        assert f"| {count} | {reason} |" in text
    for words in (
        "**modelled**",
        said["sha256"],
        "| secret (2) |",
        "emulator (H200)",
        "torch 2.13.0",
        "`evaluation_id`",
        "unknown",
    ):
        assert words in text, words
    assert str(tmp_path) not in text
    lines = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert len(lines) == sum(said["counts"].values()) - 1  # the one that did not pass has no line


def test_measured_and_modelled_are_refused_together(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(store, "one", task("rows"), kernel("rows"), 1e-5)
    put(store, "two", task("mixed"), kernel("mixed"), 1e-5, kind=TimingKind.MEASURED)
    said = _build([str(tmp_path / "out")], capsys, code=2)
    assert "1 measured and 1 modelled" in said["error"]["message"]
    assert not (tmp_path / "out").exists()
    said = _build([str(tmp_path / "out"), "--kind", "measured"], capsys)
    assert (said["rows"], said["time_kind"]) == (1, "measured")


def test_what_is_in_the_way_stays(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(store, "one", task("rows"), kernel("rows"), 1e-5)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.jpg").write_text("a cat")
    for flags in ([], ["--force"]):
        assert "other things" in _build([str(other), *flags], capsys, code=2)["error"]["message"]
    assert (other / "cat.jpg").read_text() == "a cat"
    assert "a file is in the way" in _build([str(other / "cat.jpg"), "--force"], capsys, code=2)["error"]["message"]
    out = str(tmp_path / "out")
    first = _build([out], capsys)
    assert "--force" in _build([out], capsys, code=2)["error"]["mend"]
    put(store, "two", task("mixed"), kernel("mixed"), 1e-5)
    (tmp_path / "out" / "data" / "notes.txt").write_text("mine")
    assert "other things in it: data/notes.txt" in _build([out, "--force"], capsys, code=2)["error"]["message"]
    (tmp_path / "out" / "data" / "notes.txt").unlink()
    assert _build([out, "--force"], capsys)["rows"] == first["rows"] + 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "data", "dropped.jsonl"]


def test_an_empty_store_makes_no_data_set(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = _build([str(tmp_path / "out")], capsys, code=1)
    assert "empty" in said["error"]["message"]
    assert not (tmp_path / "out").exists()
    assert _build([str(tmp_path / "out"), "--dry-run"], capsys)["rows"] == 0


def test_hostile_names_break_out_of_no_table(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a | b\n# <script>\x1b[31m"
    put(
        store,
        "one",
        Task(name, task("rows").source),
        kernel("rows"),
        1e-5,
        settings={"archive": {"name": name, "licence": name}},
    )
    _build([str(tmp_path / "out")], capsys)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "<script>" not in text
    assert "\n# <" not in text
    assert "\x1b" not in text
    assert run(["dataset", "build", str(tmp_path / "more"), "--dry-run"]) == 0
    assert "\x1b[31m" not in capsys.readouterr().out


def test_a_folder_may_be_called_anything(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(store, "one", task("rows"), kernel("rows"), 1e-5)
    out = tmp_path / os.fsdecode(b"a \xff\n\x1b[31m | b")
    for flags in ([], ["--force"]):
        assert run(["dataset", "build", str(out), *flags]) == 0
    assert (out / "data" / "train-00000-of-00001.parquet").stat().st_size > 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err


def test_held_out_suites_are_found_by_name(tmp_path: Path, held_out: list[str]) -> None:
    found = held_out_tasks(["core", *held_out], tmp_path)
    assert {each.suite for each in found} == {"core", "0_gated.py", "secret"}
    assert all(len(each.ids) == 2 for each in found if each.suite == "core" and each.name == "gelu_tanh")


def test_a_task_of_ours_that_is_held_out_is_kept_out_at_any_scale(store: Store) -> None:
    from kernelwright.bench_tasks.own import own_suite
    from kernelwright.bench_tasks.suite import Scale

    each = next(t for t in own_suite("core").tasks if t.name == "gelu_tanh")
    for number, scale in enumerate(Scale):
        put(store, f"r{number}", each.at(scale), kernel(f"k{number}"), 1e-5)
    put(store, "other", task("rows"), kernel("rows"), 1e-5)
    built = build(store, Rules(), held_out_tasks(["core"], Path("nowhere")), Strictness(), lambda *_: None)
    assert [kept.candidate.run_id for kept in built.selection.kept] == ["other"]
    assert set(BODIES) >= set(HONEST)
