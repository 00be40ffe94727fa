"""GPU data: what the performance model knows about each card, read from `gpus.toml`."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kernelwright.errors import NotFoundError
from kernelwright.verifier.model.constants import FITTED, Constants
from kernelwright.verifier.model.trees import Correction
from kernelwright.verifier.model.uncertainty import CalibrationNote

__all__ = ["DEFAULT_GPU", "Gpu", "all_gpus", "find_gpu"]

DEFAULT_GPU = "H200"


class Gpu(BaseModel):
    """One card: its chip's limits per SM and its own clocks and bandwidths.

    Units: bytes, bytes per second, hertz, FLOP/s, seconds; `*_lanes` are thread results per clock per SM; latencies
    are clocks. `gpus.toml` gives the origin of every figure and says which are estimates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    aliases: tuple[str, ...] = ()
    arch: str
    """`sm_90`."""
    source: str
    """Where the card's figures are from."""
    arch_source: str
    """Where the figures per SM are from."""
    compute_capability: tuple[int, int]

    sms: int = Field(gt=0)
    clock_hz: float = Field(gt=0)
    """Boost clock: the one behind the data sheet's float32 peak."""
    schedulers: int = Field(gt=0)
    """Warp schedulers per SM; each issues one instruction a clock."""
    max_warps: int = Field(gt=0)
    max_blocks: int = Field(gt=0)
    max_threads: int = Field(gt=0)
    registers: int = Field(gt=0)
    register_unit: int = Field(gt=0)
    """Registers are given to a warp in units of this many."""
    max_registers_per_thread: int = Field(gt=0)
    shared_per_sm: int = Field(gt=0)
    shared_per_block: int = Field(gt=0)
    """With the opt-in attribute."""
    shared_unit: int = Field(gt=0)
    shared_reserved: int = Field(ge=0)
    """Bytes the driver takes of each block's share."""
    unified_l1: int = Field(gt=0)
    """L1 and shared memory together, per SM."""
    shared_bytes_per_clock: int = Field(gt=0)

    fp32_lanes: int = Field(gt=0)
    fp64_lanes: int = Field(gt=0)
    fp16_lanes: int = Field(gt=0)
    """Results of packed (x2) instructions."""
    int_lanes: int = Field(gt=0)
    sfu_lanes: int = Field(gt=0)
    convert_lanes: int = Field(gt=0)
    shuffle_lanes: int = Field(gt=0)
    load_store_lanes: int = Field(gt=0)
    """Four-byte lanes through the L1 and shared-memory data path."""

    tensor_fp16: float = Field(ge=0)
    tensor_bf16: float = Field(ge=0)
    tensor_tf32: float = Field(ge=0)
    tensor_fp64: float = Field(ge=0)
    tensor_fp8: float = Field(ge=0)
    tensor_int8: float = Field(ge=0)
    """Dense, with 32-bit accumulation; op/s. 0 where the tensor cores do not have the type."""
    mma_share: float = Field(gt=0, le=1)
    """Part of these that `mma.sync` and `wmma` reach."""

    l2_bytes: int = Field(gt=0)
    l2_bandwidth: float = Field(gt=0)
    """Bytes per second that reads from L2 reach."""
    l2_latency: float = Field(gt=0)
    dram_bytes: float = Field(gt=0)
    dram_bandwidth: float = Field(gt=0)
    """Of the data sheet."""
    dram_share: float = Field(gt=0, le=1)
    """Part of it that a long copy reaches."""
    dram_latency: float = Field(gt=0)
    """Unloaded."""
    launch_seconds: float = Field(gt=0)
    """What one more small launch adds on a busy stream."""

    constants: Constants = Constants()
    """Estimates that are no figure of a card; calibration moves them."""
    calibration: CalibrationNote | None = None
    """What the card was calibrated on; None means by nothing: data sheets and estimates."""
    correction: Correction | None = Field(default=None, exclude=True, repr=False)
    """Learned from samples of this card; `calibration.correction` is its digest."""

    @model_validator(mode="before")
    @classmethod
    def _lists_as_tuples(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return data

    @property
    def achievable_bandwidth(self) -> float:
        """DRAM bytes per second that a long copy reaches: the data sheet's times `dram_share`."""
        return self.dram_bandwidth * self.dram_share

    @property
    def fp32_peak(self) -> float:
        """FLOP/s of float32 outside tensor cores; a fused multiply-add counts two."""
        return 2.0 * self.fp32_lanes * self.sms * self.clock_hz

    @property
    def fp64_peak(self) -> float:
        """FLOP/s of float64 outside tensor cores."""
        return 2.0 * self.fp64_lanes * self.sms * self.clock_hz

    @property
    def fp16_peak(self) -> float:
        """FLOP/s of packed float16 outside tensor cores."""
        return 2.0 * self.fp16_lanes * self.sms * self.clock_hz

    @property
    def int_peak(self) -> float:
        """Integer operations per second outside tensor cores."""
        return float(self.int_lanes) * self.sms * self.clock_hz

    def tensor_peak(self, kind: str) -> float:
        """FLOP/s of tensor cores for one of `sandbox.launch.TENSOR_TYPES`.

        A type that they do not have runs elsewhere or as a wider one: `fp64` and `tf32` at the plain peaks, `fp8` and `bf16`
        as `fp16`. `int4` and `int1` count as `int8`: since Hopper they are no faster, and before at most eight times.

        Raises:
            KeyError: no such type.
        """
        fp16 = self.tensor_fp16 or self.fp16_peak
        return {
            "fp16": fp16,
            "bf16": self.tensor_bf16 or fp16,
            "fp8": self.tensor_fp8 or fp16,
            "tf32": self.tensor_tf32 or self.fp32_peak,
            "fp64": self.tensor_fp64 or self.fp64_peak,
            "int8": self.tensor_int8 or self.int_peak,
            "int4": self.tensor_int8 or self.int_peak,
            "int1": self.tensor_int8 or self.int_peak,
        }[kind]

    def fitted(self, name: str) -> float:
        """The value of one of `constants.FITTED` on this card."""
        return float(getattr(self.constants if name in Constants.model_fields else self, name))

    @property
    def calibration_digest(self) -> str:
        """Names what a calibration changed of the model's times: 16 hex digits, empty where it is what the table says."""
        plain = find_gpu(self.name)
        moved = {each.name: self.fitted(each.name) for each in FITTED}
        moved = {name: value for name, value in moved.items() if value != plain.fitted(name)}
        correction = "" if self.correction is None else self.correction.digest
        if not moved and not correction:
            return ""
        return hashlib.sha256(json.dumps([moved, correction], sort_keys=True).encode()).hexdigest()[:16]

    def with_fitted(self, values: Mapping[str, float]) -> Gpu:
        """The same card with some of `constants.FITTED` at other values, which are within their bounds.

        Raises:
            ValueError: an unknown name, or a value out of its bounds.
        """
        known = {each.name: each for each in FITTED}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"{name!r} is no constant that is fitted; those are {', '.join(known)}")
            if not known[name].low <= value <= known[name].high:
                raise ValueError(f"{name} can't be {value!r}: from {known[name].low:g} to {known[name].high:g}")
        shared = {name: value for name, value in values.items() if name in Constants.model_fields}
        own = {name: value for name, value in values.items() if name not in shared}
        return self.model_copy(update={**own, "constants": self.constants.model_copy(update=shared)})

    def matmul_peak(self, dtype: str) -> float:
        """FLOP/s that a matrix product of this torch dtype (`float32`, ...) may reach.

        float32 means float32: tensor cores round it to tf32, which the verifier's tolerance does not accept.
        """
        tensor = {
            "float16": self.tensor_fp16, "bfloat16": self.tensor_bf16, "int8": self.tensor_int8, "float64": self.tensor_fp64,
        }.get(dtype, 0.0)  # fmt: skip
        if tensor:
            return tensor
        return {"float64": self.fp64_peak, "float16": self.fp16_peak}.get(dtype, self.fp32_peak)


