"""Money: against the server's own tally, to the last digit; never more than the budget; nothing paid twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_calls import request
from search_doubles import EPOCH, run

from kernelwright.agents.models.paid import PaidModel, Purse, dollars_text, input_bound
from kernelwright.agents.models.prices import Price, Prices, Rate
from kernelwright.agents.models.protocol import Message, Reply, Request, Usage
from kernelwright.agents.models.provider import Answer, Patience, Provider
from kernelwright.db.store import Store
from kernelwright.errors import BudgetReached, ConfigError, ModelError

RUN = "softmax-7k3f9q"
CALLS = 80
RATE = Rate(Decimal(2), Decimal("0.1"), Decimal("2.5"), Decimal(10))
PRICES = Prices((("*", Price(RATE)),), Path("prices.toml"))
TEXT = "PLAN: one row a block\n```python\nprint('ünïcode ✓ 𝄞')\n```\n"
each = pytest.mark.parametrize("provider", ["openai", "anthropic", "compatible"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "k.db", clock=lambda: EPOCH) as opened:
        opened.create_run(run())
        yield opened


def paid(client: Provider, store: Store, budget: Decimal | Purse | None = None, prices: Prices = PRICES) -> PaidModel:
    return PaidModel(client, store, RUN, prices, budget, lambda: EPOCH)


@each
def test_a_reply_is_stored_with_what_it_cost(start: Any, store: Store, provider: str) -> None:
    usage = {"input": 1200, "cache_read": 1000, "cache_write": 50, "output": 40, "reasoning": 30}
    room = start({"replies": [{"text": TEXT, "usage": usage}]})
    model = paid(room.client(provider), store, Decimal(5))
    reply = model.complete(request())
    (call,) = store.calls(RUN)
    assert (call.reply, call.request, call.error, call.estimated) == (reply, request(), "", False)
    assert call.model == model.name == room.client(provider).name
    assert call.usage == Usage(1200, 1000, 50, 40, 30)
    assert call.dollars == Decimal("0.0024") + Decimal("0.0001") + Decimal("0.000125") + Decimal("0.0004")
    assert model.purse.spent == store.spent(RUN) == call.dollars


def test_a_person_is_told_of_waits_worth_telling(start: Any, store: Store) -> None:
    faults = [{"fault": {"kind": "rate_limit", "retry_after": 7}}, {"fault": {"kind": "rate_limit", "retry_after": 0}}]
    room = start({"replies": [*faults, {"text": "well"}]})
    told: list[str] = []
    client = room.client("openai")
    client.patience = replace(client.patience, sleep=lambda _seconds: None)
    model = PaidModel(client, store, RUN, PRICES, None, lambda: EPOCH, told=told.append)
    assert model.complete(request()).text == "well"
    (words,) = told
    assert "429" in words
    assert words.endswith("Trying again in 7 s.")


@each
def test_an_answered_place_is_not_paid_again_whatever_is_asked_there(start: Any, store: Store, provider: str) -> None:
    room = start({"replies": [{"text": "first"}, {"text": "second"}]})
    first = paid(room.client(provider), store).complete(request())
    again = paid(room.client(provider), store, Decimal(0)).complete(request(text="something else"))
    assert again == first
    assert paid(room.client(provider), store).complete(request(turn=1)).text == "second"
    assert len(room.server.tally().calls) == 2


@each
def test_faults_are_paid_as_the_server_charges_or_more(start: Any, store: Store, provider: str) -> None:
    """Eighty calls, every third request struck, by each kind twice or more: all are answered, and the books are the server's."""
    kinds = ["rate_limit", "drop_mid", "server_error", "truncated_json", "overloaded", "not_json", "drop_before", "empty",
             "refusal", "huge", "wrong_usage", "no_code_fence"]  # fmt: skip
    room = start({"faults": {"every": 3, "kinds": kinds}, "replies": [{"text": TEXT, "times": "forever"}]}, tries=6)
    model = paid(room.client(provider), store, Decimal(1000))
    for number in range(1, CALLS + 1):
        model.complete(request(number, text=f"Attempt {number}."))
    calls = store.calls(RUN)
    assert sorted(call.place.attempt for call in calls if call.reply is not None) == list(range(1, CALLS + 1))
    served = room.server.tally().calls
    assert len(calls) == len(served)
    for call, theirs in zip(calls, served, strict=True):
        charge = RATE.cost(theirs.charged)
        if call.estimated:
            assert call.dollars >= charge
            assert theirs.fault in {"drop_mid", "truncated_json", "wrong_usage"}
        else:
            assert call.dollars == charge, theirs.fault
            assert call.usage == theirs.charged
    assert any(call.estimated for call in calls)
    assert room.server.tally().repeated == 0
    assert model.purse.spent == store.spent(RUN) == sum(call.dollars for call in calls)


