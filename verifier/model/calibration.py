"""Calibration of the model on samples of one GPU, and the file that keeps it: `calibrations/<GPU>.json` in the data folder.

Constants are fitted (`fit.py`), kernels held out by source say how far off the model then is (`uncertainty.py`), and on top a
correction may be learned (`learned.py`). Nothing is kept that does not do better on kernels that were held out.
"""

from __future__ import annotations

import hashlib
import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kernelwright.errors import ConfigError, LaunchError, MisuseError, NotFoundError
from kernelwright.verifier.model.constants import FITTED
from kernelwright.verifier.model.fit import Fit, Observation, fit_constants, residuals
from kernelwright.verifier.model.gpus import Gpu, find_gpu
from kernelwright.verifier.model.samples import Sample, newest
from kernelwright.verifier.model.trees import Correction
from kernelwright.verifier.model.uncertainty import CalibrationNote, spreads_of

__all__ = [
    "Calibration",
    "Constant",
    "Fold",
    "calibrate",
    "calibrated_gpu",
    "calibration_path",
    "folds_of",
    "load",
    "save",
]

LEAST_SAMPLES = 10
"""More than there are constants."""
LEAST_SOURCES = 3
"""Fewer can't be held out in turn."""
FOLDS = 5
_IMPLAUSIBLE = math.log(3.0)
"""Mean abs(log(measured / modelled)) beyond which samples are taken for something else: times in another unit, another card."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Constant(_Plain):
    """A fitted constant."""

    value: float = Field(gt=0)
    prior: float = Field(gt=0)
    error: float = Field(ge=0)
    """Standard error of its logarithm."""


class Calibration(_Plain):
    """All that is kept of a calibration."""

    version: Literal[1] = 1
    gpu: str
    """Name in the GPU table."""
    made: str
    """When, ISO 8601."""
    note: CalibrationNote
    constants: dict[str, Constant]
    """Empty where fitted ones did no better than the priors on kernels held out."""
    error_before: float = Field(ge=0)
    """Mean abs(log(measured / modelled)) without calibration."""
    error_after: float = Field(ge=0)
    """The same with it, over held-out samples."""
    correction: Correction | None = None

    @model_validator(mode="after")
    def _of_one_piece(self) -> Self:
        if self.note.correction != ("" if self.correction is None else self.correction.digest):
            raise ValueError("the correction is not the one that the note names")
        return self

    def apply(self, card: Gpu) -> Gpu:
        """`card` with these constants.

        Raises:
            ValueError: an unknown constant, or one out of its bounds.
        """
        moved = card.with_fitted({name: each.value for name, each in self.constants.items()})
        return moved.model_copy(update={"calibration": self.note, "correction": self.correction})


@dataclass(frozen=True)
class Fold:
    """Samples to learn from and samples to judge by, no source in both; `card` is fitted to the former."""

    train: tuple[Observation, ...]
    held_out: tuple[Observation, ...]
    card: Gpu


Learn = Callable[[Sequence[Observation], Gpu, Sequence[Fold]], Correction | None]
"""Of all observations, the card fitted to them, and the folds: a correction, if it helps on what was held out."""


def folds_of(observations: Sequence[Observation], card: Gpu, *, fitted: bool = True) -> list[Fold]:
    """Up to `FOLDS` ways to hold out a part of the sources, each source once.

    Args:
        fitted: fit the constants to each training part; else `card` is taken as it is.
    """
    sources = sorted({each.source for each in observations}, key=lambda name: hashlib.sha256(name.encode()).digest())
    count = min(FOLDS, len(sources))
    found = []
    for number in range(count):
        out = set(sources[number::count])
        train = tuple(each for each in observations if each.source not in out)
        held_out = tuple(each for each in observations if each.source in out)
        own = card.with_fitted(fit_constants(train, card).values) if fitted else card
        found.append(Fold(train, held_out, own))
    return found


def calibrate(
    samples: Sequence[Sample], *, now: datetime, gpu: str | None = None, learn: Learn | None = None
) -> Calibration:
    """Calibrates the model on samples of one GPU.

    Args:
        now: kept as the date of the calibration.
        gpu: take the samples of this GPU alone; without it all must be of one.
        learn: also learn a correction with this.

    Raises:
        NotFoundError: a GPU that the table does not have.
        MisuseError: several GPUs, too few samples or sources, a launch that does not fit on the GPU, or times that are
            nowhere near what the model says.
    """
    card, chosen = _of_one_gpu(samples, gpu)
    observations = _observations(chosen, card)
    before = residuals(observations, card)
    error_before = statistics.fmean(abs(r) for _, r in before)
    folds = folds_of(observations, card)
    held_out = [found for fold in folds for found in residuals(fold.held_out, fold.card)]
    error_after = statistics.fmean(abs(r) for _, r in held_out)
    helps = error_after < error_before
    if not helps:
        held_out, error_after, folds = before, error_before, folds_of(observations, card, fitted=False)
    if error_after > _IMPLAUSIBLE:
        worst = max(range(len(before)), key=lambda at: abs(before[at][1]))
        far = f"{chosen[worst].seconds:.3g} s where the model says {before[worst][0].seconds:.3g} s"
        raise MisuseError(
            f"these times are nowhere near what the model says for {card.name}: off by a factor of {math.exp(error_after):.2g} on "
            f"average, on kernels held out. The farthest is sample {worst + 1}, of {chosen[worst].source!r}: {far}.",
            mend="Check that times are in seconds of one launch, and that counters and times are of the same launches.",
        )
    fit = fit_constants(observations, card) if helps else Fit({}, {})
    fitted = card.with_fitted(fit.values)
    correction = learn(observations, fitted, folds) if learn is not None else None
    note = CalibrationNote(
        device=chosen[0].gpu,
        drivers=tuple(sorted({each.driver for each in chosen})),
        date=newest(chosen),
        samples=len(chosen),
        kernels=len({each.source for each in chosen}),
        error=statistics.median(abs(math.expm1(r)) for _, r in held_out),
        spreads=spreads_of((time.limited_by, r) for time, r in held_out),
        correction="" if correction is None else correction.digest,
    )
    return Calibration(
        gpu=card.name,
        made=now.isoformat(timespec="seconds"),
        note=note,
        constants={
            each.name: Constant(value=fit.values[each.name], prior=card.fitted(each.name), error=fit.errors[each.name])
            for each in FITTED
            if each.name in fit.values
        },
        error_before=error_before,
        error_after=error_after,
        correction=correction,
    )


def _of_one_gpu(samples: Sequence[Sample], gpu: str | None) -> tuple[Gpu, list[Sample]]:
    names = sorted({each.gpu for each in samples})
    cards = {name: find_gpu(name) for name in names} if gpu is None else {}
    if gpu is not None:
        wanted = find_gpu(gpu)
        for name in names:
            try:
                cards[name] = find_gpu(name)
            except NotFoundError:
                continue  # of a card that is not asked about
        cards = {name: card for name, card in cards.items() if card.name == wanted.name}
        if not cards:
            raise MisuseError(
                f"no sample is of {wanted.name}; they are of {', '.join(names) or 'nothing'}.",
                mend="Give another --gpu.",
            )
    if len({card.name for card in cards.values()}) > 1:
        raise MisuseError(
            f"the samples are of several GPUs: {', '.join(names)}.", mend="Say which one to calibrate with --gpu NAME."
        )
    chosen = [each for each in samples if each.gpu in cards]
    sources = {each.source for each in chosen}
    if len(chosen) < LEAST_SAMPLES or len(sources) < LEAST_SOURCES:
        raise MisuseError(
            f"{len(chosen)} samples of {len(sources)} sources are too few: a calibration needs {LEAST_SAMPLES} of {LEAST_SOURCES}.",
            mend="Measure more kernels on that GPU.",
        )
    return next(iter(cards.values())), chosen


def _observations(samples: Sequence[Sample], card: Gpu) -> list[Observation]:
    found = []
    for number, each in enumerate(samples, start=1):
        one = Observation(each.report(), each.seconds, each.standard_error / each.seconds, each.source)
        try:
            residuals([one], card)
        except LaunchError as error:
            raise MisuseError(f"sample {number} can't have run on {card.name}: {error.message}") from None
        except (ArithmeticError, ValueError) as error:
            raise MisuseError(f"sample {number} has counters that no launch has: {error}.") from None
        found.append(replace(one, relative_error=min(one.relative_error, 10.0)))
    return found


def calibration_path(folder: Path, gpu: str) -> Path:
    """The file of one GPU of the table.

    Args:
        folder: the data folder.
    """
    return folder / "calibrations" / f"{re.sub(r'[^a-z0-9]+', '-', gpu.lower()).strip('-')}.json"


def save(calibration: Calibration, folder: Path) -> Path:
    """Keeps a calibration in the data folder, in place of an older one of that GPU.

    Raises:
        ConfigError: the folder can't be written.
    """
    path = calibration_path(folder, calibration.gpu)
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"the calibration can't be written: {error}.", path=str(path)) from error
    return path


def load(folder: Path, gpu: str) -> Calibration | None:
    """The calibration of a GPU of the table; None if there is none.

    Raises:
        ConfigError: a file that is no calibration, of another GPU, or of a version that this one does not read.
    """
    path = calibration_path(folder, gpu)
    mend = "Delete it, or calibrate again: kernelwright calibrate."
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the calibration can't be read: {error}.", mend=mend, path=str(path)) from error
    try:
        found = Calibration.model_validate_json(text)
        found.apply(find_gpu(gpu))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"this is no calibration that this version reads: {where}: {first['msg']}.", mend=mend, path=str(path)
        ) from None
    except ValueError as error:
        raise ConfigError(f"this is no calibration that can be used: {error}.", mend=mend, path=str(path)) from None
    if found.gpu != find_gpu(gpu).name:
        raise ConfigError(f"this is a calibration of {found.gpu!r}, not of {gpu}.", mend=mend, path=str(path))
    return found


def calibrated_gpu(name: str, folder: Path) -> Gpu:
    """The card with this name, calibrated if the data folder has a calibration of it.

    Raises:
        NotFoundError: no such card.
        ConfigError: see `load`.
    """
    card = find_gpu(name)
    found = load(folder, card.name)
    return card if found is None else found.apply(card)
