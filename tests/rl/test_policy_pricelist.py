"""Price lists: one line a price, whatever a kill left is passed over, counters priced for any GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernelwright.agents.builtin.policy.facts import ChoiceFacts, KernelFacts, LaunchFacts
from kernelwright.rl.policy.pricelist import Entry, Header, PriceList, Surveyed
from kernelwright.sandbox.launch import Counters, KernelResources, LaunchReport
from kernelwright.verifier.model.gpus import find_gpu

GPUS = (find_gpu("H200"), find_gpu("L40S"))
FACTS = KernelFacts("scale", "pointwise", {"rows": 1024.0})
HEADER = Header(
    "core/scale", "pointwise", "abc", "H200", 132, (Surveyed(FACTS, {"threads": 128}, 3, True),), {"H200": 1e-6}
)


def entry(threads: int, *, resident: int = 0, why: str = "", shared: int = 0) -> Entry:
    counters = Counters(
        warp_instructions={"fp32": 320, "load_store": 64}, global_load_requests=32, global_load_sectors=128, global_load_bytes=4096,
        global_load_unique_bytes=4096, warps=32, blocks=8, longest_warp_instructions=12, longest_warp_global_requests=1,
    )  # fmt: skip
    report = LaunchReport("scale", (8, 1, 1), (threads, 1, 1), shared, counters, KernelResources(24, arch="sm_90"))
    choice = ChoiceFacts({"threads": threads, "blocks_per_sm": resident}, (LaunchFacts(8, threads),))
    return Entry("scale", choice, () if why else (report,), why)


def test_prices_are_found_again_in_another_process_and_the_first_choice_leads(tmp_path: Path) -> None:
    header = replace(HEADER, kernels=(Surveyed(FACTS, {"threads": 128, "blocks_per_sm": 0}, 3, True),))
    prices = PriceList(tmp_path / "a" / "x.jsonl", header)
    for each in (entry(256), entry(128), entry(64, why="LaunchError: no")):
        prices.add(each)
    again = PriceList(prices.path)
    assert again.entries == prices.entries
    assert again.known == prices.known
    found = again.landscape(GPUS)
    assert found is not None
    first, second, failed = found.kernels[0].priced
    assert first.choice.knobs["threads"] == 128
    assert set(second.seconds) == {"H200", "L40S"}
    assert second.seconds["H200"] != second.seconds["L40S"]
    assert failed.seconds == {}
    assert failed.why == "LaunchError: no"
    assert found.kernels[0].whole


def test_a_line_that_a_kill_cut_off_is_passed_over_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    prices = PriceList(path, HEADER)
    prices.add(entry(256))
    with path.open("a") as file:
        file.write('{"kernel": "scale", "knobs": {"thre')
    after = PriceList(path, HEADER)
    after.add(entry(64))
    assert [e.choice.knobs["threads"] for e in PriceList(path).entries] == [256, 64]


@pytest.mark.parametrize("content", ["", "\n", "nonsense\n", '{"format": 7}\n', "[1]\n"])
def test_a_file_of_something_else_is_begun_anew(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    prices = PriceList(path, HEADER)
    prices.add(entry(256))
    assert len(PriceList(path, HEADER).entries) == 1


def test_prices_of_another_task_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    PriceList(path, HEADER).add(entry(256))
    assert PriceList(path, replace(HEADER, task_id="other")).entries == []


def test_a_persistent_grid_has_no_time_on_a_card_with_other_sms_nor_what_does_not_fit(tmp_path: Path) -> None:
    prices = PriceList(tmp_path / "x.jsonl", HEADER)
    prices.add(entry(256, resident=2))
    prices.add(entry(64, shared=150 * 1024))
    found = prices.landscape(GPUS)
    assert found is not None
    resident, large = found.kernels[0].priced
    assert set(resident.seconds) == {"H200"}
    assert set(large.seconds) == {"H200"}  # 150 KB of shared memory: an L40S has 100
    assert not found.kernels[0].whole


def test_no_landscape_while_a_kernel_has_no_price(tmp_path: Path) -> None:
    prices = PriceList(tmp_path / "x.jsonl", HEADER)
    assert prices.landscape(GPUS) is None
    prices.add(entry(64, why="BuildError: no"))
    assert prices.landscape(GPUS) is None
    assert PriceList(tmp_path / "missing.jsonl").landscape(GPUS) is None
