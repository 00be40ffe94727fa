"""A task's own workloads: read from its file, or refused with the line."""

from __future__ import annotations

import pytest

from kernelwright.bench_tasks.kernelbench import task_from_source
from kernelwright.bench_tasks.task import DEFAULT_WORKLOADS, Distribution, TaskSignature, TensorSpec, Workload
from kernelwright.errors import TaskError

SOURCE = "class Model: pass\ndef get_inputs(): return []\n"


def test_without_a_list_the_default_workloads_hold():
    assert task_from_source(SOURCE, name="t").workloads == DEFAULT_WORKLOADS


@pytest.mark.parametrize("head", ["WORKLOADS =", "WORKLOADS: list[dict] ="])
def test_a_list_is_read(head):
    task = task_from_source(
        SOURCE + f'{head} [{{"distribution": "as_given", "seeds": 3}}, {{"distribution": "nan", "strided": True}}]\n',
        name="t",
    )
    assert task.workloads == (
        Workload("as-given", Distribution.AS_GIVEN, 3), Workload("nan-strided", Distribution.NAN, strided=True),
    )  # fmt: skip
    assert task.id != task_from_source(SOURCE, name="t").id


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("[]", "no list"),
        ("make()", "no list"),
        ('["normal"]', "entry 0: it is no dictionary"),
        ('[{"distribution": "normal"}, {"distribution": "gauss"}]', "entry 1: the distribution is 'gauss'"),
        ('[{"distribution": "normal", "seeds": 0}]', "seeds is 0"),
        ('[{"distribution": "normal", "strided": 1}]', "strided is 1"),
        ('[{"distribution": "normal", "shape": 1}]', "there is no 'shape'"),
        ('[{"distribution": "normal", "name": "a/b"}]', "the name is 'a/b'"),
        ('[{"distribution": "normal"}, {"distribution": "normal"}]', "twice"),
    ],
)
def test_what_is_not_understood_is_told_with_its_line(value, says):
    with pytest.raises(TaskError) as caught:
        task_from_source(SOURCE + f"WORKLOADS = {value}\n", name="t")
    assert says in str(caught.value)
    assert caught.value.line == 3


def test_workloads_survive_json_and_old_rows_are_read():
    for workload in (
        *DEFAULT_WORKLOADS,
        Workload("s", Distribution.INFINITE, 2, strided=True),
        Workload("n", Distribution.NORMAL, sizes=(("N", 7),), for_few=True),
    ):
        assert Workload.from_json(workload.to_json()) == workload
    assert Workload.from_json(["normal", "normal", 1]) == Workload("normal", Distribution.NORMAL)


def test_a_workload_for_small_tasks_is_left_out_of_large_ones():
    def signature(n: int) -> TaskSignature:
        spec = TensorSpec("x", (n,), "float32", (1,))
        return TaskSignature((spec,), (spec,), ())

    small = Workload("w", Distribution.ZEROS, most_elements=20)
    assert small.fits(signature(10))
    assert not small.fits(signature(11))
    assert Workload("w", Distribution.ZEROS).fits(signature(1 << 40))


def test_a_workload_for_few_elements_asks_for_an_output_that_has_few():
    def signature(*outputs: int) -> TaskSignature:
        inputs = (TensorSpec("x", (3,), "float32", (1,)),)
        return TaskSignature(inputs, tuple(TensorSpec("y", (n,), "float32", (1,)) for n in outputs), ())

    few = Workload("w", Distribution.NORMAL, most_elements=200, for_few=True)
    assert few.fits(signature(63))
    assert few.fits(signature(64, 1))
    assert not few.fits(signature(64, 64))
    assert not few.fits(signature(190, 10))


def test_more_workloads_come_after_the_usual_ones():
    source = SOURCE + 'MORE_WORKLOADS = [{"distribution": "as_given", "name": "large", "sizes": {"N": 9}}]\n'
    with pytest.raises(TaskError, match="twice"):
        task_from_source(source, name="t")
    found = task_from_source(source.replace('"large"', '"N 9"'), name="t").workloads
    assert found[:-1] == DEFAULT_WORKLOADS
    assert (found[-1].name, found[-1].sizes) == ("N 9", (("N", 9),))
    with pytest.raises(TaskError, match="MORE_WORKLOADS"):
        task_from_source(source.replace("[{", "[{}, {"), name="t")
