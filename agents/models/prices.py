"""What tokens cost: a table of dollars per million, by the model's name, exact to the last digit."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import platformdirs

from kernelwright.agents.models.protocol import Usage
from kernelwright.errors import ConfigError

__all__ = ["Price", "Prices", "Rate", "load_prices"]

_MILLION = Decimal(1_000_000)
_FIGURES = ("input", "cached_input", "cache_write", "output")
_MOST = Decimal(1_000_000)
"""Dollars per million tokens above which a figure is a slip of the pen."""
_DIGITS = 6
"""Decimals that a figure may have. A call's cost then has at most 12, and sums of them stay within a Decimal's 28 digits."""


@dataclass(frozen=True)
class Rate:
    """Dollars per million tokens."""

    input: Decimal
    cached_input: Decimal
    cache_write: Decimal
    output: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """Dollars."""
        return (
            usage.input_tokens * self.input
            + usage.cache_read_tokens * self.cached_input
            + usage.cache_write_tokens * self.cache_write
            + usage.output_tokens * self.output
        ) / _MILLION

    @property
    def dearest_input(self) -> Decimal:
        """Of an input token, whatever the cache does with it."""
        return max(self.input, self.cached_input, self.cache_write)


@dataclass(frozen=True)
class Price:
    """What a model costs."""

    rate: Rate
    long: Rate | None = None
    """For all tokens of a request with more than `above` input tokens."""
    above: int = 0

    def cost(self, usage: Usage) -> Decimal:
        """Dollars for what was used."""
        tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        return (self.long if self.long is not None and tokens > self.above else self.rate).cost(usage)

    def bound(self, input_tokens: int) -> tuple[Decimal, Decimal]:
        """Most that this many input tokens can cost, and that one output token after them can, in dollars."""
        rates = [self.rate, self.long] if self.long is not None and input_tokens > self.above else [self.rate]
        present = [rate for rate in rates if rate is not None]
        return (
            max(rate.dearest_input for rate in present) * input_tokens / _MILLION,
            max(rate.output for rate in present) / _MILLION,
        )


@dataclass(frozen=True)
class Prices:
    """The table; the first pattern that fits a name counts."""

    entries: tuple[tuple[str, Price], ...]
    file: Path
    """Where a person adds a price."""

    def of(self, model: str) -> Price | None:
        """The price of a model by the name a person gave it; None where the table has none."""
        return next((price for pattern, price in self.entries if fnmatchcase(model, pattern)), None)

    def how_to_add(self, model: str) -> str:
        """What a person can do about a missing price."""
        return (
            f"Add a line to {self.file}, with dollars per million tokens: "
            f'price = [{{ models = ["{model}"], input = "1.00", output = "4.00" }}]'
        )


def load_prices(own: Path | None = None) -> Prices:
    """The user's table (`own`, else ``prices.toml`` in the platform's configuration folder, if it is there), then ours.

    Raises:
        ConfigError: a file that is no such table, or `own` is not there.
    """
    file = own.expanduser() if own is not None else platformdirs.user_config_path("kernelwright") / "prices.toml"
    entries: list[tuple[str, Price]] = []
    if own is not None or file.exists():
        entries += _read(file)
    entries += _read(Path(__file__).with_name("prices.toml"))
    return Prices(tuple(entries), file)


def _read(path: Path) -> list[tuple[str, Price]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the prices can't be read: {error}.", path=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"this is no TOML: {error}.", path=str(path)) from None
    given = table.pop("price", [])
    if table or not isinstance(given, list):
        odd = next(iter(table), "price")
        raise ConfigError(f"{odd!r} is no part of a price table.", mend="Write [[price]] entries.", path=str(path))
    return [entry for number, one in enumerate(given, start=1) for entry in _entry(one, number, path)]


def _entry(given: Any, number: int, path: Path) -> list[tuple[str, Price]]:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"entry {number} of the prices {what}.", path=str(path))

    if not isinstance(given, dict):
        raise wrong("is no table")
    known = {"models", "long", *_FIGURES}
    if odd := sorted(given.keys() - known):
        raise wrong(f"has {odd[0]!r}, which is none of {', '.join(sorted(known))}")
    models = given.get("models")
    if not isinstance(models, list) or not models or not all(isinstance(model, str) and model for model in models):
        raise wrong("needs `models`, a list of names or patterns")
    price = Price(_rate(given, wrong))
    if "long" in given:
        long = given["long"]
        if not isinstance(long, dict) or long.keys() - {"above", *_FIGURES} or not _is_count(long.get("above")):
            raise wrong("has a `long` that is not `above` (tokens) and the figures")
        price = Price(price.rate, _rate(long, wrong), long["above"])
    return [(model, price) for model in models]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _rate(given: dict[str, Any], wrong: Any) -> Rate:
    """Figures that are not given: what is cached costs as much as what is not."""
    figures: dict[str, Decimal] = {}
    for name in _FIGURES:
        if name not in given:
            if name in {"input", "output"}:
                raise wrong(f"needs `{name}`")
            figures[name] = figures["input"]
            continue
        try:
            # by way of text: the TOML number 0.1 stands for a tenth, not for the nearest binary fraction
            value = Decimal(str(given[name])) if not isinstance(given[name], bool) else Decimal("NaN")
        except InvalidOperation:
            value = Decimal("NaN")
        exponent = value.as_tuple().exponent
        if not value.is_finite() or not 0 <= value <= _MOST or (isinstance(exponent, int) and exponent < -_DIGITS):
            raise wrong(f"has {name} = {given[name]!r}, which is no number of dollars with at most {_DIGITS} decimals")
        figures[name] = value
    return Rate(**figures)
