"""Entries of others: packed, sent, judged again here, and what a forger can't do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from judged_entries import SUITE, SUITE_TASKS, kernel_for, own_settings, solve, stored, tiny_task
from search_doubles import evaluation

from kernelwright.bench.entries import entry_of
from kernelwright.bench_tasks.scoring.outcomes import LARGEST_UNBOUNDED, outcomes
from kernelwright.bench_tasks.scoring.results import AttemptResult, Entry, Integrity
from kernelwright.bench_tasks.suite import Scale
from kernelwright.bench_tasks.task import Task
from kernelwright.config import Settings
from kernelwright.db.store import Store
from kernelwright.errors import BundleError, MisuseError
from kernelwright.events import Observer, ignore
from kernelwright.leaderboard.collect import entries
from kernelwright.leaderboard.entry_file import ENTRY, EntryFile, pack_entry, read_entry
from kernelwright.leaderboard.submitted import submitted_entries
from kernelwright.leaderboard.submitting import Judged, submit
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier import bundle as bundles
from kernelwright.verifier.archive import seal, unseal
from kernelwright.verifier.evaluation import Evaluation, Verdict
from kernelwright.verifier.exact_json import from_json, to_json
from kernelwright.verifier.model.gpus import find_gpu


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return own_settings(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def packed(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of an entry that solved two tasks of three."""
    with Store(tmp_path_factory.mktemp("theirs") / "k.db") as store:
        bench = stored(store)
        return pack_entry(entry_of(store, bench.id), store, settings)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "ours.db") as store:
        yield store


def changed(data: bytes, change: Callable[[dict[str, Any]], None], **members: bytes) -> bytes:
    """The entry, as somebody who can seal files would change it: the hashes are right again."""
    opened = unseal(data, ENTRY)
    said = from_json(opened.members["entry.json"].decode())
    change(said)
    about = {key: value for key, value in opened.manifest.items() if key not in {"format", "version", "members"}}
    return seal({**opened.members, **members, "entry.json": to_json(said).encode()}, about, ENTRY)


def trial_in(said: Mapping[str, Any], task: str) -> dict[str, Any]:
    found: dict[str, Any] = next(trial for trial in said["entry"]["trials"] if trial["task"] == task)
    return found


@dataclass
class Bench:
    """A judge that knows two kernels, takes the times of `judged_entries` of them, and finds every other one wrong."""

    outcomes: Mapping[str, float | Verdict] = field(default_factory=dict)
    """By task, instead of these."""
    seen: list[str] = field(default_factory=list)

    def __call__(
        self, task: Task, kernel: Kernel, settings: Settings, *, store: Store | None, observer: Observer
    ) -> Evaluation:
        self.seen.append(task.name)
        known = kernel.source == kernel_for(task.name).source and task.id == SUITE_TASKS[task.name].id
        usual = {"scale": 1e-5, "softmax": 1.5e-5}[task.name] if known else Verdict.WRONG
        return evaluation(kernel, self.outcomes.get(task.name, usual), task, seeds={"normal/0": len(self.seen)})


def judge(
    file: EntryFile, settings: Settings, store: Store, by: Bench | None = None, **more: Any
) -> tuple[Entry, dict[str, Judged]]:
    told: list[Judged] = []
    entry = submit(file, SUITE, settings, store=store, observer=ignore, told=told.append, judge=by or Bench(), **more)
    return entry, {each.item.task: each for each in told}


def forged(file: EntryFile, task: str, kernel: Kernel | None = None, other: bytes | None = None) -> EntryFile:
    """The file with another kernel, or other evidence, for one task."""
    place = (task, 0)
    data = other
    if kernel is not None:
        bundle = bundles.read(file.bundles[place]).bundle
        assert bundle is not None
        said = bundle.evaluation.model_copy(update={"kernel_id": kernel.id})
        data = bundles.pack(bundle.task, kernel, said, gpu=find_gpu("H200"), limits=bundle.limits)
    assert data is not None
    return replace(file, bundles={**file.bundles, place: data})


def test_an_honest_entry_comes_out_clean_and_twice_is_once(packed: bytes, settings: Settings, store: Store) -> None:
    file = read_entry(packed)
    entry, told = judge(file, settings, store, author="Ada \x1b[31m")
    assert {name: each.item.integrity for name, each in told.items()} == {
        "scale": Integrity.CLEAN,
        "softmax": Integrity.CLEAN,
    }
    assert not any(each.before for each in told.values())
    assert (entry.submitted, entry.claimed, entry.author) == (True, False, "Ada [31m")
    assert entry.tasks == ("scale", "softmax", "svd")
    assert [trial.solved for trial in entry.trials] == [True, True, False]
    for trial, claim in zip(entry.trials, file.entry.trials, strict=True):
        assert trial.evaluation_id != claim.evaluation_id or not claim.solved  # a judgement of ours, under other seeds
        if trial.solved:
            assert store.evaluation(trial.evaluation_id).seeds
    again, told = judge(file, settings, store, author="Someone else")
    assert again == entry
    assert all(each.before for each in told.values())
    assert entries(store) == [entry]


