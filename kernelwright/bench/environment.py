"""The fingerprint of where a suite was run: who compares two results can see in what they differ."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import kernelwright
from kernelwright.sandbox.device import Device
from kernelwright.verifier.device_info import device_info

__all__ = ["fingerprint"]

_GIT_SECONDS = 10.0


def fingerprint(device: Device) -> dict[str, str]:
    """Device, isolation, versions, machine, and the commit of this program where it runs from its repository."""
    info = device_info(device)
    found = {
        "device": info.name,
        "arch": info.arch,
        "isolation": info.isolation,
        **info.versions,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
    if commit := _commit(Path(kernelwright.__file__).parents[1]):
        found["commit"] = commit
    return found


def _commit(root: Path) -> str:
    """Of the repository whose root this is, with a plus where files differ from it; empty where there is none."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return ""
    said = []
    for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(
                [git, "-C", str(root), *arguments], capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        said.append(done.stdout.strip())
    return said[0] + ("+" if said[1] else "")
