"""The file in which an entry travels: `entry.json`, what is claimed of every task, and an evidence bundle for each solved one.

It has the form of an evidence bundle's file (`kernelwright.verifier.archive`): stored members, their hashes in a manifest, and
one form only, so nothing inflates, no name leads out of it, and any changed byte shows. Nothing of it is written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelwright import __version__
from kernelwright.bench_tasks.scoring.entry_json import entry_from_json, entry_to_json
from kernelwright.bench_tasks.scoring.results import Entry
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import BundleError, KernelwrightError
from kernelwright.sandbox.process import Limits
from kernelwright.verifier import bundle as bundles
from kernelwright.verifier.archive import Sort, seal, unseal
from kernelwright.verifier.exact_json import from_json, to_json
from kernelwright.verifier.model.calibration import calibrated_gpu

__all__ = ["ENTRY", "EntryFile", "evidence", "pack_entry", "read_entry"]

ENTRY = Sort("kernelwright-entry", "entry of a leaderboard", "kernelwright bench pack")
_ENTRY = "entry.json"
_LARGEST_ENTRY = 16 << 20  # bytes


@dataclass(frozen=True)
class EntryFile:
    """What such a file holds."""

    digest: str
    """SHA-256 of the manifest."""
    entry: Entry
    """As claimed."""
    bundles: Mapping[tuple[str, int], bytes]
    """Evidence by task and repeat, as it came: each bundle is still to be read."""


def evidence(store: Store, settings: Settings, evaluation_id: str) -> bytes:
    """The evidence bundle of a stored evaluation.

    Raises:
        NotFoundError: there is none of this id, or its GPU is not in the table.
        BundleError: it would be too large.
    """
    evaluation = store.evaluation(evaluation_id)
    return bundles.pack(
        store.task(evaluation.task_id),
        store.kernel(evaluation.kernel_id),
        evaluation,
        gpu=calibrated_gpu(evaluation.device.gpu, settings.data),
        limits=Limits(call_seconds=settings.call_seconds, memory_bytes=settings.memory_bytes),
    )


def pack_entry(entry: Entry, store: Store, settings: Settings) -> bytes:
    """The file of an entry made here.

    Raises:
        KernelwrightError: nothing of it is solved, or it is one that was sent in.
        BundleError: it would be too large.
    """
    if entry.submitted:
        raise KernelwrightError(f"{entry.id} was sent in: its author packs it.")
    solved = [trial for trial in entry.trials if trial.solved]
    if not solved:
        raise KernelwrightError(
            f"no task of {entry.id} is solved, so there is nothing to judge.", mend="See it: kernelwright leaderboard"
        )
    members = {f"bundles/{place}": evidence(store, settings, trial.evaluation_id) for place, trial in enumerate(solved)}
    places = [[trial.task, trial.repeat] for trial in solved]
    members[_ENTRY] = to_json({"entry": entry_to_json(entry), "bundles": places}).encode()
    about = {"kernelwright": __version__, "entry": entry.id, "suite": entry.suite, "suite_digest": entry.suite_digest}
    return seal(members, about, ENTRY)


def read_entry(data: bytes) -> EntryFile:
    """What is in a file that anybody may have made.

    Raises:
        BundleError: it is no entry, a part of one, was changed, or says what no entry can.
    """
    opened = unseal(data, ENTRY)
    if opened.changes:
        change = opened.changes[0]
        raise BundleError(
            f"the entry was changed after it was packed: {change.part}: {change.what}",
            mend="Ask its author for the file again.",
        )
    try:
        text = opened.members[_ENTRY]
        if len(text) > _LARGEST_ENTRY:
            raise ValueError("a list of tasks larger than any")
        said = from_json(text.decode())
        entry = entry_from_json(said["entry"])
        places = [(str(task), int(repeat)) for task, repeat in said["bundles"]]
        members = {place: opened.members[f"bundles/{number}"] for number, place in enumerate(places)}
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError, OverflowError) as error:
        raise BundleError(
            f"the entry is whole, but what is in it can't be read ({f'{error}'[:200]}).", mend="Pack it again."
        ) from error
    if len(members) < len(places) or len(opened.members) != len(places) + 1:
        raise BundleError("the entry has evidence twice, or evidence that belongs to no task.", mend="Pack it again.")
    return EntryFile(opened.digest, entry, members)
