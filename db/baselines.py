"""Baseline: what a task's own module takes on a device, as eager PyTorch or through torch.compile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from kernelwright.db.models import BaselineRow
from kernelwright.db.rows import Columns, device_of
from kernelwright.verifier.evaluation import DeviceInfo, TimingKind

__all__ = ["Baseline"]


@dataclass(frozen=True)
class Baseline:
    """One time, in seconds, with its interval."""

    task_id: str
    name: str
    """`eager`, `compile` or `max-autotune`."""
    kind: TimingKind
    gpu: str
    """The GPU it was measured on, or is modelled for."""
    seconds: float
    seconds_low: float
    seconds_high: float
    interval_source: str
    """Where the interval is from."""
    device: DeviceInfo
    created: datetime
    """UTC."""


def baseline_columns(baseline: Baseline, device_id: str) -> Columns:
    """The row of a baseline, without its `id`, which the database gives."""
    same = ("task_id", "name", "gpu", "seconds", "seconds_low", "seconds_high", "interval_source", "created")
    return {name: getattr(baseline, name) for name in same} | {
        "timing_kind": baseline.kind.value,
        "device_id": device_id,
    }


def baselines_of(session: Session, task_ids: Sequence[str], kind: TimingKind, gpu: str) -> list[Baseline]:
    """Those of these tasks, of one kind and for one GPU; of each task, name and device the newest."""
    query = (
        select(BaselineRow)
        .where(BaselineRow.task_id.in_(task_ids), BaselineRow.timing_kind == kind.value, BaselineRow.gpu == gpu)
        .order_by(BaselineRow.id)
    )
    newest = {(row.task_id, row.name, row.device_id): row for row in session.scalars(query)}
    return [
        Baseline(
            task_id=row.task_id,
            name=row.name,
            kind=TimingKind(row.timing_kind),
            gpu=row.gpu,
            seconds=row.seconds,
            seconds_low=row.seconds_low,
            seconds_high=row.seconds_high,
            interval_source=row.interval_source,
            device=device_of(row.device),
            created=row.created,
        )
        for row in sorted(newest.values(), key=lambda row: row.id)
    ]
