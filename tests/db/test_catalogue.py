"""The catalogue: one row a place, the evaluation that counts, the same whether kept up to date or filled anew, found by all it says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from search_doubles import DEVICE, EPOCH, attempt, evaluation, run
from sqlalchemy import delete, select, text

from kernelwright.bench_tasks.task import Task
from kernelwright.db.catalogue_fill import fill_catalogue
from kernelwright.db.catalogue_models import CatalogueRow, TaskTraitsRow
from kernelwright.db.catalogue_search import FEW, FoundKernels, Order, Wanted
from kernelwright.db.search_terms import asked_words, fact, words_of
from kernelwright.db.store import Store
from kernelwright.errors import MisuseError
from kernelwright.rl.archive.features import TAGS
from kernelwright.sandbox.kernel import Kernel
from kernelwright.verifier.evaluation import Evaluation, Timing, TimingKind, Verdict

MODELLED, MEASURED = TimingKind.MODELLED, TimingKind.MEASURED
CUDA = DEVICE.model_copy(update={"kind": "cuda", "name": "NVIDIA H200"})
AMPERE = DEVICE.model_copy(update={"gpu": "A100 80GB", "arch": "sm_80"})


def ticking() -> Any:
    seconds = count()
    return lambda: EPOCH + timedelta(seconds=next(seconds))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=ticking()) as opened:
        yield opened


def task(name: str, expression: str, shape: str = "1024, 512", dtype: str = "") -> Task:
    made = f", dtype=torch.{dtype}" if dtype else ""
    return Task(
        name,
        f"import torch\nfrom torch.nn import functional as F\nclass Model(torch.nn.Module):\n    def forward(self, x):\n"
        f"        return {expression}\ndef get_inputs():\n    return [torch.randn({shape}{made})]\n",
    )


SOFTMAX = task("row softmax", "torch.softmax(x, -1)")
PRODUCT = task("product", "x @ F.relu(x)", "(64, 64)", "float16")


def kernel(number: int, body: str = "", author: str = "ada") -> Kernel:
    return Kernel(f"class ModelNew: version = {number}\nSOURCE = r'''{body}'''\n", author)


def judged(candidate: Kernel, outcome: float | Verdict, on: Task = SOFTMAX, device: Any = DEVICE) -> Evaluation:
    changes: dict[str, Any] = {"device": device, "seconds": next(_WALL)}
    if not isinstance(outcome, Verdict):
        kind = MEASURED if device.kind == "cuda" else MODELLED
        changes["timing"] = Timing(
            kind=kind,
            gpu=device.gpu,
            seconds=outcome,
            baseline_seconds=3e-5,
            bound_seconds=1e-6,
            speedup_low=1.5 * outcome,
        )
    return evaluation(candidate, outcome, on, **changes)


_WALL = (0.5 + 1e-6 * number for number in count())


def put(store: Store, candidate: Kernel, outcome: float | Verdict, on: Task = SOFTMAX, device: Any = DEVICE) -> str:
    return store.add_evaluation(on, candidate, judged(candidate, outcome, on, device))


def rows(store: Store) -> dict[tuple[str, ...], dict[str, Any]]:
    with store._reading() as session:
        found = session.scalars(select(CatalogueRow)).all()
        names = [c.name for c in CatalogueRow.__table__.columns if c.name not in ("id", "terms")]
        return {
            (r.kernel_id, r.task_id, r.gpu, r.timing_kind): {n: getattr(r, n) for n in names}
            | {"terms": set(r.terms.split())}
            for r in found
        }


def ids(found: FoundKernels) -> list[str]:
    return [each.kernel_id for each in found.kernels]


class TestRows:
    def test_the_fastest_that_passed_counts(self, store: Store) -> None:
        put(store, kernel(1), Verdict.COMPILE_ERROR)
        put(store, kernel(1), 2e-5)
        best = put(store, kernel(1), 1e-5)
        put(store, kernel(1), 3e-5)
        (found,) = store.find_kernels(Wanted(MODELLED)).kernels
        assert (found.evaluation_id, found.evaluations, found.seconds) == (best, 4, 1e-5)
        assert found.score == pytest.approx(3.0)

    def test_the_same_evaluation_again_counts_once(self, store: Store) -> None:
        one = judged(kernel(1), 1e-5)
        for _ in range(2):
            store.add_evaluation(SOFTMAX, kernel(1), one)
        assert [each.evaluations for each in store.find_kernels(Wanted(MODELLED)).kernels] == [1]

    @pytest.mark.parametrize("grave", [Verdict.CHEATING, Verdict.UNSAFE, Verdict.WRONG])
    @pytest.mark.parametrize("first", [True, False])
    def test_what_was_found_out_counts_whatever_passed(self, store: Store, grave: Verdict, first: bool) -> None:
        for outcome in (grave, 1e-6) if first else (1e-6, grave):
            put(store, kernel(1), outcome)
        (found,) = store.find_kernels(Wanted(MODELLED)).kernels
        assert (found.verdict, found.score, found.seconds) == (grave, 0.0, 1e-6)

    def test_cheating_counts_everywhere_and_being_wrong_on_its_task(self, store: Store) -> None:
        for number, grave in ((1, Verdict.CHEATING), (2, Verdict.WRONG)):
            put(store, kernel(number), 1e-5)
            put(store, kernel(number), 1e-5, PRODUCT)
            put(store, kernel(number), grave, SOFTMAX, AMPERE)
            put(store, kernel(number), 1e-5, SOFTMAX, CUDA)  # judged after that
        found = {(r["kernel_id"], r["task_id"], r["gpu"], r["timing_kind"]): r["verdict"] for r in rows(store).values()}
        assert {found[kernel(1).id, *rest] for _, *rest in found} == {"cheating"}
        assert {v for (k, t, *_), v in found.items() if k == kernel(2).id and t == SOFTMAX.id} == {"wrong"}
        assert {v for (k, t, *_), v in found.items() if k == kernel(2).id and t == PRODUCT.id} == {"passed"}

    @pytest.mark.parametrize("seed", range(12))
    def test_kept_up_to_date_it_is_as_filled_anew_and_as_counted_by_hand(self, store: Store, seed: int) -> None:
        rng = random.Random(seed)
        said: list[tuple[Kernel, Task, Any, float | Verdict, str]] = []
        for _ in range(40):
            grave = rng.random() < 0.1
            outcome = rng.choice([*Verdict][1:]) if grave or rng.random() < 0.3 else rng.randint(1, 5) * 1e-5
            on, device = rng.choice([SOFTMAX, PRODUCT]), rng.choice([DEVICE, CUDA, AMPERE])
            candidate = kernel(rng.randint(1, 6))
            said.append((candidate, on, device, outcome, put(store, candidate, outcome, on, device)))
        kept = rows(store)
        for (kernel_id, task_id, gpu, kind), row in kept.items():
            here = [
                s for s in said
                if (s[0].id, s[1].id, s[2].gpu, "measured" if s[2].kind == "cuda" else "modelled") == (kernel_id, task_id, gpu, kind)
            ]  # fmt: skip
            passed = [s for s in here if isinstance(s[3], float)]
            everywhere = {s[3] for s in said if s[0].id == kernel_id} & {Verdict.CHEATING, Verdict.UNSAFE}
            mine = everywhere | ({s[3] for s in said if s[0].id == kernel_id and s[1].id == task_id} & {Verdict.WRONG})
            assert row["evaluations"] == len(here)
            if passed:
                assert row["evaluation_id"] == min(passed, key=lambda s: s[3])[4]
            if mine:
                assert row["verdict"] in mine
            else:
                assert (row["verdict"] == "passed") == bool(passed)
        with store._writing() as session:
            session.execute(delete(CatalogueRow))
            session.execute(delete(TaskTraitsRow))
            fill_catalogue(session.connection())
        assert rows(store) == kept

    def test_a_plan_is_found_and_found_again_after_filling(self, store: Store) -> None:
        store.create_run(run(task=SOFTMAX))
        store.add_attempt(replace(attempt("softmax-7k3f9q", 1, 1e-5, SOFTMAX), plan="Split-K with Winograd tiles"))
        kept = rows(store)
        assert len(ids(store.find_kernels(Wanted(MODELLED, words="winograd")))) == 1
        with store._writing() as session:
            session.execute(delete(CatalogueRow))
            session.execute(delete(TaskTraitsRow))
            fill_catalogue(session.connection())
        assert rows(store) == kept

    def test_text_is_no_fact(self, store: Store) -> None:
        liar = Kernel("class ModelNew: version = 9\n", fact("arch", "sm_100") + " " + fact("verdict", "cheating"))
        put(store, liar, 1e-5)
        assert ids(store.find_kernels(Wanted(MODELLED, arch="sm_100"))) == []
        assert ids(store.find_kernels(Wanted(MODELLED, verdict="cheating", operation="softmax"))) == []
        assert ids(store.find_kernels(Wanted(MODELLED, operation="softmax"))) == [liar.id]

    def test_full_text_is_whole(self, store: Store) -> None:
        """FTS5's own check, which compares it with the table."""
        for number in range(5):
            put(store, kernel(number), 1e-5)
            put(store, kernel(number), Verdict.WRONG)
        with store._writing() as session:
            session.execute(text("INSERT INTO catalogue_fts(catalogue_fts, rank) VALUES ('integrity-check', 1)"))


