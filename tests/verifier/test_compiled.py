"""One hash of what was compiled and launched."""

from __future__ import annotations

from dataclasses import replace

from kernelwright.sandbox.launch import Counters, LaunchReport, OpRecord
from kernelwright.verifier.compiled import compiled_hash

ONE = LaunchReport("k", (4, 1, 1), (256, 1, 1), 0, Counters(), fingerprint="0" * 16)
OP = OpRecord("aten.add.Tensor", 8, 4, 1, "float32", "pointwise", ((1,),))


def test_everything_that_is_launched_counts_and_nothing_else() -> None:
    base = compiled_hash([ONE], [])
    assert len(base) == 16
    assert compiled_hash([replace(ONE, kernel="other", emulated_seconds=2.0)], []) == base
    changed = [
        compiled_hash([replace(ONE, fingerprint="1" * 16)], []),
        compiled_hash([replace(ONE, grid=(5, 1, 1))], []),
        compiled_hash([replace(ONE, block=(128, 1, 1))], []),
        compiled_hash([replace(ONE, dynamic_shared=64)], []),
        compiled_hash([ONE, ONE], []),
        compiled_hash([ONE], [OP]),
        compiled_hash([ONE], [replace(OP, shapes=((2,),))]),
    ]
    assert len({base, *changed}) == 8


def test_what_is_not_known_has_no_hash() -> None:
    assert compiled_hash([], []) == ""
    assert compiled_hash([ONE, replace(ONE, fingerprint="")], []) == ""


def test_reports_carry_it_and_leave_it_out_where_it_is_empty() -> None:
    assert LaunchReport.from_json(ONE.to_json()) == ONE
    assert "fingerprint" not in replace(ONE, fingerprint="").to_json()
