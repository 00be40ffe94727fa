"""The suite `models`: blocks of real architectures."""

from kernelwright.bench_tasks.own import own_suite
from kernelwright.bench_tasks.suite import Scale


def test_there_are_enough_blocks_of_every_kind():
    tasks = own_suite("models").tasks
    assert len({task.name.partition("@")[0] for task in tasks}) >= 25
    assert {"convnet", "graph", "recommender", "recurrent", "transformer"} == {task.family for task in tasks}


def test_some_are_asked_for_in_half_precision_and_some_with_gradients():
    tasks = own_suite("models").tasks
    assert sum(task.name.endswith("@half") for task in tasks) >= 12
    assert sum(task.task.backward for task in tasks) >= 5


def test_every_task_has_a_title_a_twin_and_a_name_of_its_own():
    tasks = own_suite("models").tasks
    assert len({task.name for task in tasks}) == len({task.task.id for task in tasks}) == len(tasks)
    assert all(task.title and task.twin for task in tasks)
    assert all(task.at(Scale.TWIN).id != task.task.id for task in tasks)
