"""Tasks of robust-kbench: what is read, under which names, and what its settings become."""

from __future__ import annotations

import json

import pytest
from foreign_tasks import BACKWARD, CONFIG, FORWARD, write_robust

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.readers.robust_kbench import read, read_one, recognises
from kernelwright.bench_tasks.suite import Scale
from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS
from kernelwright.errors import TaskError
from kernelwright.sandbox.reference import Reference


def test_a_folder_gives_forward_and_backward(tmp_path):
    write_robust(tmp_path / "scale")
    write_robust(tmp_path / "level_2" / "task_7", backward=False)
    suite = read(tmp_path)
    assert [(t.name, t.level, t.task.backward) for t in suite.tasks] == [
        ("task_7", "2", False), ("scale", "", False), ("scale@backward", "", True),
    ]  # fmt: skip
    assert suite.tasks[1].title == "Scales the columns"
    assert {t.task.format for t in suite.tasks} == {"robust-kbench"}
    assert suite.tasks[2].task.name == "scale_backward"


def test_the_text_of_the_task_stays_line_for_line(tmp_path):
    task = read_one(write_robust(tmp_path / "scale"))
    assert task.source.startswith(FORWARD)
    assert read_one(tmp_path / "scale" / "func_backward.py").source.startswith(BACKWARD)


def test_every_combination_but_the_timed_one_is_a_workload(tmp_path):
    task = read_one(write_robust(tmp_path / "scale"))
    own = [(w.name, dict(w.sizes)) for w in task.workloads if w.sizes]
    # 2 inits x 2 inputs x 2 shared; the shared features override those of an input
    assert [sizes["SETTING"] for _name, sizes in own] == list(range(1, 8))
    assert own[0][0] == "features 4096"
    assert own[1][0] == "batch 4"
    assert own[3][0] == "start ones, factor 3.0"
    assert task.workloads[0].name == "as-given"


def test_settings_reach_the_module_and_the_inputs(tmp_path):
    (task,) = [t for t in read(write_robust(tmp_path / "scale")).tasks if not t.task.backward]
    with Reference(task.task) as reference:
        assert reference.signature.inputs[0].shape == (64, 128)
        assert reference.signature.parameters[0].shape == (128,)
        workload = next(w for w in task.task.workloads if w.name == "features 4096, start ones, factor 3.0, batch 4"
                        or set(w.name.split(", ")) == {"features 4096", "start ones", "factor 3.0", "batch 4"})  # fmt: skip
        reference.resize(dict(workload.sizes))
        assert reference.inputs(workload.distribution, 1)[0].shape == (4, 4096)
        made = reference.init(1)
        assert made.arguments == [[], {"features": 4096, "factor": 3.0, "start": "ones"}] or made.arguments == [
            [], {"features": 4096, "start": "ones", "factor": 3.0},
        ]  # fmt: skip
        assert made.state["weight"].shape == (4096,)
        assert bool((made.state["weight"] == 1).all())


def test_a_twin_changes_all_settings_in_proportion_and_caps_them(tmp_path):
    from dataclasses import replace

    suite_task = read(write_robust(tmp_path / "scale")).tasks[0]
    small = replace(suite_task, twin={"batch": 16, "LARGEST": 256}).at(Scale.TWIN)
    sizes = []
    for row in range(8):
        names: dict[str, object] = {"torch": None}
        source = small.source.replace("import torch.nn as nn", "").replace("import torch\n", "")
        body = source[source.index("def get_inputs") :].replace("torch.randn(batch, features)", "(batch, features)")
        exec(body, names)
        names["SETTING"] = row
        sizes.append(names["get_inputs"]()[0])  # type: ignore[operator]
    assert set(sizes) == {(16, 128), (16, 256), (2, 128), (2, 256)}


def test_gradients_come_through_the_models_own_forward(tmp_path):
    write_robust(tmp_path / "scale")
    with Reference(read_one(tmp_path / "scale" / "func_backward.py")) as reference:
        assert [g.name for g in reference.signature.gradients] == [
            "the gradient of input 0", "the gradient of weight",
        ]  # fmt: skip


