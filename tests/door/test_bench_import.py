"""`kernelwright bench import`: what it prints, keeps and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_tasks import KERNELBENCH, write_kernelbench

from kernelwright.cli import run


def imported(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, object]]:
    code = run(["bench", "import", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def collection(home: Path, tmp_path: Path) -> Path:
    folder = write_kernelbench(tmp_path / "kb", {"level1": 2, "level2": 1})
    (folder / "level2" / "2_missing.py").write_text("import no_such_package_x\n" + KERNELBENCH.format(number=2))
    (folder / "level2" / "3_broken.py").write_text("def :\n")
    return folder


def test_an_import_says_what_loaded_and_is_listed(collection: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "import", str(collection), "--name", "mine", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "Not loaded" in out
    assert "2_missing: it needs the package 'no_such_package_x'" in out
    assert "3_broken: the file is not valid Python" in out
    assert run(["bench", "list"]) == 0
    assert "mine" in capsys.readouterr().out
    assert run(["bench", "list", "mine", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(t["name"], t["level"], bool(t["twin"])) for t in listed["tasks"]] == [
        ("level1_1_Add", "1", True), ("2_Add", "1", True), ("level2_1_Add", "2", True),
    ]  # fmt: skip
    assert {u["name"] for u in listed["unreadable"]} == {"2_missing", "3_broken"}


def test_json_has_every_task_and_an_import_goes_on_where_it_stopped(
    collection: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERNELWRIGHT_CACHE", str(tmp_path / "cache"))
    code, first = imported(capsys, collection)
    assert code == 0
    assert (first["name"], first["format"]) == ("kb", "kernelbench")
    kept = sorted((tmp_path / "cache" / "probes").rglob("*.json"))
    assert len(kept) == 2  # two are the same task; what was not loaded is tried again
    for file in kept:
        told = json.loads(file.read_text())
        file.write_text(json.dumps(told | {"elements": 77}))
    _, again = imported(capsys, collection)
    assert [t.get("elements") for t in again["tasks"]] == [77, 77, 77, 0]  # type: ignore[attr-defined]


def test_without_a_probe_nothing_is_run_and_no_twin_is_known(
    collection: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (collection / "level1" / "9_evil.py").write_text(KERNELBENCH.format(number=9) + "\nraise SystemExit('run')\n")
    code, found = imported(capsys, collection, "--no-probe")
    assert code == 0
    assert {t["status"] for t in found["tasks"]} == {"not probed"}  # type: ignore[attr-defined]
    assert run(["bench", "list", "kb", "--json"]) == 0
    assert all(t["full_only"] for t in json.loads(capsys.readouterr().out)["tasks"])


def test_misuse_is_told(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, said in (
        ([tmp_path / "nowhere"], "no such file"),
        ([tmp_path], "in a format that is known"),
        ([tmp_path, "--name", "core"], "one of our own"),
        ([tmp_path, "--name", "../x"], "is no name"),
    ):
        code, found = imported(capsys, *arguments)
        assert code == 2
        assert said in found["error"]["message"]  # type: ignore[index]


def test_a_collection_of_which_nothing_loads_ends_with_1(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "kb" / "level1").mkdir(parents=True)
    (tmp_path / "kb" / "level1" / "1_x.py").write_text("def :\n")
    code, found = imported(capsys, tmp_path / "kb")
    assert code == 1
    assert found["tasks"] == []


def test_a_collection_that_has_gone_does_not_spoil_the_list(
    collection: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "import", str(collection), "--name", "mine", "--no-probe"]) == 0
    collection.rename(collection.with_name("moved"))
    capsys.readouterr()
    assert run(["bench", "list"]) == 0
    assert "mine" in capsys.readouterr().out
    assert run(["bench", "list", "mine"]) == 2
    assert "no longer where it was imported from" in capsys.readouterr().err


def test_a_name_that_another_place_has_is_refused_until_that_is_gone(
    collection: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = write_kernelbench(tmp_path / "elsewhere" / "kb", {"level1": 1})
    for _ in range(2):  # the same place again is a refresh
        assert imported(capsys, collection, "--no-probe")[0] == 0
    code, found = imported(capsys, other, "--no-probe")
    assert code == 2
    assert str(collection) in found["error"]["message"]  # type: ignore[index]
    assert "--name NAME" in found["error"]["mend"]  # type: ignore[index]
    assert imported(capsys, other, "--no-probe", "--name", "kb2")[0] == 0
    collection.rename(collection.with_name("moved"))
    assert imported(capsys, other, "--no-probe")[0] == 0


def test_own_tasks_keep_twins_and_variants(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    own = 'TWIN = {"ROWS": 8}\nVARIANTS = {"half": {"DTYPE": "float16"}}\nDTYPE = "float32"\n'
    (tmp_path / "mine" / "add.py").write_text(own + KERNELBENCH.format(number=1))
    _, found = imported(capsys, tmp_path / "mine", "--jobs", "1")
    assert [(t["name"], t["twin"]) for t in found["tasks"]] == [("add", {"ROWS": 8}), ("add@half", {"ROWS": 8})]  # type: ignore[attr-defined]
    assert run(["bench", "list", "mine", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(t["name"], t["twin"]) for t in listed["tasks"]] == [("add", {"ROWS": 8}), ("add@half", {"ROWS": 8})]


def test_a_list_counts_and_is_cut_down(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "list", "core", "--only", "softmax*", "--no-variants"]) == 0
    *rows, total = capsys.readouterr().out.strip().splitlines()
    assert rows[0].split() == ["task", "family", "dtype", "twin"]
    assert all("float" in row and " yes " in row and "@" not in row for row in rows[1:])
    assert total.startswith(f"{len(rows) - 1} task")
    assert "left out)" in total
    assert run(["bench", "list"]) == 0
    assert ["core", "91", "169"] in [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert run(["bench", "list", "--no-variants"]) == 2