def test_an_interrupted_one_goes_on(packed: bytes, settings: Settings, store: Store) -> None:
    file = read_entry(packed)

    def stop(_judged: Judged) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit(file, SUITE, settings, store=store, observer=ignore, told=stop, judge=Bench())
    assert submitted_entries(store) == []  # not on the leaderboard before all of it is judged
    rest = Bench()
    _, told = judge(file, settings, store, rest)
    assert rest.seen == ["softmax"]
    assert [each.before for each in told.values()] == [True, False]
    assert len(submitted_entries(store)) == 1


def test_forged_kernels_and_evidence(packed: bytes, settings: Settings, store: Store) -> None:
    """A kernel that is wrong, with evidence that says it passed; and evidence about an easier task."""
    file = read_entry(packed)
    easier = tiny_task("softmax", "3.0 * torch.tanh(x)").at(Scale.TWIN)
    about = bundles.read(file.bundles["scale", 0]).bundle
    assert about is not None
    assert about.task.id == easier.id  # that very evidence, sent for softmax
    file = forged(file, "scale", kernel_for("scale", "and more"))
    file = forged(file, "softmax", other=file.bundles["scale", 0])
    entry, told = judge(file, settings, store)
    assert [each.item.integrity for each in told.values()] == [Integrity.REFUSED] * 2
    assert told["scale"].item.remarks[0].startswith("Judged here it is wrong")
    assert told["softmax"].item.remarks == (
        "Its evidence is about another task than the one of this name in the suite.",
    )
    assert not any(trial.solved for trial in entry.trials)


def test_evidence_that_is_missing_broken_or_changed(packed: bytes, settings: Settings, store: Store) -> None:
    file = read_entry(packed)
    scale = file.bundles["scale", 0]
    spoilt = scale.replace(b"ModelNew", b"ModelOld", 1)
    entry, told = judge(replace(file, bundles={("scale", 0): spoilt}), settings, store)
    assert told["scale"].item.remarks[0].startswith("Its evidence was changed: kernel.py")
    assert told["softmax"].item.remarks == ("The file has no evidence for it.",)
    assert not any(trial.solved for trial in entry.trials)


def test_a_time_that_does_not_come_out_is_ours(packed: bytes, settings: Settings, store: Store) -> None:
    def faster(said: dict[str, Any]) -> None:
        attempt = next(a for a in trial_in(said, "scale")["attempts"] if a["passed"])
        attempt["speedup"] = attempt["speedup"] * 1000
        trial_in(said, "scale")["speedup_interval"] = None

    file = read_entry(changed(packed, faster))
    by = Bench()
    entry, told = judge(file, settings, store, by)
    assert by.seen == ["scale", "softmax"]
    assert told["scale"].item.integrity is Integrity.SUSPECT
    assert "is claimed, and it came out as" in told["scale"].item.remarks[0]
    best = entry.trials[0].best
    assert best is not None
    assert best.speedup is not None
    assert best.speedup < 100


def test_times_of_a_gpu_that_is_not_here_stand_apart(packed: bytes, settings: Settings, store: Store) -> None:
    def measured(said: dict[str, Any]) -> None:
        said["entry"] |= {"timing_kind": "measured", "device": "cuda", "gpu": "A100-80GB"}

    file = read_entry(changed(packed, measured))
    entry, told = judge(file, settings, store, Bench({"softmax": Verdict.UNSUPPORTED}))
    assert entry.claimed
    assert {each.item.integrity for each in told.values()} == {Integrity.SUSPECT}
    assert "could not be measured" in told["scale"].item.remarks[0]
    assert "could not be judged without the GPU" in told["softmax"].item.remarks[0]
    for here, said in zip(entry.trials, file.entry.trials, strict=True):
        assert (here.best and here.best.speedup) == (said.best and said.best.speedup)  # as claimed


def test_a_claim_is_cut_off_at_a_roofline_of_ours(packed: bytes, settings: Settings, store: Store) -> None:
    """Where the kernel could be judged: baseline over bound; else at what is believed without a bound."""

    def boast(said: dict[str, Any]) -> None:
        said["entry"] |= {"timing_kind": "measured", "device": "cuda", "gpu": "A100-80GB"}
        for trial in said["entry"]["trials"]:
            for attempt in trial["attempts"]:
                attempt |= {"speedup": 1e9, "roofline_share": 1e-12}
            trial["speedup_interval"] = None

    entry, _ = judge(read_entry(changed(packed, boast)), settings, store, Bench({"softmax": Verdict.UNSUPPORTED}))
    found = {task: outcome[0].speedup for task, outcome in outcomes(entry).items()}
    assert found["softmax"] == LARGEST_UNBOUNDED
    assert found["scale"] is not None
    assert found["scale"] < 100