@each
def test_a_broken_call_is_stored_with_an_upper_estimate(start: Any, store: Store, provider: str) -> None:
    room = start({"replies": [{"text": TEXT, "fault": "drop_mid"}, {"text": TEXT}]})
    paid(room.client(provider), store).complete(request(max_output_tokens=3000))
    broken, whole = store.calls(RUN)
    assert (broken.reply, broken.estimated, broken.usage.output_tokens) == (None, True, 3000)
    assert "before its end" in broken.error or "connection broke" in broken.error
    theirs = room.server.tally().calls[0]
    if provider == "anthropic":  # it reports the input first
        assert broken.usage.input_tokens == theirs.charged.input_tokens
    else:
        assert broken.usage.cache_write_tokens == input_bound(request())
    assert (whole.estimated, whole.error) == (False, "")


def test_a_call_that_is_refused_costs_nothing_and_is_stored(start: Any, store: Store) -> None:
    room = start({"replies": [{"fault": {"kind": "bad_status", "status": 403}}]})
    with pytest.raises(ModelError, match="403"):
        paid(room.client("openai"), store).complete(request())
    (call,) = store.calls(RUN)
    assert (call.reply, call.dollars, call.estimated, call.usage) == (None, 0, False, Usage())
    assert "answered 403" in call.error


def test_a_server_that_reports_nothing(start: Any, store: Store) -> None:
    room = start({"replies": [{"text": TEXT, "fault": "wrong_usage"}]})
    reply = paid(room.client("compatible"), store).complete(request())
    (call,) = store.calls(RUN)
    assert call.estimated
    assert call.usage == reply.usage
    assert call.usage.output_tokens == len(TEXT.encode())
    assert call.dollars >= RATE.cost(room.server.tally().charged())


