"""Shared archives: runs under different calibrations of the model do not meet in one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from search_doubles import TASK, run

from kernelwright.config import load_settings
from kernelwright.db.archive import SHARED
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.events import ignore
from kernelwright.jobs import _evolution, resume_run
from kernelwright.rl.run import RunStatus
from kernelwright.verifier.evaluation import TimingKind
from kernelwright.verifier.model.gpus import Gpu, find_gpu

CARD = find_gpu("H200")
CALIBRATED = CARD.with_fitted({"dram_share": 0.8})


def archive_of(store: Store, gpu: Gpu, *, device: str = "emulator", shared: bool = True) -> str:
    one = replace(run(), strategy="evolve", device=device)
    settings = load_settings(archive="shared" if shared else "own")
    evolution = _evolution(one, gpu, settings, store, ("builtin",))
    assert evolution is not None
    return evolution.archive.id  # type: ignore[attr-defined,no-any-return]


def test_each_calibration_has_its_own(home: Path) -> None:
    with Store(":memory:") as store:
        as_ever = store.archive(TASK, CARD.name, TimingKind.MODELLED, SHARED).id
        assert archive_of(store, CARD) == as_ever
        calibrated = archive_of(store, CALIBRATED)
        again = archive_of(store, CARD.with_fitted({"dram_share": 0.7}))
        assert len({as_ever, calibrated, again}) == 3
        assert archive_of(store, CALIBRATED) == calibrated
        # measured times do not come from the model, and a run's own archive is the run's
        assert archive_of(store, CALIBRATED, device="cuda") == archive_of(store, CARD, device="cuda")
        assert archive_of(store, CALIBRATED, shared=False) == archive_of(store, CARD, shared=False)


def test_a_run_does_not_go_on_in_it_under_another_calibration(home: Path) -> None:
    settings = load_settings(device="emulator")
    kept = {"archive": "shared", "calibration": CALIBRATED.calibration_digest}
    with Store(settings.database_url) as store:
        store.create_run(replace(run(), strategy="evolve", status=RunStatus.INTERRUPTED, settings=kept))
        with pytest.raises(MisuseError, match="under another calibration of H200"):
            resume_run(run().id, settings, store=store, observer=ignore)
