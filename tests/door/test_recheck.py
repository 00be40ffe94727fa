"""`verify --bundle`, `recheck`, and the same from Python."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from evidence_kernels import HONEST, TASK_SOURCE, kernel

import kernelwright
from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import NumericPolicy
from kernelwright.cli import run
from kernelwright.errors import BundleError, MisuseError
from kernelwright.sandbox.isolation import bubblewrap_problem
from kernelwright.verifier.archive import seal, unseal
from kernelwright.verifier.exact_json import from_json, to_json


def files(line: str = HONEST) -> list[str]:
    """Writes a task and a kernel into the working directory."""
    Path("task.py").write_text(TASK_SOURCE)
    Path("kernel.py").write_text(kernel(line).source)
    return ["task.py", "kernel.py"]


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    value = json.loads(capsys.readouterr().out)
    assert isinstance(value, dict)
    return value


def test_a_passed_kernel_and_its_bundle(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *files(), "--bundle", "it.bundle", "--explain", "--json"]) == 0
    out, err = capsys.readouterr()
    digest, explanation = json.loads(out)["bundle"]["digest"], json.loads(out)["explanation"]
    assert [stage["stage"] for stage in explanation][-1] == "profile"
    for stage in explanation:
        assert all(
            " ".join(text.removeprefix("- ").split())[:40] in " ".join(err.split()) for text in stage["sentences"]
        )
    before = Path("it.bundle").read_bytes()
    assert run(["verify", *files(), "--bundle", "it.bundle", "--json"]) == 2
    assert "not overwritten" in answer(capsys)["error"]["message"]  # type: ignore[index]
    assert Path("it.bundle").read_bytes() == before
    assert sorted(os.listdir()) == ["it.bundle", "kernel.py", "task.py"]

    os.unlink("task.py")
    os.unlink("kernel.py")
    assert run(["recheck", "it.bundle", "--fresh", "--json"]) == 0
    found = answer(capsys)
    assert found["holds"] is True
    assert found["digest"] == digest
    assert found["fresh"]["verdict"] == "passed"  # type: ignore[index]
    assert found["then"]["seeds"] == found["now"]["seeds"] != found["fresh"]["seeds"]  # type: ignore[index]
    assert {each["what"] for each in found["comparisons"]} >= {"verdict", "error shares", "counters", "times"}  # type: ignore[attr-defined]


def test_a_wrong_kernel_and_its_bundle(home: Path) -> None:
    judged = kernelwright.verify(*files("y[i] = 3.0f * tanhf(i / cols == 3 ? -x[i] : x[i]);"), bundle="it.bundle")
    assert judged.verdict.value == "wrong"
    found = kernelwright.recheck("it.bundle")
    assert found.holds
    assert found.then is not None
    assert to_json(found.then.model_dump()) == to_json(judged.model_dump())
    assert found.now is not None
    assert found.now.seeds == judged.seeds
    with pytest.raises(MisuseError, match="not overwritten"):
        kernelwright.verify("task.py", "kernel.py", bundle="it.bundle")


def test_a_changed_byte_is_said_and_nothing_is_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernelwright.verify(*files("y[i] = 3.0f * tanhf(z[i]);"), bundle="it.bundle")
    data = Path("it.bundle").read_bytes()
    Path("it.bundle").write_bytes(data.replace(b"tanhf(z[i])", b"tanhf(x[i])"))
    assert run(["recheck", "it.bundle"]) == 1
    out = capsys.readouterr().out
    assert "changed  kernel.py" in out
    assert "nothing in it was run" in out
    assert run(["recheck", "it.bundle", "--json"]) == 1
    found = answer(capsys)
    assert found["holds"] is False
    assert found["changes"][0]["part"] == "kernel.py"  # type: ignore[index]
    assert found["now"] is None


def test_a_forged_bundle_in_which_any_error_is_allowed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody exchanged the kernel for a wrong one, let everything pass, and wrote new ids and hashes."""
    judged = kernelwright.verify(*files(), bundle="it.bundle")
    whole = unseal(Path("it.bundle").read_bytes())
    members = dict(whole.members)
    task = from_json(members["task.json"].decode())
    task["policy"] = dict.fromkeys(task["policy"], 1e15)
    wrong = kernel("y[i] = 0.25f + 0.0f * x[i];")
    around = from_json(members["environment.json"].decode())
    around["device"]["versions"]["kernelwright"] = "0.0.1"
    lax = replace(task_from_source(TASK_SOURCE, name="x"), policy=NumericPolicy(**task["policy"]))
    ids = {"task_id": lax.id, "kernel_id": replace(wrong, author=kernel_author(members)).id}
    head = from_json(members["evaluation.json"].decode()) | ids
    members |= {
        "kernel.py": wrong.source.encode(), "task.json": to_json(task).encode(),
        "environment.json": to_json(around).encode(), "evaluation.json": to_json(head).encode(),
    }  # fmt: skip
    about = {key: value for key, value in whole.manifest.items() if key not in {"format", "version", "members"}} | ids
    Path("it.bundle").write_bytes(seal(members, about))
    assert judged.passed
    for more in ([], ["--fresh"]):
        assert run(["recheck", "it.bundle", *more]) == 1
        out = " ".join(capsys.readouterr().out.split())
        assert "bundle: slack 1000000000000000.0" in out
        assert "this program: slack 12.0" in out
        assert "asks a kernel for other checks than this program does, so its verdict does not hold" in out
    assert run(["recheck", "it.bundle", "--json"]) == 1
    found = answer(capsys)
    assert (found["holds"], found["now"]) == (False, None)


def kernel_author(members: Mapping[str, bytes]) -> str:
    return str(from_json(members["kernel.json"].decode())["author"])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_bytes(b""), "no evidence bundle"),
        (lambda path: path.write_text("hello"), "no evidence bundle"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 700 << 20), "more than any bundle"),
    ],
)
def test_what_is_no_bundle(
    home: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], says: str
) -> None:
    make(Path("it.bundle"))
    assert run(["recheck", "it.bundle", "--json"]) == 2
    error = answer(capsys)["error"]
    assert error["kind"] == "BundleError"  # type: ignore[index]
    assert says in error["message"]  # type: ignore[index]
    assert error["mend"]  # type: ignore[index]
    with pytest.raises(BundleError):
        kernelwright.recheck("it.bundle")


@pytest.mark.parametrize("target", ["missing/it.bundle", "."])
def test_where_no_bundle_can_be_written_nothing_is_judged(
    home: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert run(["verify", *files(), "--bundle", target, "--json"]) == 2
    assert answer(capsys)["error"]["kind"] == "MisuseError"  # type: ignore[index]


@pytest.mark.skipif(bool(bubblewrap_problem()), reason="no bubblewrap here")
def test_the_task_of_a_bundle_is_fenced_in_as_a_kernel_is(home: Path) -> None:
    """The person's own task may write where the person may; that of a bundle, which a stranger may have made, may not."""
    files("y[i] = 7.0f;")
    mark = Path("mark").absolute()
    attack = f"try:\n    open({str(mark)!r}, 'w').close()\nexcept OSError:\n    pass\n"
    Path("task.py").write_text(TASK_SOURCE + attack)
    kernelwright.verify("task.py", "kernel.py", bundle="it.bundle")
    assert mark.exists()
    mark.unlink()
    assert kernelwright.recheck("it.bundle").holds
    assert not mark.exists()
