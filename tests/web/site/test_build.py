"""The static site: complete, of one host, and with strangers' text in it that stays text."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scoring_entries import entry, of, trial

from kernelwright.bench_tasks.scoring.board import Section, sections
from kernelwright.bench_tasks.scoring.metrics import GRID, steps
from kernelwright.bench_tasks.scoring.results import Entry, Integrity
from kernelwright.errors import MisuseError
from kernelwright.web.site.build import Proof, write_site
from kernelwright.web.site.charts import curve
from kernelwright.web.site.source import highlighted

EVIL = "</code></pre><script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>\"'&{{ 7*7 }}"
KERNEL = f'# {EVIL}\nclass ModelNew:\n    text = "{EVIL}"\n'


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in {"meta", "link", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def links(self) -> list[str]:
        return [value for _, attrs in self.tags for name, value in attrs.items() if name in {"href", "src"} and value]


def hostile() -> Entry:
    trials = [
        trial("a", 2.0, evaluation_id="../../etc/x<>", remarks=(EVIL,), integrity=Integrity.SUSPECT),
        trial("b", None, problem=EVIL),
        trial(EVIL, 3.0, evaluation_id="b" * 16),
    ]
    return entry(trials, id=EVIL, author=EVIL, strategy=EVIL, judge=EVIL, environment={EVIL: EVIL}, submitted=True)


def pages(folder: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text()) for file in folder.rglob("*.html")}


def made(folder: Path, found: tuple[Section, ...]) -> dict[Path, Page]:
    write_site(folder, found, lambda trial: Proof(KERNEL, b"bundle"))
    return pages(folder)


def test_strangers_text_stays_text(tmp_path: Path) -> None:
    found = made(tmp_path / "site", sections([hostile()]))
    assert len(found) == 1 + 1 + 3
    for file, page in found.items():
        names = {name for name, _ in page.tags}
        assert not names & {"script", "img", "iframe", "object", "embed", "form", "base", "link"}, file
        for _, attrs in page.tags:
            assert not [name for name in attrs if name.startswith("on") or name == "style"], file
    index = found[tmp_path / "site" / "index.html"]
    assert EVIL in index.text  # the name of a task, letter by letter: no template was evaluated either
    everything = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))
    assert all(p.parts[0] == "site" for p in everything)
    names = [p.name for p in (tmp_path / "site" / "files").iterdir()]
    assert all(name.replace(".", "").isalnum() for name in names)
    assert sorted(names) == ["bbbbbbbbbbbbbbbb.bundle", "bbbbbbbbbbbbbbbb.kernel.py", "etcx.bundle", "etcx.kernel.py"]


def test_every_link_leads_somewhere_here(tmp_path: Path) -> None:
    found = made(tmp_path, sections([hostile(), of([2.0, 1.5], id="x"), of([None, 3.0], id="y")]))
    for file, page in found.items():
        for link in page.links:
            assert ":" not in link, link
            path, _, anchor = link.partition("#")
            target = (file.parent / path).resolve() if path else file
            assert target.is_file(), (file, link)
            if anchor:
                assert anchor in found[target if path else file].ids
        assert not [value for _, attrs in page.tags for value in attrs.values() if value and "//" in value]


def test_a_page_may_load_and_run_nothing(tmp_path: Path) -> None:
    import base64
    import hashlib

    for file, page in made(tmp_path, sections([of([2.0])])).items():
        (policy,) = [a["content"] for name, a in page.tags if name == "meta" and a.get("http-equiv")]
        text = file.read_text()
        (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy is not None
        assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
        assert "url(" not in style
        assert "@import" not in style


def test_it_can_be_read_without_eyes_and_used_without_a_mouse(tmp_path: Path) -> None:
    found = made(tmp_path, sections([of([2.0, 3.0, None])]))
    for page in found.values():
        tags = [name for name, _ in page.tags]
        assert tags.count("h1") == 1
        assert {"main", "nav", "header"} <= set(tags)
        assert page.links[0] == "#main"
        assert ("html", {"lang": "en"}) in page.tags
        assert all(attrs.get("scope") for name, attrs in page.tags if name == "th")
    (entry_page,) = [page for file, page in found.items() if file.parent.name == "entries"]
    assert ("svg", {"viewbox": "0 0 640 280", "aria-hidden": "true", "focusable": "false"}) in entry_page.tags
    assert "The curve as a table" in entry_page.text
    style = (tmp_path / "index.html").read_text()
    assert "prefers-color-scheme: dark" in style
    assert "width=device-width" in style


def test_kinds_are_apart_on_every_page(tmp_path: Path) -> None:
    one = of({"a": 2.0}, id="one")
    two = replace(one, id="two", timing_kind="measured", device="cuda", scale="full")
    found = made(tmp_path, sections([one, two]))
    (task,) = [page for file, page in found.items() if file.parent.name == "tasks"]
    first, second = task.text.index("modelled for H200"), task.text.index("measured on H200")
    assert [name for name, _ in task.tags].count("h2") == 2
    assert first != second


def test_a_site_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    made(folder, sections([of([2.0], id="old")]))
    made(folder, sections([of([2.0], id="new")]))
    assert [file.name[:3] for file in (folder / "entries").iterdir()] == ["new"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(MisuseError, match="no leaderboard's"):
        made(mine, ())
    assert [p.name for p in mine.iterdir()] == ["thesis.tex"]
    with pytest.raises(MisuseError, match="a file where"):
        made(mine / "thesis.tex", ())


def test_no_entries(tmp_path: Path) -> None:
    (page,) = made(tmp_path, ()).values()
    assert "There are no entries." in page.text


def test_source_is_coloured_and_whole() -> None:
    for text in (KERNEL, "\r\n\tx = 1\r\n\n", "def f(", "\x00\x1b[31m", "<&>" * 200_000):
        shown = Page(f"<pre>{highlighted(text)}</pre>").text
        assert shown.replace("\r", "") == text.replace("\r", "")
    assert '<span class="k">class</span>' in highlighted(KERNEL)


def test_the_curve_falls_in_steps_where_a_task_has_its_speed_up() -> None:
    one = of([1.1, None])
    drawn = curve(steps(one), GRID)
    (line,) = re.findall(r'class="line" points="([^"]*)"', drawn)
    places = [tuple(map(float, place.split(","))) for place in line.split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(places))  # level, or straight down
    (fall,) = [b[0] for a, b in itertools.pairwise(places) if a[1] != b[1]]
    assert drawn.count("<circle") == len(GRID)
    marks = {p: float(x) for x, p in re.findall(r'<text x="([^"]*)" y="[^"]*" text-anchor="middle">([0-9.]+)<', drawn)}
    assert marks["1"] < fall < marks["1.25"]


def test_what_has_no_kernel_has_no_integrity_and_an_interval_has_a_width(tmp_path: Path) -> None:
    trials = [trial("a", 1.03, speedup_interval=(1.031, 1.032)), trial("b", problem="No kernel was written.")]
    found = made(tmp_path, sections([entry(trials)]))
    text = "".join(page.text for page in found.values())
    assert "1.03 to 1.03" not in text
    (page,) = [page for file, page in found.items() if file.parent.name == "tasks" and "b" in file.name.split("-")]
    assert not [attrs for _, attrs in page.tags if "clean" in (attrs.get("class") or "")]
