"""Settings: what a person can choose once instead of with every command.

Four layers, the later wins: the defaults below, the user's file (``config.toml`` in the platform's configuration
folder), ``kernelwright.toml`` in the working directory, environment variables (``KERNELWRIGHT_`` and the name in
capitals), and flags or arguments of the call.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from kernelwright.errors import ConfigError

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "load_settings", "settings_files", "settings_table"]

ENVIRONMENT_PREFIX = "KERNELWRIGHT_"
PROJECT_FILE = "kernelwright.toml"


def _data_folder() -> Path:
    return platformdirs.user_data_path("kernelwright")


def _cache_folder() -> Path:
    return platformdirs.user_cache_path("kernelwright")


def settings_files() -> tuple[Path, Path]:
    """The user's file and the working directory's, whether they exist or not; the second wins."""
    return platformdirs.user_config_path("kernelwright") / "config.toml", Path.cwd() / PROJECT_FILE


class Settings(BaseSettings):
    """Everything that can be configured. `load_settings` makes one; all paths are absolute."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    data: Path = Field(default_factory=_data_folder)
    """Folder of the database, the checkpoints of running searches, calibrations and the log file."""
    database: str = ""
    """Path (SQLite) or URL (`postgresql+psycopg://...`) of the store; empty means a SQLite file in `data`."""
    cache: Path = Field(default_factory=_cache_folder)
    """Folder of compiled kernels; it can be deleted at any time."""
    gpu: str = "H200"
    """GPU that kernels are written for, and that modelled times stand for; `kernelwright gpus` lists them."""
    device: Literal["auto", "cuda", "emulator"] = "auto"
    """Where kernels are judged: `emulator` needs no GPU; `cuda` runs and times them on this machine's GPU after the emulator
    has examined them; `auto` is `cuda` where there is a GPU (and `gpu` names no other one), else the emulator."""
    baselines: tuple[Literal["eager", "compile", "max-autotune"], ...] = ("eager", "compile", "max-autotune")
    """What `verify` measures a kernel against on a GPU: eager PyTorch, and torch.compile in its default and its max-autotune
    mode; `optimize` measures against eager only."""
    gpu_tools: tuple[Literal["memcheck", "racecheck", "initcheck", "synccheck", "ncu"], ...] = (
        "memcheck", "racecheck", "initcheck", "synccheck", "ncu",
    )  # fmt: skip
    """What `verify` runs a kernel under on a GPU besides, where it is installed: compute-sanitizer's tools, and Nsight Compute."""
    timing_seconds: float = Field(default=20.0, gt=0, le=3600)
    """Seconds that measuring one kernel on a GPU may take; it ends earlier where the standard error falls under 0.5 %."""
    isolation: Literal["auto", "bubblewrap", "docker", "process"] = "auto"
    """How a kernel's process is fenced in; `auto` takes bubblewrap or docker and never
    `process`, which is no fence (docs/isolation.md)."""
    rounds: int = Field(default=6, ge=1, le=1000)
    """Attempts that one `optimize` may make."""
    strategy: Literal["refine", "fsr", "translate-evolve", "evolve", "best-of-n"] = "refine"
    """How attempts follow from one another (docs/strategies.md)."""
    candidates: int | None = Field(default=None, ge=1, le=64)
    """Proposals of one round, for strategies that make several; unset, it is 4 (`fsr`, `evolve`, `best-of-n`) or 8 (`translate-evolve`)."""
    islands: int = Field(default=2, ge=1, le=64)
    """Islands on which the strategy `evolve` breeds kernels; an archive that is there keeps the number that it was made with."""
    archive: Literal["own", "shared"] = "own"
    """Where the strategy `evolve` draws parents from: `own` is empty when the run starts; `shared` is the store's archive of the
    task, which all runs with this setting feed (docs/archive.md)."""
    seed: str = Field(default="", max_length=200)
    """Decides what is drawn at random in a run: parents, operators, parameters; empty is the run's id."""
    model: str = ""
    """Language model that writes kernels: `openai:NAME`, `anthropic:NAME` or `http://host:port/v1#NAME`; empty is the built-in coder."""
    judge_model: str = ""
    """Language model that judges attempts, named as `model` is; empty is the same as `model`, `builtin` the built-in judge."""
    authors: tuple[str, ...] = ()
    """Further coders beside `model`, named as it is, or `builtin`: `evolve` chooses among them all by what they gain for their cost,
    in other strategies they take turns."""
    sampler: Literal["random", "tpe", "policy"] = "random"
    """How the built-in coder draws the parameters of its templates where kernels are to differ by chance: at random, by Optuna's
    TPE, which learns from the attempts before (extra `search`; docs/strategies.md), or by the trained policy (docs/policy.md)."""
    policy: Path | None = None
    """Weights for `sampler = "policy"`, as `kernelwright train policy` writes them; unset, those that come with the program."""
    cascade: bool | None = None
    """Whether a kernel that is right at first but can't beat the best of its run is let go before it is judged whole; unset is
    no: `evolve` breeds from slower kernels of other kinds too, and would lose them."""
    builtin_first: int = Field(default=0, ge=0, le=1000)
    """Attempts that the built-in coder makes before the language model goes on from them."""
    exemplars: int = Field(default=3, ge=0, le=20)
    """Kernels of the store that prompts show at most: winners on the same task, then on like ones. Three of some hundred lines
    fill a tenth of a usual context. 0 shows none, as when strategies are compared on one store."""
    budget: Decimal | None = Field(default=None, gt=0, le=1_000_000, allow_inf_nan=False)
    """US dollars that the model calls of one run may cost together; unset is no limit."""
    reasoning: Literal["none", "low", "medium", "high"] | None = None
    """How much the models are to reason before they answer; unset is their own default."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """How freely the models draw their words; unset is their own default."""
    call_seconds: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds one call of a kernel or of its reference may take before its process is ended."""
    memory_bytes: int = Field(default=16 * 2**30, ge=2**30)
    """Bytes of address space of a kernel's or a reference's process; torch maps several GiB that it never touches."""
    openai_api_key: SecretStr | None = None
    """Key for `openai:` models where OPENAI_API_KEY is not set. It is never stored, logged or handed to a kernel's process."""
    anthropic_api_key: SecretStr | None = None
    """Key for `anthropic:` models where ANTHROPIC_API_KEY is not set; kept as the other one."""
    compatible_api_key: SecretStr | None = None
    """Key for models at a URL, where their server asks for one; kept as the others."""
    model_concurrency: int = Field(default=4, ge=1, le=256)
    """Calls that may be under way at one server of models at once."""
    model_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds that one try at a call of a model may take."""
    offered_models: tuple[str, ...] = ()
    """Language models, named as `model` is, that who submits to `kernelwright serve` may choose beside `model`. Whoever runs the
    server pays them."""
    offered_budget: Decimal = Field(default=Decimal(5), gt=0, le=1_000_000, allow_inf_nan=False)
    """US dollars that the model calls of one submitted run may cost at most."""
    offered_rounds: int = Field(default=50, ge=1, le=1000)
    """Attempts that one submitted run may make at most."""
    prices: Path | None = None
    """File with prices of models, looked at before those that come with the program (docs/models.md); without it, `prices.toml`
    beside the user's settings file, if there is one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that goes to the log file in `data`."""

    @property
    def database_url(self) -> str:
        """`database`, or the SQLite file that stands for its empty value."""
        return self.database or f"sqlite:///{self.data / 'kernelwright.db'}"

    @property
    def database_file(self) -> Path | None:
        """The SQLite file of the store; None when it is in memory or on a server."""
        place = self.database_url
        scheme, separator, rest = place.partition("://")
        if separator:
            if scheme.split("+")[0] != "sqlite":
                return None
            place = rest.partition("?")[0].removeprefix("/")
        if place in {"", ":memory:"} or place.startswith("file:"):
            return None
        return Path(place).expanduser()

    @property
    def place_given(self) -> bool:
        """Whether somebody chose where the store lies."""
        return bool(self.database) or self.data != _data_folder()

    @property
    def models(self) -> tuple[str, ...]:
        """The language models that are named, coders first."""
        return tuple(name for name in (self.model, *self.authors, self.judge_model) if name not in {"", "builtin"})

    @property
    def checkpoints(self) -> Path:
        """The file that holds the steps of attempts under way."""
        return self.data / "checkpoints.db"

    @property
    def log_file(self) -> Path:
        """The log file."""
        return self.data / "kernelwright.log"

    @property
    def access_log(self) -> Path:
        """The file with a line for each request that `kernelwright serve` answered."""
        return self.data / "access.log"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the two files (pydantic-settings: the first source wins)."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=list(settings_files()))