def test_an_entry_stands_under_the_suite_it_was_judged_on(packed: bytes, settings: Settings, store: Store) -> None:
    def renamed(said: dict[str, Any]) -> None:
        said["entry"] |= {"suite": "another \x1b[31m", "gpu": "a100-80gb"}

    entry, _ = judge(read_entry(changed(packed, renamed)), settings, store, Bench({}))
    assert entry.suite == "tiny"
    assert entry.id.startswith("tiny-sent-")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["entry"].update(suite_digest="f" * 16), "different tasks"),
        (lambda said: said["entry"].update(suite_size=2), "another number of them"),
        (lambda said: trial_in(said, "scale").update(task_id="f" * 16), "not the one of tiny"),
        (lambda said: said["entry"].update(scale="full"), "not the one of tiny"),
        (lambda said: said["entry"].update(baseline="compile"), "against eager"),
        (lambda said: said["entry"].update(timing_kind="measured"), "against eager"),
        (lambda said: said["entry"].update(gpu="no such"), "no such"),
    ],
)
def test_an_entry_about_something_else_is_not_taken(
    packed: bytes, settings: Settings, store: Store, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(MisuseError, match=message):
        judge(read_entry(changed(packed, change)), settings, store)
    assert store.submissions() == []


def test_nobody_passes_for_the_built_in_coder(packed: bytes, settings: Settings, store: Store) -> None:
    from kernelwright.bench_tasks.scoring.board import sections
    from kernelwright.leaderboard.cells import author

    def nothing(said: dict[str, Any]) -> None:
        said["entry"].update(submitted=False)
        for trial in said["entry"]["trials"]:
            trial["attempts"] = []
        said["bundles"] = []

    opened = unseal(changed(packed, nothing), ENTRY)
    data = seal({"entry.json": opened.members["entry.json"]}, {}, ENTRY)
    entry, told = judge(read_entry(data), settings, store)
    assert told == {}
    assert author(entry) == "builtin (submitted)"
    assert sections([entry])[0].rows[0].pass_1 is None


def test_failed_attempts_stay_claims_and_win_nothing(packed: bytes, settings: Settings, store: Store) -> None:
    def more(said: dict[str, Any]) -> None:
        trial_in(said, "scale")["attempts"] += [
            {"passed": True, "verdict": "passed", "speedup": 0.001, "roofline_share": None, "seconds": 1.0},
            {"passed": False, "verdict": "wrong", "speedup": None, "roofline_share": None, "seconds": 1.0},
        ]

    entry, _ = judge(read_entry(changed(packed, more)), settings, store)
    assert [a.verdict for a in entry.trials[0].attempts] == ["wrong", "passed"]
    assert isinstance(entry.trials[0].attempts[1], AttemptResult)


def test_a_byte_changed_is_no_entry(packed: bytes) -> None:
    for place in range(0, len(packed), max(1, len(packed) // 40)):
        data = bytearray(packed)
        data[place] ^= 1
        with pytest.raises(BundleError):
            read_entry(bytes(data))


@pytest.mark.suites
def test_real_kernels_are_really_judged(settings: Settings, store: Store, tmp_path: Path) -> None:
    """Two kernels of the built-in coder come out clean; with another factor in it, one is wrong."""
    with Store(tmp_path / "theirs.db") as theirs:
        file = read_entry(pack_entry(entry_of(theirs, solve(theirs, settings).id), theirs, settings))
    told: list[Judged] = []
    entry = submit(file, SUITE, settings, store=store, observer=ignore, told=told.append)
    assert [each.item.integrity for each in told] == [Integrity.CLEAN] * 2
    assert [trial.solved for trial in entry.trials] == [True, True, False]
    for trial, claim in zip(entry.trials, file.entry.trials, strict=True):
        assert trial.evaluation_id != claim.evaluation_id or not claim.solved  # under other seeds
    bundle = bundles.read(file.bundles["scale", 0]).bundle
    assert bundle is not None
    wrong = Kernel(bundle.kernel.source.replace("3.0", "3.25").replace("3.f", "3.25f"), "x")
    assert wrong.id != bundle.kernel.id
    file = replace(forged(file, "scale", wrong), digest="f" * 64)
    told.clear()
    submit(file, SUITE, settings, store=store, observer=ignore, told=told.append)
    assert [each.item.integrity for each in told] == [Integrity.REFUSED, Integrity.CLEAN]
    assert told[0].item.remarks[0].startswith("Judged here it is wrong")
