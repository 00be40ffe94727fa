"""The shape of the package: imports point one way, the wheel holds real files, public names are chosen."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kernelwright

ROOT = Path(__file__).parents[1]
FOLDERS = ("agents", "bench_tasks", "db", "rl", "sandbox", "verifier", "web")
SHIPPED = {".py", ".toml", ".json", ".cpp", ".h", ".hpp", ".cu", ".cuh", ".j2", ".mako", ".typed"}


def _run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


def test_each_folder_is_part_of_the_one_package() -> None:
    for folder in FOLDERS:
        link = ROOT / "kernelwright" / folder
        assert link.is_symlink(), folder
        assert str(link.readlink()) == f"../{folder}"


def test_imports_point_one_way() -> None:
    found = _run(sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache")
    assert found.returncode == 0, found.stdout + found.stderr


def test_importing_a_folder_as_a_top_level_package_is_banned(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("".join(f"import {folder}  # noqa: F401\n" for folder in FOLDERS))
    found = _run(
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--select",
        "TID251",
        "--config",
        str(ROOT / "pyproject.toml"),
        str(source),
    )
    assert found.stdout.count("TID251") == len(FOLDERS), found.stdout + found.stderr


def test_public_names_are_there_and_sorted() -> None:
    assert list(kernelwright.__all__) == sorted(kernelwright.__all__)
    for name in kernelwright.__all__:
        assert getattr(kernelwright, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        kernelwright.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "pydantic", "sqlalchemy", "rich", "click", "langgraph"}
    code = f"import sys, kernelwright; print(sorted({heavy!r} & set(sys.modules)))"
    assert _run(sys.executable, "-W", "error", "-c", code).stdout.strip() == "[]"


@pytest.mark.slow
def test_wheel_holds_every_file_as_a_real_file(tmp_path: Path) -> None:
    copy = tmp_path / "source"  # a build writes build/ and egg-info beside the sources: not into the checkout
    _copy_sources(copy)
    built = _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy))
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {info.filename: info for info in archive.infolist()}
    wanted = {
        f"kernelwright/{path.relative_to(ROOT)}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SHIPPED
    } | {f"kernelwright/{p.relative_to(ROOT / 'kernelwright')}" for p in _door()}
    assert sorted(wanted - names.keys()) == []
    links = [name for name, info in names.items() if (info.external_attr >> 16) & 0o170000 == 0o120000]
    assert links == []
    assert [
        name
        for name in names
        if name.split("/")[0] not in {"kernelwright", wheel.name.rsplit("-py3", 1)[0] + ".dist-info"}
    ] == []


def _door() -> list[Path]:
    own = [p for p in (ROOT / "kernelwright").iterdir() if not p.is_symlink()]
    return [f for p in own for f in ([p] if p.is_file() else p.rglob("*")) if f.suffix in SHIPPED]


def _copy_sources(target: Path) -> None:
    import shutil

    skipped = shutil.ignore_patterns("__pycache__", "*.pyc", "*.so")
    target.mkdir()
    for folder in (*FOLDERS, "kernelwright"):
        shutil.copytree(ROOT / folder, target / folder, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
