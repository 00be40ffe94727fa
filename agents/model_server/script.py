"""Script: which replies the model server gives, to which requests, and with which faults."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, model_validator

__all__ = [
    "Conditions",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "Provider",
    "Script",
    "ScriptedReply",
    "ScriptedUsage",
    "ToolUse",
]

Provider = Literal["openai", "anthropic"]

FaultKind = Literal[
    "rate_limit",
    "server_error",
    "overloaded",
    "bad_status",
    "not_json",
    "drop_before",
    "drop_mid",
    "slow",
    "truncated_json",
    "wrong_usage",
    "no_code_fence",
    "empty",
    "refusal",
    "wrong_language",
    "huge",
]


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Pattern = Annotated[str, AfterValidator(_compiles)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_as_tuple)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Conditions(_Part):
    """What a request must be like. Regular expressions are searched for anywhere, with `re.search`."""

    provider: Provider | None = None
    model: Pattern | None = None
    """In the model's name."""
    prompt: Patterns = ()
    """In the whole prompt, system message and all others; each of them."""
    prompt_not: Patterns = ()
    """In the whole prompt; none of them."""
    system: Patterns = ()
    system_not: Patterns = ()
    user: Patterns = ()
    """In the last message of the user's; each of them."""
    user_not: Patterns = ()
    asks_schema: Pattern | None = None
    """In the name or the JSON text of the schema that the reply is to follow; a request without one does not match."""
    stream: bool | None = None
    nth: Annotated[int, Field(ge=1)] | None = None
    """Only the n-th of the requests that meet the other conditions, 1-based."""


class ToolUse(_Part):
    """A call of a tool that the request offered; requests that do not offer it get another reply."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class ScriptedUsage(_Part):
    """Tokens to charge. What is not said is counted: one token for each 4 bytes, rounded up."""

    input: NonNegativeInt | None = None
    cache_read: NonNegativeInt | None = None
    cache_write: NonNegativeInt | None = None
    output: NonNegativeInt | None = None
    """With those of the reasoning."""
    reasoning: NonNegativeInt | None = None


class Fault(_Part):
    """What goes wrong; the other fields belong to one kind each."""

    kind: FaultKind
    retry_after: Seconds | None = None
    """`rate_limit` (1 unless said), `overloaded` (none unless said): seconds to wait, in the header Retry-After."""
    status: Annotated[int, Field(ge=400, le=599)] = 418
    """`bad_status`: the HTTP status."""
    after: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """`drop_mid`, `truncated_json`: the share of the reply that is sent."""
    seconds: Seconds = 2.0
    """`slow`: over how long the reply is spread."""
    size: Annotated[int, Field(ge=1, le=50_000_000)] = 200_000
    """`huge`: bytes of text."""
    language: Literal["rust", "python"] = "rust"
    """`wrong_language`: of the ready-made reply."""


def _as_fault(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


AnyFault = Annotated[Fault, BeforeValidator(_as_fault)]


class ScriptedReply(_Part):
    """One entry of the script: which requests it answers, with what."""

    when: Conditions = Conditions()
    text: str = ""
    file: str | None = None
    """A file whose contents follow the text, relative to the script."""
    fence: str | None = None
    """The language behind the backticks around the file; the default goes by its ending, empty means none."""
    json_: Any = Field(default=None, alias="json")
    """A value sent as JSON text, instead of `text` and `file`."""
    tool: ToolUse | None = None
    reasoning: str = ""
    """What the model thought; Anthropic's clients see it where they turned thinking on, OpenAI's only its tokens."""
    usage: ScriptedUsage = ScriptedUsage()
    times: Annotated[int, Field(ge=1)] | Literal["forever"] = 1
    delay: Seconds = 0.0
    """Seconds before the first byte."""
    bytes_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How fast the bytes are sent; None is as fast as they go."""
    fault: AnyFault | None = None

    @model_validator(mode="after")
    def _one_content(self) -> ScriptedReply:
        if self.json_ is not None and (self.text or self.file):
            raise ValueError("`json` stands instead of `text` and `file`, not beside them")
        if self.fence is not None and self.file is None:
            raise ValueError("`fence` is about `file`, and there is none")
        if not (self.text or self.file or self.json_ is not None or self.tool or self.fault):
            raise ValueError("the entry says nothing: give it `text`, `file`, `json`, `tool` or `fault`")
        return self


class FaultPlan(_Part):
    """A fault in every n-th request; the kinds take turns."""

    every: Annotated[int, Field(ge=1)]
    kinds: Annotated[tuple[AnyFault, ...], Field(min_length=1)]


class Script(_Part):
    """All that the server says, in order: the first entry that matches and is not used up answers."""

    replies: tuple[ScriptedReply, ...]
    faults: FaultPlan | None = None
    models: tuple[str, ...] = ()
    """The models there are; requests for others get 404. Empty: every name will do."""
    refuse_fields: tuple[str, ...] = ()
    """Fields of a request that this server does not know: it answers 400 and names them, as small servers do."""
    cache: bool = True
    """Whether prompts are cached as the provider does it, and the usage says so."""
