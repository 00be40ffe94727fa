"""Submitting: problems are told at their field before anything is stored; what is good is queued as asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from web_site import settings_for, talking

from kernelwright.rl.run import RunStatus
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

MODULE = """import torch

ROWS, COLS = 64, 32


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, dim=-1)


def get_inputs():
    return [torch.randn(ROWS, COLS)]


def get_init_inputs():
    return []
"""
LARGE = MODULE.replace("ROWS, COLS = 64, 32", "ROWS = 1 << 30\nCOLS = 4096").replace("1 << 30", "1073741824")


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Site]]:
    folder = tmp_path_factory.mktemp("site")
    with talking(settings_for(folder, offered_models=("openai:some",), offered_rounds=20)) as both:
        yield both


def asked(client: TestClient, **fields: object) -> tuple[int, dict[str, object]]:
    answer = client.post("/api/v1/runs", json={"source": MODULE, "name": "softmax", **fields})
    return answer.status_code, answer.json()


def test_a_module_is_looked_at_in_the_sandbox(talk: tuple[TestClient, Site]) -> None:
    found = talk[0].post("/api/v1/inspections", json={"source": MODULE}).json()
    assert found["ok"]
    assert found["problems"] == []
    assert [(each["shape"], each["dtype"]) for each in found["inputs"]] == [([64, 32], "float32")]
    assert [each["shape"] for each in found["outputs"]] == [[64, 32]]
    assert found["elements"] == 2 * 64 * 32
    assert found["twin"] == {}
    assert {each["distribution"] for each in found["workloads"]} >= {"as_given", "normal", "spiked"}


def test_one_that_is_too_large_for_the_emulator_gets_smaller_sizes_and_no_memory(talk: tuple[TestClient, Site]) -> None:
    found = talk[0].post("/api/v1/inspections", json={"source": LARGE}).json()
    assert found["ok"]
    assert found["inputs"][0]["shape"] == [2**30, 4096]
    assert found["twin"]["ROWS"] < 2**20
    full = talk[0].post("/api/v1/inspections", json={"source": LARGE, "scale": "full"}).json()
    assert full["twin"] == found["twin"]
    assert full["task_id"] != found["task_id"]


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("def f(:\n    pass\n", 1, "not valid Python"),
        ("import torch\n", None, "defines no Model"),
        (MODULE.replace("torch.softmax(x, dim=-1)", "torch.softmaxx(x)"), None, "softmaxx"),
        (MODULE + "\nimport os\nos._exit(3)\n", None, ""),
        (MODULE + "\nwhile True: pass\n", None, ""),
        (MODULE + '\nTWIN = "small"\n', None, "TWIN"),
    ],
)
def test_what_is_wrong_with_it_is_told_at_its_field(
    talk: tuple[TestClient, Site], source: str, line: int | None, words: str
) -> None:
    found = talk[0].post("/api/v1/inspections", json={"source": source}).json()
    assert not found["ok"]
    (problem,) = found["problems"]
    assert problem["field"] == "source"
    assert words in problem["message"]
    if line is not None:
        assert problem["line"] == line
    before = len(talk[1].store.runs())
    status, answer = asked(talk[0], source=source)
    assert status == 422
    assert answer["problems"][0]["field"] == "source"  # type: ignore[index]
    assert len(talk[1].store.runs()) == before


def test_what_can_be_lowered_is_told(talk: tuple[TestClient, Site]) -> None:
    found = talk[0].post("/api/v1/lowerings", json={"source": MODULE}).json()
    assert found["operations"] == {"aten._softmax.default": 1}
    assert found["kernels"] == ["softmax_rows"]
    assert found["stays_in_torch"] == []
    assert found["problem"] == ""
    sort = MODULE.replace("torch.softmax(x, dim=-1)", "torch.sort(x).values")
    found = talk[0].post("/api/v1/lowerings", json={"source": sort}).json()
    assert found["kernels"] == []
    assert "sort" in found["problem"]


def test_it_is_queued_as_it_was_asked_for(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    status, answer = asked(
        client,
        gpu="a100",
        strategy="evolve",
        rounds=7,
        candidates=3,
        sampler="policy",
        seed="seven",
        workloads=[{"distribution": "nan", "seeds": 2}, {"sizes": {"ROWS": 7}, "strided": True, "name": "odd"}],
    )
    assert status == 201
    run = site.store.run(str(answer["id"]))
    assert run.status is RunStatus.QUEUED
    assert (run.gpu, run.strategy, run.rounds, run.coder) == (
        "A100 SXM4 80GB",
        "evolve",
        7,
        "builtin",
    ) or run.gpu.startswith("A100")
    assert {name: run.settings[name] for name in ("candidates", "sampler", "seed", "fenced", "budget")} == {
        "candidates": 3, "sampler": "policy", "seed": "seven", "fenced": True, "budget": None,
    }  # fmt: skip
    assert [(w.distribution.value, w.seeds, w.strided, w.sizes) for w in run.task.workloads[-2:]] == [
        ("nan", 2, False, ()), ("as_given", 1, True, (("ROWS", 7),)),
    ]  # fmt: skip
    job = site.queue.of(run.id)
    assert job is not None
    assert not job.ended


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"gpu": "Voodoo 2"}, "gpu"),
        ({"rounds": 21}, "rounds"),
        ({"model": "openai:other"}, "model"),
        ({"model": "http://169.254.169.254/v1#x"}, "model"),
        ({"budget": 1}, "budget"),
        ({"budget": 100, "model": "openai:some"}, "budget"),
        ({"workloads": [{"sizes": {"x y": 3}}]}, "source"),
        ({"workloads": [{"sizes": {"NOT_THERE": 3}}]}, "source"),
    ],
)
def test_what_is_not_offered_is_told_at_its_field(
    talk: tuple[TestClient, Site], fields: dict[str, object], field: str
) -> None:
    status, answer = asked(talk[0], **fields)
    assert status == 422
    assert [each["field"] for each in answer["problems"]] == [field]  # type: ignore[attr-defined]


def test_a_model_that_is_offered_gets_the_budget_that_is_allowed(talk: tuple[TestClient, Site]) -> None:
    status, answer = asked(talk[0], model="openai:some")
    assert status == 201
    assert talk[1].store.run(str(answer["id"])).settings["budget"] == "5"


def test_a_form_leads_to_the_run_or_back_to_itself_with_what_was_written(talk: tuple[TestClient, Site]) -> None:
    client = talk[0]
    sent = client.post("/submit", data={"source": MODULE, "name": "mine", "rounds": "2"}, follow_redirects=False)
    assert sent.status_code == 303
    page = client.get(sent.headers["location"])
    assert page.status_code == 200
    assert "mine" in page.text
    assert "queued" in page.text
    back = client.post("/submit", data={"source": "</textarea><script>x</script>", "name": "9", "rounds": "0"})
    assert back.status_code == 422
    assert "<script>x" not in back.text
    assert "&lt;/textarea&gt;" in back.text
    assert 'id="problem-name"' in back.text
    assert 'id="problem-rounds"' in back.text


def test_a_file_is_taken_as_the_module_and_one_that_is_no_text_is_told(talk: tuple[TestClient, Site]) -> None:
    client = talk[0]
    sent = client.post(
        "/submit",
        data={"name": "filed", "rounds": "1"},
        files={"file": ("m.py", MODULE.encode())},
        follow_redirects=False,
    )
    assert sent.status_code == 303
    assert talk[1].store.run(sent.headers["location"].removeprefix("/runs/")).task.source == MODULE
    back = client.post("/submit", data={"name": "filed"}, files={"file": ("m.py", b"\xff\xfe\x00")})
    assert back.status_code == 422
    assert "no UTF-8 text" in back.text


def test_added_workloads_of_a_form_are_read_by_line(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    sent = client.post(
        "/submit", data={"source": MODULE, "workloads": "nan\r\nnormal ROWS=7 seeds=3 strided"}, follow_redirects=False
    )
    task = site.store.run(sent.headers["location"].removeprefix("/runs/")).task
    assert [(w.distribution.value, w.seeds, w.strided, w.sizes) for w in task.workloads[-2:]] == [
        ("nan", 1, False, ()), ("normal", 3, True, (("ROWS", 7),)),
    ]  # fmt: skip
    back = client.post("/submit", data={"source": MODULE, "workloads": "normal ROWS=many"})
    assert back.status_code == 422
    assert 'id="problem-workloads"' in back.text


def test_what_was_offered_is_what_is_told(talk: tuple[TestClient, Site]) -> None:
    offer = talk[0].get("/api/v1/submit").json()
    assert offer["models"] == ["openai:some"]
    assert offer["most_rounds"] == 20
    assert "H200" in {each["value"] for each in offer["gpus"]}


def test_places_of_this_machine_are_not_told(talk: tuple[TestClient, Site], tmp_path: Path) -> None:
    told = talk[0].post("/api/v1/inspections", json={"source": MODULE + '\nTWIN = {"ROWS": 1, "NONE": 2}\n'}).text
    assert "/tmp" not in told
