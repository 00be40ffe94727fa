"""Prompts as files: the templates of `kernelwright.agents.prompts`, rendered, with a version that follows their text.

A prompt `coder/start` is made of two templates: `coder/system.j2`, which says what stays the same from call to call (a
provider can keep it in its cache), and `coder/start.j2`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from kernelwright.agents.llm.text import fenced, one_line, visible
from kernelwright.verifier.wording import duration

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["CHARACTERS", "PROMPTS", "Prompt", "follow_up", "prompt_version", "render", "version_in"]

CHARACTERS = 120_000
"""At most so many characters are sent in one request, some 40,000 tokens. Every part is bounded by itself; the kernel that
is to be changed or judged gets what the others leave."""
_FOR_REPLIES = 12_000
"""Of these, what is kept free for asking again."""
_FENCES = 160
"""More than the fences around one text and the line that says what was left out."""

PROMPTS = (
    "coder/start",
    "coder/translate",
    "coder/repair",
    "coder/improve",
    "coder/tune",
    "coder/template",
    "coder/diff",
    "coder/rewrite",
    "coder/crossover",
    "coder/unusable",
    "judge/improve",
    "judge/repair",
    "judge/unusable",
    "votes/compile",
    "votes/memory",
    "votes/numerics",
    "contrastive/write",
)


@dataclass(frozen=True)
class Prompt:
    """What is said first to a model."""

    name: str
    """With its version: ``coder/start@1f0c9a2b``."""
    system: str
    user: str


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("kernelwright.agents", "prompts"),
        undefined=StrictUndefined,
        autoescape=False,  # the result is a prompt, no page
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    environment.filters["fenced"] = fenced
    environment.filters["one_line"] = one_line
    environment.filters["visible"] = visible
    environment.filters["duration"] = duration
    return environment


def render(name: str, facts: Mapping[str, Any]) -> Prompt:
    """The prompt `name` (one of `PROMPTS`) filled in with `facts`, of which `kernel_text` is cut to the room that is left.

    Raises:
        jinja2.UndefinedError: a template asks for what `facts` does not have.
    """
    folder = name.split("/")[0]
    system = _fill(f"{folder}/system.j2", facts)
    room = CHARACTERS - _FOR_REPLIES - len(system)
    least = len(_fill(f"{name}.j2", {**facts, "kernel_text": "", "kernel_limit": 64}))
    user = _fill(f"{name}.j2", {**facts, "kernel_limit": room - least - _FENCES})
    return Prompt(f"{name}@{prompt_version(name)}", system, user)


def follow_up(name: str, facts: Mapping[str, Any]) -> Prompt:
    """The same for what is said later in a conversation: its system message stays as it was, and is empty here."""
    return Prompt(f"{name}@{prompt_version(name)}", "", _fill(f"{name}.j2", facts))


def _fill(template: str, facts: Mapping[str, Any]) -> str:
    return _environment().get_template(template).render(facts).strip()


@cache
def prompt_version(name: str) -> str:
    """The first 8 hex digits of the SHA-256 over the two templates of a prompt and all that they include, by name."""
    return version_in(_environment(), name)


def version_in(environment: Environment, name: str) -> str:
    """The same of templates that lie elsewhere."""
    from jinja2 import meta

    assert environment.loader is not None
    sources: dict[str, str] = {}
    waiting = [f"{name.split('/')[0]}/system.j2", f"{name}.j2"]
    while waiting:
        template = waiting.pop()
        if template not in sources:
            source, _path, _uptodate = environment.loader.get_source(environment, template)
            sources[template] = source
            waiting += [each for each in meta.find_referenced_templates(environment.parse(source)) if each is not None]
    digest = hashlib.sha256()
    for template, source in sorted(sources.items()):
        digest.update(f"{template}\0{source}\0".encode())
    return digest.hexdigest()[:8]