def load_settings(**flags: Any) -> Settings:
    """The settings in force; `flags` that are None count as not given.

    Raises:
        ConfigError: a file that is no TOML, a key that does not exist (with the closest one that does), or a value
            out of its range; it says where the value came from.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    files = [(path, _read(path)) for path in settings_files()]
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise _explain(error, given, files) from None
    return settings.model_copy(
        update={"data": settings.data.expanduser().absolute(), "cache": settings.cache.expanduser().absolute()}
    )


def settings_table() -> list[tuple[str, str, str, str]]:
    """Rows for the documentation: name, environment variable, default in words, meaning."""
    words = {"data": "the platform's data folder", "cache": "the platform's cache folder"}
    rows = []
    for name, field in Settings.model_fields.items():
        default = words.get(name) or (f"`{field.default}`" if field.default not in {"", None} else "empty")
        rows.append((name, ENVIRONMENT_PREFIX + name.upper(), default, field.description or ""))
    return rows


def _read(path: Path) -> dict[str, Any]:
    """The keys of one file, every one of them known; an empty dictionary when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the settings can't be read: {error}.", path=str(path)) from error
    try:
        keys = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"this is no TOML: {error}.", mend="Write one `name = value` a line.", path=str(path)
        ) from error
    for key in keys:
        if key not in Settings.model_fields:
            # the line is shown to whoever reads the error, so not where it may hold the key of a model
            secret = any(word in key.lower() for word in ("key", "token", "secret", "password"))
            line = None if secret else _line(text, key)
            raise ConfigError(f"there is no setting named {key!r}.", mend=_nearest(key), path=str(path), line=line)
    return keys


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key, Settings.model_fields, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"The settings are {', '.join(Settings.model_fields)}."


def _line(text: str, key: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().strip("[").split("=")[0].strip(" \"'].") == key:
            return number
    return None


def _explain(error: ValidationError, given: dict[str, Any], files: list[tuple[Path, dict[str, Any]]]) -> ConfigError:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    variable = ENVIRONMENT_PREFIX + name.upper()
    path = None
    if name in given:
        origin, value = f"--{name.replace('_', '-')}", given[name]
    elif variable in os.environ:
        origin, value = variable, os.environ[variable]
    else:
        found = [(file, keys[name]) for file, keys in files if name in keys]
        origin, value = name, found[-1][1] if found else None
        path = str(found[-1][0]) if found else None
    what = str(first["msg"])
    if name.endswith("_api_key"):
        return ConfigError(f"{origin} is no key: {what[:1].lower()}{what[1:]}.", path=path)
    return ConfigError(f"{origin} can't be {value!r}: {what[:1].lower()}{what[1:]}.", path=path)
