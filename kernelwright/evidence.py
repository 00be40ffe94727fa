"""Evidence bundles as files: `write_bundle` after a verdict, `recheck_bundle` on any machine later.

A bundle may come from a stranger: its hashes are checked before anything in it is used, and of its code both the kernel
and the reference run behind the isolation that kernels run in.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.errors import BundleError, MisuseError
from kernelwright.events import Observer
from kernelwright.export import write_file
from kernelwright.jobs import resolve_target
from kernelwright.opening import open_reference
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier import bundle as bundles
from kernelwright.verifier.archive import LARGEST, Change
from kernelwright.verifier.evaluation import Evaluation
from kernelwright.verifier.recheck import (
    Comparison,
    Difference,
    compare,
    compare_fresh,
    demands,
    environment_differences,
    limits_here,
    replay,
)
from kernelwright.views import evaluation_json

__all__ = ["Recheck", "check_bundle_target", "recheck_bundle", "write_bundle"]


@dataclass(frozen=True)
class Recheck:
    """What came of judging a bundle again."""

    digest: str
    """SHA-256 of the bundle's manifest: who was told it by the maker knows that this is the maker's bundle."""
    changes: tuple[Change, ...]
    """Parts of the file that are not as they were written. If there is one, nothing was run."""
    then: Evaluation | None
    """As the bundle has it."""
    now: Evaluation | None
    """With the bundle's own seeds, here. None if nothing was run: the file was changed, or it asks for other checks than this
    program does (`comparisons` has them)."""
    comparisons: tuple[Comparison, ...] = ()
    environment: tuple[Difference, ...] = ()
    fresh: Evaluation | None = None
    """With new secret seeds, if that was asked for."""
    fresh_comparisons: tuple[Comparison, ...] = ()
    """The bundle's evaluation beside that one: what must come out under every seed."""

    @property
    def holds(self) -> bool:
        """Whether the bundle is whole, asks for what this program asks for, and verdict, stages, launched kernels and torch
        operations came out the same, and so did every figure, unless the environment is another one; and with fresh
        seeds all of it but the figures."""
        if self.changes or self.then is None or self.now is None:
            return False
        figures = not self.environment and not all(each.same for each in self.comparisons)
        deciding = all(each.same for each in self.comparisons if each.decides)
        return deciding and not figures and self.fresh_holds

    @property
    def fresh_holds(self) -> bool:
        """Whether the verdict and all that decides came out with fresh seeds too, if they were asked for."""
        same = self.fresh is None or (self.then is not None and self.fresh.verdict is self.then.verdict)
        return same and all(each.same for each in self.fresh_comparisons)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "holds": self.holds,
            "digest": self.digest,
            "changes": [asdict(change) for change in self.changes],
            "comparisons": [asdict(each) for each in self.comparisons],
            "environment": [asdict(each) for each in self.environment],
            "fresh_comparisons": [asdict(each) for each in self.fresh_comparisons],
            **{
                name: None if each is None else evaluation_json(each)
                for name, each in (("then", self.then), ("now", self.now), ("fresh", self.fresh))
            },
        }


def check_bundle_target(path: Path, *, force: bool = False) -> None:
    """Makes sure, before any work is done, that a bundle can be written at `path`.

    Raises:
        MisuseError: something is there already, or its folder is missing or not writable.
    """
    where = str(path)
    if path.is_dir():
        raise MisuseError("this is a folder, not a file to write to.", mend="Name a file in it.", path=where)
    folder = path.absolute().parent
    if not folder.is_dir():
        raise MisuseError(
            "the folder of the file to write does not exist.", mend=f"Make it: mkdir -p {folder}", path=where
        )
    if not os.access(folder, os.W_OK):
        raise MisuseError("the folder of the file to write is not writable.", mend="Choose another.", path=where)
    if path.exists() and not force:
        raise MisuseError(
            "a file is in the way, and evidence is not overwritten.",
            mend="Choose another name with --bundle, or add --force to overwrite it.",
            path=where,
        )


def write_bundle(
    path: Path, task: Task, kernel: Kernel, evaluation: Evaluation, settings: Settings, *, force: bool = False
) -> str:
    """Writes the bundle of `evaluation`, whole or not at all, and returns its digest. A file with the same bytes may be there.

    Args:
        settings: those that `evaluation` was made under.

    Raises:
        BundleError: it would be too large.
        MisuseError: as `check_bundle_target`, or the file can't be written.
    """
    target = resolve_target(settings)
    data = bundles.pack(task, kernel, evaluation, gpu=target.gpu, limits=target.limits)
    if not (path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data):
        check_bundle_target(path, force=force)
        write_file(path, data)
    return bundles.read(data).digest


def recheck_bundle(path: Path, settings: Settings, *, fresh: bool = False, observer: Observer) -> Recheck:
    """Checks a bundle's hashes and judges what is in it again.

    Args:
        settings: the isolation, and the most memory that its code may use; the GPU and the time of a call are the bundle's.
        fresh: judge once more, with new secret seeds.

    Raises:
        BundleError: it is no bundle, a part of one, or of a version that this program does not know.
        NotFoundError: it was made for a GPU that is not in the table here.
        ConfigError: the device or the isolation is not available here.
        TaskError: its reference is none, or does not run here.
    """
    read = bundles.read(_bytes(path))
    bundle = read.bundle
    if bundle is None:
        return Recheck(read.digest, read.changes, None, None)
    asked = tuple(demands(bundle.task))
    if not all(each.same for each in asked):
        return Recheck(read.digest, (), bundle.evaluation, None, asked)
    device = bundle.evaluation.device
    target = resolve_target(settings.model_copy(update={"gpu": device.gpu, "device": device.kind}))
    limits = limits_here(bundle, target.limits)

    def judge(*, fresh: bool) -> Evaluation:
        return replay(
            bundle,
            device=target.device,
            reference=reference,
            gpu=target.gpu,
            limits=limits,
            fresh=fresh,
            observer=observer,
        )

    with open_reference(bundle.task, limits, observer, fence=target.device.isolation) as reference:
        now = judge(fresh=False)
        new = judge(fresh=True) if fresh else None
    return Recheck(
        read.digest,
        (),
        bundle.evaluation,
        now,
        (*asked, *compare(bundle.evaluation, now)),
        tuple(environment_differences(bundle, now, gpu=target.gpu, limits=limits)),
        new,
        () if new is None else tuple(compare_fresh(bundle.evaluation, new)),
    )


def _bytes(path: Path) -> bytes:
    shown = str(path)
    mend = "Give a file that kernelwright verify --bundle wrote."
    if not path.is_file():
        what = "this is a directory, not a file." if path.is_dir() else "there is no such file."
        raise BundleError(what, path=shown, mend=mend)
    try:
        size = path.stat().st_size
        if size > LARGEST + (LARGEST >> 4):
            raise BundleError(f"the file has {size:,} bytes, more than any bundle.", path=shown, mend=mend)
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"the file can't be read: {error.strerror}.", path=shown) from error
