"""A kernel's page and the files that are taken away from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judged_attempts import EVIL, RUN, fill, judged, timing
from search_doubles import EPOCH, TASK, evaluation, run
from starlette.testclient import TestClient
from web_pages import Page
from web_site import settings_for, talking

from kernelwright.export import kernel_file
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.bundle import read
from kernelwright.verifier.evaluation import DeviceInfo, TimingKind, Verdict
from kernelwright.web.context import Site

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

CUPY = '''import cupy
import torch

CODE = r"""
extern "C" __global__ void scale(const float* __restrict__ x, float* y, int n, float by) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * by;
}
"""
KERNEL = cupy.RawModule(code=CODE, options=("--std=c++17",)).get_function("scale")


class ModelNew(torch.nn.Module):
    def forward(self, x):
        y = torch.empty_like(x)
        with cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream):
            KERNEL((1,), (256,), (x.data_ptr(), y.data_ptr(), cupy.int32(x.numel()), cupy.float32(2.0)))
        return y
'''


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[tuple[TestClient, Site]]:
    with talking(settings_for(tmp_path)) as both:
        yield both


def stored(site: Site, source: str = CUPY, words: str = "") -> Kernel:
    """A kernel that was judged outside of a run."""
    kernel = Kernel(source, f"somebody {words}")
    task = replace(TASK, name=f"soft max/{words}")
    site.store.add_evaluation(task, kernel, judged(kernel, 10e-6, words=words))
    return kernel


def test_where_it_came_from_and_what_came_of_it(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    first, second, third, fourth = fill(site.store)
    found = client.get(f"/api/v1/kernels/{third.kernel.id[:12]}").json()
    assert found["id"] == third.kernel.id
    assert found["parents"] == [{"id": first.kernel.id, "stored": True}]
    assert found["children"] == [fourth.kernel.id]
    assert [(each["run_id"], each["number"]) for each in found["makers"]] == [(RUN, 3)]
    assert (found["main"]["verdict"], found["main"]["seconds"], found["main"]["seconds_low"]) == ("passed", 10e-6, 9e-6)
    assert found["main"]["timing_kind"] == "modelled"
    assert sorted(client.get(f"/api/v1/kernels/{first.kernel.id}").json()["children"]) == sorted(
        [second.kernel.id, third.kernel.id]
    )
    assert client.get(f"/api/v1/kernels/{fourth.kernel.id}").json()["parents"][1] == {"id": "f" * 16, "stored": False}
    shown = Page(client.get(f"/kernels/{third.kernel.id}").text)
    assert shown.inert()
    assert f"/runs/{RUN}/attempts/3" in shown.links


def test_what_stands_for_it_is_what_passed_and_was_measured(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    kernel = Kernel(CUPY, "x")
    gpu = DeviceInfo(kind="cuda", name="NVIDIA H200", gpu="H200", arch="sm_90", isolation="process")
    site.store.add_evaluation(TASK, kernel, evaluation(kernel, Verdict.WRONG))
    ask = f"/api/v1/kernels/{kernel.id}"
    assert client.get(ask).json()["main"]["verdict"] == "wrong"
    measured = evaluation(kernel, 9e-6, device=gpu, timing=timing(9e-6, TimingKind.MEASURED))
    best = site.store.add_evaluation(TASK, kernel, measured)
    site.store.add_evaluation(TASK, kernel, evaluation(kernel, 8e-6))
    assert client.get(ask).json()["main"]["evaluation_id"] == best
    assert len(client.get(ask).json()["judgements"]) == 3


@pytest.mark.parametrize("base", ["", "/api/v1"])
def test_the_python_file_is_the_one_that_the_program_writes(talk: tuple[TestClient, Site], base: str) -> None:
    client, site = talk
    kernel = stored(site)
    answer = client.get(f"{base}/kernels/{kernel.id}/download")
    when = site.store.stored_evaluation(client.get(f"/api/v1/kernels/{kernel.id}").json()["main"]["evaluation_id"])
    task = site.store.task(TASK.id)
    assert answer.text == kernel_file(task, kernel, when.evaluation, when.created)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'attachment; filename="soft_max-{kernel.id}.py"'
    assert answer.text.endswith(CUPY)


def test_the_other_forms(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    kernel = stored(site)
    inline = client.get(f"/kernels/{kernel.id}/download?form=load_inline")
    assert inline.headers["content-disposition"].endswith(f'{kernel.id}_inline.py"')
    compile(inline.text, "inline", "exec")
    assert "cupy." not in inline.text.split("\nimport", 1)[1]
    cuda = client.get(f"/kernels/{kernel.id}/download?form=cu")
    assert cuda.headers["content-disposition"].endswith(f'{kernel.id}.cu"')
    assert "// scale<<<dim3(128, 1, 1), dim3(256, 1, 1), 0>>>(const float* x, float* y, int n, float by);" in cuda.text
    assert "__global__ void scale(" in cuda.text
    assert client.get(f"/kernels/{kernel.id}/download?form=exe").status_code == 422


@pytest.mark.parametrize("form", ["load_inline", "cu"])
def test_a_form_that_is_not_possible_says_why(talk: tuple[TestClient, Site], form: str) -> None:
    client, site = talk
    kernel = stored(site, CUPY.replace("code=CODE", "code=CODE.replace('scale', chr(97))"))
    answer = client.get(f"/api/v1/kernels/{kernel.id}/download?form={form}")
    assert answer.status_code == 422
    assert "run time" in answer.json()["error"]["message"]
    page = client.get(f"/kernels/{kernel.id}/download?form={form}")
    assert page.status_code == 422
    assert "run time" in Page(page.text).text


def test_names_in_headers_and_comments_are_harmless(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    words = f'"; filename="../../evil.sh\r\nSet-Cookie: a=b\\\n{EVIL}'
    kernel = stored(site, words=words)
    for form in ("python", "load_inline", "cu"):
        answer = client.get(f"/kernels/{kernel.id}/download?form={form}")
        assert re.fullmatch(r'attachment; filename="[\w.-]+"', answer.headers["content-disposition"])
        assert "set-cookie" not in answer.headers
        mark = "//" if form == "cu" else "#"
        head = answer.text.split("\n\n")[0].split("\n")
        assert all(line.startswith(mark) and not line.endswith("\\") for line in head)
    assert Page(client.get(f"/kernels/{kernel.id}").text).inert()


def test_the_bundle_holds_the_evaluation(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    kernel = stored(site)
    answer = client.get(f"/kernels/{kernel.id}/evidence")
    bundle = read(answer.content).bundle
    assert bundle is not None
    assert (bundle.kernel, bundle.task.id) == (kernel, TASK.id)
    assert bundle.evaluation == judged(kernel, 10e-6)
    assert answer.headers["content-type"] == "application/octet-stream"


def test_the_bundle_has_the_limits_of_its_run(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    first, *_ = fill(site.store)
    own = replace(run("other-1"), settings={"call_seconds": 7.5, "memory_bytes": 1 << 31})
    site.store.create_run(own)
    kernel = Kernel(CUPY, "x")
    site.store.add_attempt(
        replace(first, run_id="other-1", kernel=kernel, evaluation=judged(kernel, 1e-5), created=EPOCH)
    )
    bundle = read(client.get(f"/kernels/{kernel.id}/evidence").content).bundle
    assert bundle is not None
    assert (bundle.limits.call_seconds, bundle.limits.memory_bytes) == (7.5, 1 << 31)


@pytest.mark.parametrize("path", ["/kernels/%00", "/kernels/%00/download", "/kernels/a/evidence?evaluation=%00", "/compare?a=%00",
                                  "/runs/%00/lineage", "/runs/%00/attempts/1"])  # fmt: skip
def test_a_character_that_no_database_takes_is_refused(talk: tuple[TestClient, Site], path: str) -> None:
    client, _ = talk
    assert client.get(path).status_code == 422
    assert client.get(f"/api/v1{path}").status_code == 422


def test_what_is_not_there(talk: tuple[TestClient, Site]) -> None:
    client, site = talk
    kernel, other = stored(site), stored(site, CUPY + "# other\n")
    foreign = client.get(f"/api/v1/kernels/{other.id}").json()["main"]["evaluation_id"]
    for path in ("none", "none/download", "none/evidence", f"{kernel.id}/evidence?evaluation={foreign}",
                 f"{kernel.id}/download?evaluation={foreign}"):  # fmt: skip
        assert client.get(f"/kernels/{path}").status_code == 404
        assert client.get(f"/api/v1/kernels/{path}").json()["error"]["kind"] == "NotFoundError"