def fill(store: Store) -> None:
    put(store, kernel(1, "__global__ void row_reduce(float4* x) { __shfl_xor_sync(1, 2, 3); }"), 1e-5)
    put(store, kernel(2, "__shared__ float tile[32]; // float4 would be faster"), 2e-5)
    put(store, kernel(3, author="bob"), 1e-5, PRODUCT)
    put(store, kernel(4), Verdict.CRASHED, PRODUCT)
    put(store, kernel(5), 1.5e-5, SOFTMAX, AMPERE)
    put(store, kernel(6), 1e-5, SOFTMAX, CUDA)


class TestFinding:
    @pytest.fixture(scope="class")
    @classmethod
    def store(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
        with Store(tmp_path_factory.mktemp("found") / "k.db", clock=ticking()) as opened:
            fill(opened)
            yield opened

    @pytest.mark.parametrize(
        ("chosen", "numbers"),
        [
            ({}, [1, 2, 3, 4, 5]),
            ({"operation": "softmax"}, [1, 2, 5]),
            ({"operation": "F.softmax"}, [1, 2, 5]),
            ({"operation": "nn.ReLU"}, [3, 4]),
            ({"operation": "@"}, [3, 4]),
            ({"operation": "conv2d"}, []),
            ({"shape": "(1024, 512)"}, [1, 2, 5]),
            ({"shape": "1024x512"}, [1, 2, 5]),
            ({"shape": "64"}, [3, 4]),
            ({"shape": "none"}, []),
            ({"dtype": "half"}, [3, 4]),
            ({"dtype": "torch.float32"}, [1, 2, 5]),
            ({"technique": "vectorised"}, [1]),
            ({"technique": "shared_tiling"}, [2]),
            ({"gpu": "A100 80GB"}, [5]),
            ({"arch": "sm_80"}, [5]),
            ({"arch": "sm_90", "operation": "softmax"}, [1, 2]),
            ({"author": "bob"}, [3]),
            ({"verdict": "crashed"}, [4]),
            ({"task_id": SOFTMAX.id}, [1, 2, 5]),
            ({"words": "soft"}, [1, 2, 5]),
            ({"words": "ROW softmax"}, [1, 2, 5]),
            ({"words": "RowReduce"}, [1]),
            ({"words": "row_reduce softmax"}, [1]),
            ({"words": "bob"}, [3]),
            ({"words": "a100"}, [5]),
            ({"words": "reduce bob"}, []),
            ({"words": "%"}, []),
        ],
    )
    def test_by_what_it_is(self, store: Store, chosen: dict[str, str], numbers: list[int]) -> None:
        by_id = {kernel_id: n for n in range(7) for kernel_id in _ids_of(n)}
        for order in Order:
            found = store.find_kernels(Wanted(MODELLED, **chosen), order)
            assert sorted(by_id[one] for one in ids(found)) == numbers
            if found.count is not None:
                assert found.count == len(numbers)

    def test_kinds_of_time_are_apart(self, store: Store) -> None:
        assert ids(store.find_kernels(Wanted(MEASURED))) == [kernel(6).id]
        assert store.timing_kinds() == [MEASURED, MODELLED]

    def test_order(self, store: Store) -> None:
        found = store.find_kernels(Wanted(MODELLED)).kernels
        assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
        newest = store.find_kernels(Wanted(MODELLED), Order.NEWEST).kernels
        assert [each.created for each in newest] == sorted((each.created for each in newest), reverse=True)

    @pytest.mark.parametrize("order", Order)
    @pytest.mark.parametrize("chosen", [{}, {"operation": "softmax"}, {"arch": "sm_90"}])
    def test_pages_are_the_list(self, store: Store, order: Order, chosen: dict[str, str]) -> None:
        wanted = Wanted(MODELLED, **chosen)
        whole, pages, after = ids(store.find_kernels(wanted, order)), [], ""
        while True:
            page = store.find_kernels(wanted, order, after, limit=2)
            pages += ids(page)
            after = page.after
            if not after:
                break
        assert pages == whole

    @pytest.mark.parametrize(
        "after", ["x", "1.0~", "nan~3", "1e999~1", "-1.0~3", "3.0~99999999999999999999", "7", "~7", "1.0~٣"]
    )
    def test_no_place_of_the_list(self, store: Store, after: str) -> None:
        with pytest.raises(MisuseError, match="no page"):
            store.find_kernels(Wanted(MODELLED), Order.SPEEDUP, after)

    @pytest.mark.parametrize(
        "hostile",
        ['"', "'", "*", "soft*", 'soft" OR "a', "NEAR(a b)", "a AND NOT b", "terms:soft", "-soft", "^soft", "soft_max%", ":*", "'; DROP",
         "\x00", "\ud800", "soft\u202e", "(", "& |", "!soft", "<->", "ß", "日本", "0f" + "0" * 12, "a" * 5000, "_" * 4000],
    )  # fmt: skip
    def test_syntax_of_a_search_is_only_text(self, store: Store, hostile: str) -> None:
        for name in (
            "words",
            "operation",
            "shape",
            "dtype",
            "technique",
            "gpu",
            "arch",
            "author",
            "verdict",
            "task_id",
        ):
            for order in Order:
                found = store.find_kernels(Wanted(MODELLED, **{name: hostile}), order)
                assert {each.task_id for each in found.kernels} <= {SOFTMAX.id, PRODUCT.id}

    def test_facets_count_what_is_found(self, store: Store) -> None:
        told = store.facets(MODELLED)
        assert told.kernels == 5
        for name, choices in (("gpu", told.gpus), ("arch", told.arches), ("verdict", told.verdicts), ("author", told.authors),
                              ("technique", told.techniques), ("operation", told.operations), ("dtype", told.dtypes)):  # fmt: skip
            for value, number in choices.items():
                assert len(ids(store.find_kernels(Wanted(MODELLED, **{name: value})))) == number, (name, value)
        counts = store.find_kernels(Wanted(MODELLED, operation="softmax")).counts
        assert counts["gpu"] == {"H200": 2, "A100 80GB": 1}
        assert counts["technique"] == {"vectorised": 1, "warp_shuffles": 1, "shared_tiling": 1}


def _ids_of(number: int) -> list[str]:
    bodies = [
        "",
        "__global__ void row_reduce(float4* x) { __shfl_xor_sync(1, 2, 3); }",
        "__shared__ float tile[32]; // float4 would be faster",
    ]
    return [kernel(number, body).id for body in bodies] + [kernel(number, author="bob").id]


def test_many_are_gone_along_and_few_are_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give one list: the limit between them is set so that each is taken."""
    for number in range(30):
        put(
            store,
            kernel(number, "__shared__ int x;" if number % 3 else ""),
            (1 + number % 7) * 1e-5,
            device=[DEVICE, AMPERE][number % 2],
        )
    wanted = [
        Wanted(MODELLED, technique="shared_tiling"), Wanted(MODELLED, words="softmax"), Wanted(MODELLED, arch="sm_80"),
        Wanted(MODELLED, words="soft", arch="sm_80", technique="shared_tiling"),
    ]  # fmt: skip
    assert FEW == 1000
    counted = {(w, o): store.find_kernels(w, o, limit=7) for w in wanted for o in Order}
    assert all(found.count is not None for found in counted.values())
    monkeypatch.setattr("kernelwright.db.catalogue_search.FEW", 1)
    for (one, order), found in counted.items():
        along = store.find_kernels(one, order, limit=7)
        assert along.count is None
        assert ids(along) == ids(found)
        second = store.find_kernels(one, order, along.after, limit=7)
        assert ids(second) == ids(store.find_kernels(one, order, limit=14))[7:]


def test_words() -> None:
    assert words_of("row_softmax LayerNorm") == ["row", "softmax", "layernorm", "layer", "norm"]
    assert asked_words("LayerNorm H200 row_softmax") == ["layer", "norm", "h200", "row", "softmax"]
    assert set(asked_words("naïve")) <= set(words_of("a naïve one"))
    assert all(word.isascii() and word.isalnum() for word in words_of("日本 naïve ÅB 'x' \u202e \ud800 x₂"))


@pytest.mark.parametrize("tag", TAGS)
def test_each_technique_has_a_text_that_speaks_of_it(tag: str) -> None:
    from kernelwright.rl.archive.techniques import techniques_of

    texts = {
        "vectorised": "reinterpret_cast<const float4*>(x)[i]",
        "shared_tiling": "__shared__ float tile[32][33];",
        "tensor_cores": 'asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 ...");',
        "cp_async": 'asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(a), "l"(b));',
        "warp_shuffles": "v += __shfl_down_sync(0xffffffff, v, 16);",
        "atomics": "atomicAdd(out, v);",
        "persistent_grid": "for (int i = blockIdx.x; i < n; i += gridDim.x) {}",
        "several_launches": "__global__ void a() {}\n__global__ void b() {}",
    }
    assert techniques_of(texts[tag]) == (tag,)
    assert techniques_of(f"// {texts[tag].splitlines()[0]}\n# {texts[tag].splitlines()[-1]}\n/* {texts[tag]}") == ()


@pytest.mark.parametrize(
    "text", ["/*" * 200_000, "+=" * 200_000, "#" * 300_000, " " * 400_000, "__global__ " * 1, "a" * 1_000_000]
)
def test_a_hostile_source_costs_no_time(text: str) -> None:
    """These took minutes with patterns that go back and forth; the suite's time limit is the bound."""
    from kernelwright.db.catalogue import _classes
    from kernelwright.rl.archive.techniques import techniques_of

    techniques_of(text)
    _classes("__global__ " * 30_000 + text)
