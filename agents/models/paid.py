"""Calls that cost money: every try is within the budget before it is made, and on disk before its reply is used."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from kernelwright.agents.models.calls import Call, CallStore
from kernelwright.agents.models.prices import Price, Prices
from kernelwright.agents.models.protocol import Reply, Request, Usage
from kernelwright.agents.models.provider import Answer, Provider, TryFailed, persist
from kernelwright.errors import BudgetReached, ConfigError, StoreError

__all__ = ["LEAST_OUTPUT", "PaidModel", "Purse", "dollars_text", "input_bound"]

LEAST_OUTPUT = 2048
"""Output tokens below which a smaller budget does not push a request: a kernel hardly fits into fewer."""
_PER_MESSAGE = 32
"""Tokens that a server may add around each message (role, turn markers); chat templates add 3 to 10."""
_PER_REQUEST = 512
"""Tokens that a server may add to a request: a system text of its own for thinking or for a schema."""
_NOTHING = Decimal(0)

_log = logging.getLogger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def dollars_text(amount: Decimal) -> str:
    """``$1.23``; of less than ten cents two digits that matter: ``$0.05``, ``$0.0042``."""
    digits = 2 if amount == 0 else max(2, 1 - amount.adjusted())
    whole, _, part = f"{amount.quantize(Decimal(1).scaleb(-digits)):f}".partition(".")
    return f"${whole}.{part[:2]}{part[2:].rstrip('0')}"


def input_bound(request: Request) -> int:
    """More tokens than the messages can have: byte-level tokenisers make at most one of each byte of UTF-8."""
    size = sum(len(message.text.encode("utf-8", "surrogatepass")) for message in request.messages)
    schema = len(str(request.schema).encode("utf-8", "surrogatepass")) if request.schema is not None else 0
    return size + 2 * schema + _PER_MESSAGE * len(request.messages) + _PER_REQUEST


class Purse:
    """The money of one run: what is spent, and what calls under way may still cost. All models of the run share it.

    Args:
        budget: dollars; None: nothing stops.
        spent: dollars, by the calls already stored.
        run_id: for what it says when nothing is left.
    """

    def __init__(self, budget: Decimal | None, spent: Decimal = _NOTHING, run_id: str = "RUN") -> None:
        self.budget = budget
        self.run_id = run_id
        self._spent = spent
        self._reserved = _NOTHING
        self._changed = threading.Condition()

    @property
    def spent(self) -> Decimal:
        """Dollars, calls under way not counted."""
        with self._changed:
            return self._spent

    @contextmanager
    def reserving(
        self, base: Decimal, per_token: Decimal, tokens: int
    ) -> Iterator[tuple[int, Callable[[Decimal], None]]]:
        """Sets aside what a call can cost at most: `base` dollars and `per_token` for each of up to `tokens` output tokens.

        Gives how many output tokens it may have (fewer, down to `LEAST_OUTPUT`, if that makes it fit), and what is to be
        called with what it did cost. While other calls are under way, whose price will be less than what is set aside
        for them, it waits for them rather than to ask for less.

        Raises:
            BudgetReached: it does not fit.
        """
        with self._changed:
            allowed = self._allowed(base, per_token, tokens)
            while allowed < tokens and self._reserved > 0:
                self._changed.wait()
                allowed = self._allowed(base, per_token, tokens)
            if allowed < min(tokens, LEAST_OUTPUT):
                assert self.budget is not None
                least = base + per_token * min(tokens, LEAST_OUTPUT)
                raise BudgetReached(
                    f"The budget of {dollars_text(self.budget)} allows no further call: {dollars_text(self._spent)} are "
                    f"spent, and the next call could cost {dollars_text(least)}.",
                    mend=f"Go on with more: kernelwright resume {self.run_id} --budget DOLLARS.",
                )
            bound = base + per_token * allowed
            self._reserved += bound
        cost = _NOTHING

        def settle(dollars: Decimal) -> None:
            nonlocal cost
            cost = dollars

        try:
            yield allowed, settle
        finally:
            with self._changed:
                self._reserved -= bound
                self._spent += cost
                self._changed.notify_all()

    def _allowed(self, base: Decimal, per_token: Decimal, tokens: int) -> int:
        if self.budget is None:
            return tokens
        left = self.budget - self._spent - self._reserved - base
        if left < 0:
            return 0
        return tokens if per_token == 0 else min(tokens, int(left // per_token))


@dataclass(frozen=True)
class _Cost:
    usage: Usage
    dollars: Decimal
    estimated: bool


class PaidModel:
    """A model whose calls are metered, stored and limited; implements `ModelClient`.

    A request whose place in the run has an answer in the store gets that answer, and nothing is paid. Each try is a
    `Call` of its own: what failed is stored too, with what it may have cost.

    Args:
        client: the model at its server.
        budget: dollars for the whole run, None for no bound; or a `Purse`, where several models share it.
        clock: the time of day, UTC.
        told: gets a sentence when a call is to be tried again.

    Raises:
        ConfigError: there is a budget, and the table has no price for this model.
    """

    def __init__(
        self,
        client: Provider,
        store: CallStore,
        run_id: str,
        prices: Prices,
        budget: Decimal | Purse | None = None,
        clock: Callable[[], datetime] = _utc_now,
        *,
        timer: Callable[[], float] = time.monotonic,
        told: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self.name = client.name
        self._told = told
        self._client = client
        self._store = store
        self._run_id = run_id
        self._purse = budget if isinstance(budget, Purse) else Purse(budget, store.spent(run_id), run_id)
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._under_way: dict[object, tuple[Request, float]] = {}
        self._stopped = False
        self._price: Price | None = prices.of(client.name)
        self.note = ""
        """What a person should know about the figures; empty if there is nothing to say."""
        if self._price is None:
            if self._purse.budget is not None:
                raise ConfigError(
                    f"a budget needs the price of {client.name}, which the table does not have.",
                    mend=prices.how_to_add(client.name),
                )
            self.note = f"No price is known for {client.name}: its calls count as $0. {prices.how_to_add(client.name)}"

    @property
    def purse(self) -> Purse:
        """The money it spends from."""
        return self._purse

    def complete(self, request: Request) -> Reply:
        """The stored answer of the request's place, or a new one; see `ModelClient.complete`."""
        known = self._store.answered(self._run_id, request.place)
        if known is not None:
            return known
        started = self._timer()
        return persist(lambda: self._try(request, started), self._client.patience, self.name, self._told)

    def stop(self) -> None:
        """Lets no further try begin. Those under way are stored as broken off, with the most that they may cost, and what
        comes of them is not waited for."""
        with self._lock:
            self._stopped = True
            left, self._under_way = list(self._under_way.values()), {}
            for request, began in left:
                try:
                    self._store.add_call(self._call(request, None, "interrupted", self._broken(request, None), began))
                except StoreError as error:  # what ends the run matters more
                    _log.warning("%s %s: an interrupted call was not stored: %s", self._run_id, request.place, error)

    def _begin(self, request: Request) -> tuple[object, float]:
        key, began = object(), self._timer()
        with self._lock:
            if self._stopped:
                raise TryFailed(f"{self.name} was not asked: the run has been stopped.")
            self._under_way[key] = (request, began)
        return key, began

    def _try(self, request: Request, started: float) -> Reply:
        base, per_token = self._price.bound(input_bound(request)) if self._price else (_NOTHING, _NOTHING)
        with self._purse.reserving(base, per_token, request.max_output_tokens) as (allowed, settle):
            asked = request if allowed == request.max_output_tokens else replace(request, max_output_tokens=allowed)
            if asked is not request:
                _log.info("%s %s: at most %d output tokens fit the budget", self._run_id, request.place, allowed)
            key, began = self._begin(asked)
            try:
                answer = self._client.once(asked)
            except TryFailed as failed:
                cost = self._broken(asked, failed.usage) if failed.charged else _Cost(Usage(), _NOTHING, False)
                settle(cost.dollars)
                self._keep(asked, None, str(failed.message), cost, began, key)
                raise
            except (KeyboardInterrupt, SystemExit):  # the server goes on, and may charge
                cost = self._broken(asked, None)
                settle(cost.dollars)
                self._keep(asked, None, "interrupted", cost, began, key)
                raise
            except Exception:  # a fault of ours, or of a recording: nothing is paid
                self._under_way.pop(key, None)
                raise
            cost = self._cost(asked, answer)
            settle(cost.dollars)
            reply = replace(answer.reply, usage=cost.usage, seconds=self._timer() - started)
            self._keep(asked, reply, "", cost, began, key)
            return reply

    def _cost(self, request: Request, answer: Answer) -> _Cost:
        if answer.metered:
            return self._priced(answer.reply.usage, estimated=False)
        shown = len((answer.reply.text + answer.reply.reasoning).encode("utf-8", "surrogatepass"))
        # both vendors report; a server that does not shows what it reasons, so no more tokens came than bytes
        output = min(shown, request.max_output_tokens)
        return self._priced(replace(self._all_input(request), output_tokens=output), estimated=True)

    def _all_input(self, request: Request) -> Usage:
        """The bound of the input, as the dearer of fresh and cache-written tokens."""
        tokens = input_bound(request)
        if self._price is not None and self._price.rate.cache_write > self._price.rate.input:
            return Usage(cache_write_tokens=tokens)
        return Usage(input_tokens=tokens)

    def _broken(self, request: Request, reported: Usage | None) -> _Cost:
        """What a call that broke off can have cost at most: the figures for its input may be known, those for its output
        are not, for the server may have gone on."""
        usage = reported or Usage()
        if usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens == 0:
            usage = self._all_input(request)
        return self._priced(replace(usage, output_tokens=request.max_output_tokens), estimated=True)

    def _priced(self, usage: Usage, *, estimated: bool) -> _Cost:
        return _Cost(usage, self._price.cost(usage) if self._price else _NOTHING, estimated)

    def _keep(self, request: Request, reply: Reply | None, error: str, cost: _Cost, began: float, key: object) -> None:
        with self._lock:
            if key not in self._under_way:
                raise TryFailed(f"{self.name} answered too late: the run has been stopped.")
            try:
                self._store.add_call(self._call(request, reply, error, cost, began))
            finally:
                del self._under_way[key]

    def _call(self, request: Request, reply: Reply | None, error: str, cost: _Cost, began: float) -> Call:
        return Call(
            run_id=self._run_id,
            place=request.place,
            model=self.name,
            request=request,
            reply=reply,
            error=error,
            usage=cost.usage,
            dollars=cost.dollars,
            estimated=cost.estimated,
            seconds=self._timer() - began,
            created=self._clock(),
        )
