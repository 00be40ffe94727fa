"""Tasks of a stage: read once each, never on both sides, and back from JSON as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from door_nouns import KERNEL, TASK, passed

from kernelwright.config import load_settings
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.events import ignore
from kernelwright.jobs import resume_run
from kernelwright.rl.run import RunStatus
from kernelwright.training.opening import Tasks, new_runs, order_of, places_of, read_tasks
from kernelwright.training.worker import HERE
from kernelwright.verifier.evaluation import TimingKind

SOURCE = "class Model: pass\ndef get_inputs(): ...\ndef get_init_inputs(): ...\n"


@pytest.fixture
def files(home: Path) -> Path:
    for name in ("a", "b", "c", "_helper"):
        Path(f"{name}.py").write_text(f"{SOURCE}NAME = {name!r}\n")
    Path("copy.py").write_text(Path("a.py").read_text())
    return Path()


def test_files_and_folders_each_task_once(files: Path) -> None:
    found = read_tasks([Path("b.py"), files, Path("b.py")])
    assert sorted(task.name for task in found.training) == ["a", "b", "c"]
    assert found.held_out == ()
    Path("empty").mkdir()
    with pytest.raises(MisuseError, match="has no task"):
        read_tasks([Path("empty")])


def test_a_task_is_not_on_both_sides_also_under_other_comments(files: Path) -> None:
    Path("disguised.py").write_text(f"# mine\n\n{Path('b.py').read_text()}")
    for held_out in ("b.py", "disguised.py"):
        with pytest.raises(MisuseError, match="both trained on and held out"):
            read_tasks([Path("a.py"), Path("b.py")], [Path(held_out)])
    assert [task.name for task in read_tasks([Path("a.py")], [Path("b.py")]).held_out] == ["b"]


def test_tasks_through_json(files: Path) -> None:
    tasks = read_tasks([Path("a.py")], [Path("b.py")])
    assert Tasks.from_json(json.loads(json.dumps(tasks.to_json()))) == tasks


def test_evaluators_are_told_the_settings_of_this_machine_and_no_key(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERNELWRIGHT_OPENAI_API_KEY", "sk-secret")
    told = order_of(load_settings(gpu="A100"))
    assert set(told) == set(HERE)
    assert "sk-secret" not in json.dumps(told)
    assert load_settings(**json.loads(json.dumps(told))).gpu == "A100 80GB"


def test_runs_are_made_once_and_history_is_that_of_gpu_and_kind(home: Path) -> None:
    settings, tasks = load_settings(device="emulator"), Tasks((TASK,))
    runs, scales = new_runs(tasks), {TASK.id: (0.25, 0.5)}
    with Store(settings.database_url) as store:
        store.add_evaluation(TASK, KERNEL, passed(seconds=10e-6))
        store.add_evaluation(TASK, KERNEL, passed(seconds=20e-6))
        for _ in range(2):
            places = places_of(tasks, runs, scales, store, settings, stage="grpo", coder="tiny", rounds=9)
        store.add_evaluation(TASK, KERNEL, passed(seconds=40e-6))  # by somebody else, while this stage lies still
        again = places_of(tasks, runs, scales, store, settings, stage="grpo", coder="tiny", rounds=9)
        assert again[TASK.id].history.variants == places[TASK.id].history.variants
        history = places[TASK.id].history
        assert [v.score for v in history.variants] == [pytest.approx(1.25)]
        assert (history.scale.centre, history.scale.spread) == (0.25, 0.5)
        run = store.run(runs[TASK.id])
        assert (run.strategy, run.status, run.settings) == ("train:grpo", RunStatus.RUNNING, {"held_out": False})
        assert store.variants(TASK.id, "A100", TimingKind.MODELLED) == []
        assert store.variants(TASK.id, "H200", TimingKind.MEASURED) == []
        assert len(store.variants(TASK.id, "H200", TimingKind.MODELLED)) == 3
        with pytest.raises(MisuseError, match="wrote while it was trained") as caught:
            resume_run(run.id, settings, store=store, observer=ignore)
        assert "kernelwright train grpo --resume" in caught.value.mend