def test_several_single_settings_are_several_tasks(tmp_path):
    config = CONFIG | {"single_init_configs": [{"start": "random"}, {"start": "ones"}]}
    suite = read(write_robust(tmp_path / "scale", backward=False, config=config))
    assert [t.name for t in suite.tasks] == ["scale", "scale@setting2"]
    assert len({t.task.id for t in suite.tasks}) == 2
    assert len({t.task.name for t in suite.tasks}) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"single_init_configs": [{"depth": 3}]}, "gives 'depth', which Model does not take"),
        ({"multi_input_configs": [{"rows": 3}]}, "gives 'rows', which get_inputs does not take"),
        ({"single_input_configs": []}, "single_input_configs is no list of objects"),
        ({"multi_init_configs": "all"}, "multi_init_configs is no list of objects"),
        ({"multi_init_configs": [{"factor": float(i)} for i in range(99)]}, "more than 64 combinations"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told(tmp_path, change, said):
    write_robust(tmp_path / "scale", backward=False, config=CONFIG | change)
    suite = read(tmp_path)
    assert not suite.tasks
    assert said in suite.unreadable[0].why
    with pytest.raises(TaskError, match=r"config_forward\.json"):
        read_one(tmp_path / "scale")


def test_missing_and_damaged_files_are_told(tmp_path):
    write_robust(tmp_path / "a", backward=False)
    (tmp_path / "a" / "config_forward.json").unlink()
    write_robust(tmp_path / "b", backward=False)
    (tmp_path / "b" / "config_forward.json").write_text('{"single' + "[" * 100_000)
    write_robust(tmp_path / "c", backward=False)
    (tmp_path / "c" / "config_forward.json").unlink()
    (tmp_path / "c" / "config_forward.json").symlink_to("/etc/passwd")
    write_robust(tmp_path / "d", backward=False)
    (tmp_path / "d" / "func_forward.py").write_text("def forward_fn(:\n")
    told = {each.name: each.why for each in read(tmp_path).unreadable}
    assert "can't be read" in told["a"]
    assert "not JSON" in told["b"]
    assert "no regular file" in told["c"]
    assert "not valid Python" in told["d"]


def test_a_name_of_the_file_is_not_overwritten(tmp_path):
    folder = write_robust(tmp_path / "scale", backward=False)
    text = "batch = 'mine'\n" + FORWARD
    (folder / "func_forward.py").write_text(text)
    source = read_one(folder).source
    assert "\nbatch_ = 64\n" in source
    assert "\nbatch = 64\n" not in source


def test_only_its_own_folders_are_recognised(tmp_path):
    write_robust(tmp_path / "scale")
    assert recognises(tmp_path)
    assert recognises(tmp_path / "scale" / "func_forward.py")
    assert not recognises(tmp_path / "scale" / "config_forward.json")
    (tmp_path / "other").mkdir()
    assert not recognises(tmp_path / "other")
    with pytest.raises(TaskError, match="a collection"):
        read_one(tmp_path)


def test_values_of_the_configuration_are_data(tmp_path):
    """A configuration is a stranger's too: its strings end up in the text of the task as literals and nothing else."""
    evil = '"); raise SystemExit("run") #\n\'\'\'"""'
    config = json.loads(json.dumps(CONFIG))
    config["single_init_configs"] = [{"start": evil}]
    source = read_one(write_robust(tmp_path / "scale", backward=False, config=config)).source
    names: dict[str, object] = {}
    exec(source[source.index("SETTINGS = (") : source.index("_make_inputs")], names)
    assert names["SETTINGS"][0][0]["start"] == evil  # type: ignore[index]


def test_the_text_alone_says_all_that_is_asked(tmp_path):
    """A bundle of evidence is judged again from the task's text: format, workloads and gradients have to come out of it."""
    write_robust(tmp_path / "scale")
    for task in (t.task for t in read(tmp_path).tasks):
        again = task_from_source(task.source, name="again")
        assert (again.format, again.workloads, again.backward) == (task.format, task.workloads, task.backward)
        assert again.id == task.id
        assert len(again.workloads) > len(DEFAULT_WORKLOADS)
