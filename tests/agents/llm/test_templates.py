"""Templates: all are used, each has a version that follows its text, and none asks for what it is not given."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment, FileSystemLoader, UndefinedError, meta

import kernelwright.agents.prompts
from kernelwright.agents.llm.templates import PROMPTS, prompt_version, render, version_in

FOLDER = Path(kernelwright.agents.prompts.__path__[0])


def test_every_template_is_part_of_a_prompt() -> None:
    environment = Environment(loader=FileSystemLoader(FOLDER))
    waiting = {f"{name}.j2" for name in PROMPTS} | {f"{name.split('/')[0]}/system.j2" for name in PROMPTS}
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        used.add(name)
        parsed = environment.parse((FOLDER / name).read_text(encoding="utf-8"))
        waiting |= {part for part in meta.find_referenced_templates(parsed) if part} - used
    assert used == {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.j2")}


def test_versions_are_eight_hex_digits_and_differ() -> None:
    versions = [prompt_version(name) for name in PROMPTS]
    assert all(re.fullmatch("[0-9a-f]{8}", version) for version in versions)
    assert len(set(versions)) == len(PROMPTS)


def test_a_version_follows_all_that_is_included() -> None:
    plain = {
        "coder/system.j2": "You write. {% include 'parts/a.j2' %}",
        "coder/start.j2": "{% if x %}{% include 'parts/b.j2' %}{% endif %}",
        "parts/a.j2": "A",
        "parts/b.j2": "{% include 'parts/c.j2' %}",
        "parts/c.j2": "C",
        "parts/unused.j2": "U",
    }

    def version(**changes: str) -> str:
        changed = {name: changes.get(name.split("/")[1][:-3], text) for name, text in plain.items()}
        return version_in(Environment(loader=DictLoader(changed)), "coder/start")

    assert version() == version(unused="other")
    others = [version(**{part: f"{part} anew"}) for part in ("system", "start", "a", "c")]
    others.append(version(b="{% include 'parts/c.j2' %}."))
    assert len({version(), *others}) == 6


def test_what_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("coder/start", {"gpu": {}})