class TestBudget:
    def test_the_call_that_could_pass_it_is_not_made(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": TEXT, "times": "forever"}]})
        model = paid(room.client("openai"), store, Decimal("0.05"))
        with pytest.raises(
            BudgetReached, match=r"budget of \$0\.05 .* are spent, and the next call could cost \$0\.0"
        ) as caught:
            [model.complete(request(number)) for number in range(1, 1000)]
        assert "resume" in caught.value.mend
        assert "--budget" in caught.value.mend
        assert 0 < store.spent(RUN) <= Decimal("0.05")
        assert len(store.calls(RUN)) == len(room.server.tally().calls)

    def test_what_was_spent_before_counts(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": TEXT, "times": "forever", "usage": {"output": 4000}}]})
        paid(room.client("openai"), store).complete(request())
        with pytest.raises(BudgetReached):
            paid(room.client("openai"), store, Decimal("0.05")).complete(request(2))
        assert paid(room.client("openai"), store, Decimal("0.10")).complete(request(2)).text == TEXT

    def test_fewer_output_tokens_are_asked_for_before_giving_up(self, start: Any, store: Store) -> None:
        """Output at ten dollars a million: two cents and what the input may cost allow 2,048 tokens, not 16,384."""
        room = start({"replies": [{"text": "x" * 40_000}]})
        base = RATE.cache_write * input_bound(request()) / 10**6
        reply = paid(room.client("openai"), store, base + Decimal("0.025")).complete(request())
        assert (reply.stop_reason, reply.usage.output_tokens) == ("length", 2500)
        assert store.calls(RUN)[0].request == request(max_output_tokens=2500)
        with pytest.raises(BudgetReached):
            paid(room.client("openai"), store, store.spent(RUN) + base + Decimal("0.02047")).complete(request(2))

    def test_a_short_request_needs_no_more_than_it_asks(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": "ok"}]})
        base = RATE.cache_write * input_bound(request()) / 10**6
        model = paid(room.client("openai"), store, base + Decimal("0.001"))
        assert model.complete(request(max_output_tokens=100)).text == "ok"

    def test_nothing_is_free_with_no_money(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": "ok"}]})
        with pytest.raises(BudgetReached, match=r"budget of \$0\.00"):
            paid(room.client("openai"), store, Decimal(0)).complete(request())
        assert room.server.tally().calls == ()

    def test_coder_and_judge_share_one_purse(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": TEXT, "times": "forever", "usage": {"output": 3000}}]})
        purse = Purse(Decimal("0.07"))
        coder, judge = paid(room.client("openai"), store, purse), paid(room.client("anthropic"), store, purse)
        coder.complete(request(1))
        with pytest.raises(BudgetReached):
            [judge.complete(request(number, "judge")) for number in range(1, 10)]
        assert store.spent(RUN) == purse.spent <= Decimal("0.07")

    def test_a_model_without_a_price(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": "ok"}]})
        none = Prices((), Path("/home/me/prices.toml"))
        with pytest.raises(ConfigError, match="needs the price of openai:m") as caught:
            paid(room.client("openai"), store, Decimal(1), none)
        assert "/home/me/prices.toml" in caught.value.mend
        model = paid(room.client("openai"), store, None, none)
        assert "count as $0" in model.note
        model.complete(request())
        (call,) = store.calls(RUN)
        assert call.dollars == 0
        assert call.usage.output_tokens > 0

    def test_many_threads_never_pass_it(self, start: Any, store: Store) -> None:
        room = start({"replies": [{"text": TEXT, "times": "forever", "usage": {"output": 2500}}]}, model_concurrency=8)
        model = paid(room.client("openai"), store, Decimal("0.30"))
        reached: list[int] = []

        def ask(number: int) -> None:
            try:
                model.complete(request(number))
            except BudgetReached:
                reached.append(number)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 21)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        spent = store.spent(RUN)
        assert spent == RATE.cost(room.server.tally().charged()) <= Decimal("0.30")
        # it stopped for want of money, not because others had some set aside: one more call does not fit
        assert reached
        assert spent + Decimal("0.025") + Decimal("0.0025") > Decimal("0.30")


class Interrupted(Provider):
    """A server that a person does not wait for."""

    def __init__(self, ask: Callable[[], Reply]) -> None:
        super().__init__("test:m", gate=threading.Semaphore(), patience=Patience(sleep=lambda _: None))
        self._do = ask

    def _ask(self, request: Request) -> Answer:
        return Answer(self._do())

    def close(self) -> None: ...


def test_ctrl_c_in_a_call_is_on_the_books(store: Store) -> None:
    def ask() -> Reply:
        raise KeyboardInterrupt

    model = paid(Interrupted(ask), store, Decimal(1))
    with pytest.raises(KeyboardInterrupt):
        model.complete(request())
    (call,) = store.calls(RUN)
    assert (call.reply, call.error, call.estimated) == (None, "interrupted", True)
    assert model.purse.spent == store.spent(RUN) == call.dollars > 0


def test_a_fault_of_our_own_leaves_nothing_set_aside(store: Store) -> None:
    model = paid(Interrupted(lambda: 1 // 0), store, Decimal("0.20"))  # type: ignore[arg-type,return-value]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            model.complete(request())
    model.stop()
    assert model.purse.spent == store.spent(RUN) == 0


def test_a_call_on_its_way_when_a_run_is_stopped_is_kept_with_what_it_may_cost(store: Store) -> None:
    """In a thread that nobody waits for any more; its late answer is not stored, and no other call is made."""
    asked, answer = threading.Event(), threading.Event()

    def late() -> Reply:
        asked.set()
        answer.wait(60)
        return Reply("late", Usage(10, 0, 0, 10), "end", "m")

    model = paid(Interrupted(late), store)
    with ThreadPoolExecutor() as pool:
        future = pool.submit(model.complete, request())
        assert asked.wait(60)
        model.stop()
        model.stop()
        answer.set()
        with pytest.raises(ModelError, match="too late"):
            future.result(60)
    (call,) = store.calls(RUN)
    assert (call.reply, call.error, call.estimated) == (None, "interrupted", True)
    assert call.usage.output_tokens == request().max_output_tokens
    assert store.spent(RUN) == call.dollars > 0
    with pytest.raises(ModelError, match="was not asked"):
        model.complete(request(2))


money = st.integers(0, 10**6).map(lambda n: Decimal(n).scaleb(-4))


@settings(deadline=None)
@given(
    budget=money,
    calls=st.lists(
        st.tuples(
            money, st.integers(0, 10**4).map(lambda n: Decimal(n).scaleb(-8)), st.integers(1, 20_000), st.floats(0, 1)
        ),
        max_size=12,
    ),
)
def test_a_purse_is_never_overdrawn(budget: Decimal, calls: list[tuple[Decimal, Decimal, int, float]]) -> None:
    purse = Purse(budget)
    for base, per_token, tokens, share in calls:
        try:
            with purse.reserving(base, per_token, tokens) as (allowed, settle):
                assert min(tokens, 2048) <= allowed <= tokens
                settle(base + per_token * int(allowed * share))
        except BudgetReached:
            assert purse.spent + base + per_token * min(tokens, 2048) > budget
        assert purse.spent <= budget


@given(st.text(), st.booleans())
def test_no_tokeniser_makes_more_tokens_than_the_bound(text: str, system: bool) -> None:
    """A byte-level tokeniser makes no more tokens than bytes; the tally counts a fourth of that."""
    messages = (Message("system", text), Message("user", text)) if system else (Message("user", text),)
    asked = replace(request(), messages=messages)
    assert input_bound(asked) >= sum(len(m.text.encode("utf-8", "surrogatepass")) for m in messages) + len(messages)


@pytest.mark.parametrize(
    ("dollars", "words"),
    [
        ("0", "$0.00"),
        ("2.5", "$2.50"),
        ("0.1", "$0.10"),
        ("0.0042", "$0.0042"),
        ("0.000000625", "$0.00000062"),
        ("1234.567", "$1234.57"),
        ("0.09999", "$0.10"),
    ],
)
def test_dollars_in_words(dollars: str, words: str) -> None:
    assert dollars_text(Decimal(dollars)) == words