@cache
def _load() -> tuple[Gpu, ...]:
    text = resources.files("kernelwright.verifier.model").joinpath("gpus.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    cards = []
    for card in table["gpu"]:
        per_sm = dict(table["arch"][card["arch"]])
        cards.append(Gpu(**per_sm | {"arch_source": per_sm["source"]} | card))
    return tuple(cards)


def all_gpus() -> tuple[Gpu, ...]:
    """Every card in the table, oldest architecture first."""
    return _load()


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("-", " ").replace("_", " ").split())


def find_gpu(name: str) -> Gpu:
    """The card with this name or alias, whatever its case, hyphens or a leading `NVIDIA`.

    Raises:
        NotFoundError: no such card; the message lists those there are, and the nearest one.
    """
    wanted = _plain(name)
    spellings: dict[str, Gpu] = {}
    for gpu in _load():
        for spelling in (gpu.name, *gpu.aliases):
            spellings[_plain(spelling)] = gpu
    for spelling in (wanted, wanted.removeprefix("nvidia ")):
        if spelling in spellings:
            return spellings[spelling]
    close = difflib.get_close_matches(wanted, spellings, n=1, cutoff=0.4)
    known = ", ".join(gpu.name for gpu in _load())
    hint = f"Did you mean {spellings[close[0]].name}? " if close else ""
    raise NotFoundError(f"no GPU named {name!r} in the table.", mend=f"{hint}Known: {known}.")
