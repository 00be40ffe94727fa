"""Writes the pages of docs/ that are made from the code: `python docs/generate.py`. A test compares them with it."""

from __future__ import annotations

import ast
import inspect
from enum import Enum
from pathlib import Path

import click

from kernelwright.bench_tasks.task import Distribution
from kernelwright.cli import group
from kernelwright.config import settings_table
from kernelwright.sandbox.sampling import DRAWS, INDEPENDENT
from kernelwright.verifier.evaluation import Verdict
from kernelwright.verifier.lint import rules as lint_rules
from kernelwright.verifier.lint.attacks import MOST_WEIGHTS
from kernelwright.verifier.static import RULES, Severity
from kernelwright.verifier.statistical import CALLS

HERE = Path(__file__).parent
WIDTH = 100


def cli_page() -> str:
    """Every command's help text, as the program prints it."""
    help_names = group.context_settings["help_option_names"]
    root = click.Context(group, info_name="kernelwright", terminal_width=WIDTH, help_option_names=help_names)
    parts = [
        "# Command line",
        "",
        "This page is generated from the program: `make docs` writes it, a test compares it.",
        "",
        "```text",
        group.get_help(root),
        "```",
    ]
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=root)
        parts += ["", f"## {name}", "", "```text", command.get_help(context), "```"]
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                inner = command.commands[below]
                said = inner.get_help(click.Context(inner, info_name=below, parent=context))
                parts += ["", f"### {name} {below}", "", "```text", said, "```"]
    parts += [
        "",
        "## JSON",
        "",
        "`--json` prints exactly one JSON object on standard output, whatever happens; progress and messages for people",
        'go to standard error. An error is the object `{"error": {"kind", "message", "mend", "path", "line"}}`, with the',
        "same exit code as without `--json`: `kind` is the error's class (`TaskError`, `NotFoundError`, ...), `UsageError`",
        "for a wrong command line, or `Interrupted`; `message` says what was found and `mend` what to do; `path` and",
        "`line` are null where no file or line is concerned.",
        "",
        "`verify --json` has at least `verdict`, `reason`, `stages`, `device` and `timing`; `timing` is null unless the",
        "verdict is `passed`, and `timing.kind` is `modelled` or `measured`. Times are in seconds. With `--explain` there is",
        "`explanation` besides, with `--bundle` `bundle` (its path and digest). `recheck --json` has `holds`, `digest`, `changes`,",
        "`comparisons`, `environment`, `fresh_comparisons`, and the evaluations `then`, `now` (null if nothing was run) and `fresh`.",
        "",
        "## Shell completion",
        "",
        "```sh",
        'eval "$(_KERNELWRIGHT_COMPLETE=bash_source kernelwright)"    # ~/.bashrc',
        'eval "$(_KERNELWRIGHT_COMPLETE=zsh_source kernelwright)"     # ~/.zshrc',
        "_KERNELWRIGHT_COMPLETE=fish_source kernelwright | source     # ~/.config/fish/completions/kernelwright.fish",
        "```",
    ]
    return "\n".join(parts) + "\n"


def configuration_page() -> str:
    """Every setting with its variable, default and meaning."""
    parts = [
        "# Configuration",
        "",
        "This page is generated from the settings model: `make docs` writes it, a test compares it.",
        "",
        "Nothing needs to be configured. What is given more closely to the call wins: flags and arguments, then",
        "environment variables, then `kernelwright.toml` in the working directory, then `config.toml` in the",
        "platform's configuration folder (`~/.config/kernelwright/` on Linux), then the defaults. An unknown key in a",
        "file is an error that names the closest setting.",
        "",
        "| setting | environment variable | default | meaning |",
        "|---|---|---|---|",
    ]
    parts += [
        f"| `{name}` | `{variable}` | {default} | {' '.join(meaning.split())} |"
        for name, variable, default, meaning in settings_table()
    ]
    parts += [
        "",
        "For example, in `kernelwright.toml`:",
        "",
        "```toml",
        'gpu = "A100 80GB"',
        "rounds = 10",
        "```",
        "",
        "`KERNELWRIGHT_CACHE` is also read by the worker processes. `OMP_NUM_THREADS` bounds the threads of torch in each of them.",
        "Keys of models are better kept in the variables that their",
        "vendors name (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`), which win over the settings; wherever they are, they are never stored or",
        "logged, and are not in the environment of the processes that run kernels ([models](models.md)).",
    ]
    return "\n".join(parts) + "\n"


def verdicts_page() -> str:
    """Every verdict and input distribution, from the docstrings of their enums."""
    parts = [
        "# Verdicts",
        "",
        "This page is generated from the code: `make docs` writes it, a test compares it.",
        "",
        "An evaluation ends in one verdict. Stages stop at the first failure, and the reason says what to change.",
        "",
        "| verdict | meaning |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in member_docs(Verdict)),
        "",
        "`kernelwright verify` exits with 0 for `passed` and with 1 for every other verdict.",
        "",
        "## What a kernel is checked on",
        "",
        "Each task is run on several workloads, with inputs drawn from seeds that the kernel's process never sees:",
        "",
        "| distribution | inputs |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in member_docs(Distribution)),
        "",
        "## Other sizes",
        "",
        "A kernel may be made for the shapes that the task gives, so other shapes are tried only where the task's file asks for it:",
        'an entry of `WORKLOADS` other than the first may have `"sizes": {"N": 7}`. Then the number `N` of the file is 7 while',
        "`get_init_inputs()`, `Model(...)` and `get_inputs()` run (numbers computed from it at import stay), `ModelNew` is built with",
        "the new arguments and weights, and outputs are compared as ever. Odd, prime and size-1 shapes work, and empty ones: there",
        "shape and dtype are compared, and a launch of no blocks is refused as a GPU would. Such calls are never timed.",
        "",
        "## Tasks that draw random numbers",
        "",
        "Where two calls of the task's module on the same inputs differ (dropout while training, `bernoulli`, `rand_like`), and",
        f"torch's seed decides it, the module is run {DRAWS} times under other seeds, and a kernel is compared with those runs:",
        "",
        "- Where an element takes at most two values in them (a value times a mask), the kernel's is one of the two, within the",
        "  numeric policy.",
        "- Elsewhere values lie near the range of the reference's.",
        "- The mean, variance and distribution of the elements, in all and by parts, the correlation of neighbours (1 to 1,024",
        "  elements and a row apart) and between outputs are those of the reference's own runs, by Student's test; together these",
        "  call a right kernel wrong once in a million verdicts.",
        f"- {CALLS} calls on the same inputs draw random numbers anew: take a seed from torch's generator in `forward`, as in",
        "  `int(torch.randint(0, 2**62, (1,)).item())`, and a counter for each element (Philox).",
        "",
        f"An output of fewer than {INDEPENDENT} independent random values can't be judged so: such a task is refused, as is one whose",
        "calls differ under one seed.",
    ]
    return "\n".join(parts) + "\n"


def static_page() -> str:
    """Every rule of static analysis, from its own table."""
    parts = [
        "# Static analysis",
        "",
        "This page is generated from the code: `make docs` writes it, a test compares it.",
        "",
        "Before a kernel runs, its Python module is parsed by Python's own parser and the CUDA C++ in its strings by",
        "tree-sitter's grammar of CUDA; nothing is searched for in plain text, so comments, docstrings and messages never",
        "count. Names are followed through imports, aliases, `getattr` and constant expressions, and a finding in a CUDA",
        "string has the line and column of the Python module. What is made at run time is told as not analysed, never guessed.",
        "",
        "A rule rejects only what no honest kernel does. Whatever honest code may do is a warning or a note, kept in the",
        "evidence of the stage `static` (`verify --json`), and the stages that run the kernel decide.",
    ]
    for severity, heading in ((Severity.REJECT, "Rejects"), (Severity.WARN, "Warns"), (Severity.NOTE, "Notes")):
        parts += ["", f"## {heading}", "", "| rule | what falls under it | what to do |", "|---|---|---|"]
        parts += [
            f"| `{name}` | {rule.meaning} | {rule.mend} |" for name, rule in RULES.items() if rule.severity is severity
        ]
    return "\n".join(parts) + "\n"


def lint_page() -> str:
    """Every rule of the task linter, from its own table."""
    parts = [
        "# Task lint",
        "",
        "This page is generated from the code: `make docs` writes it, a test compares it.",
        "",
        "`kernelwright bench lint [SUITE|PATH]...` asks of each task whether a kernel that passes it is worth anything. A task is",
        "**refused** (results on it say nothing), **marked** (they are suspect) or **clean**, and everything found has the rule, the figures,",
        "the reason and what to do. The command exits with 1 if a task is refused. `--markdown FILE` writes the table, `--json` prints one",
        "object with everything.",
        "",
        "## How a task is attacked",
        "",
        "The reference process runs the module, as it does when a kernel is judged; what a worthless kernel would give is made from that, and",
        "goes through the same comparison ([numeric policy](numeric-policy.md)) on the same workloads, weights moved off their initial values in",
        "half of them. An attack ends at the first workload that refuses it, and the run ends when all have. No kernel runs. Seeds are fixed, so",
        "that a report is the same each time.",
        "",
        "- *Nothing computed*: zeros; one value everywhere (mean, median of other outputs); the mean of an input or of all; an input itself;",
        "  the outputs on other inputs. Each output and gradient is told by itself: a task may be sound in one and not in another.",
        "- *Something left out*: the reference's own answer with one input, or cotangent, replaced by zeros, by its mean, by other values of",
        "  its distribution, permuted if it is of integers; with one weight replaced by zeros, ones or its initial value; with the first slice along",
        "  one axis of an input, or the mean along it, in the place of all; and the first slice of an output in the place of all.",
        "",
        f"Of a workload with many seeds {lint_rules.MOST_SEEDS} are tried, of a module with many weights {MOST_WEIGHTS} are left out. Of modules that draw random numbers",
        "the outputs are compared by statistics, and several calls with each other; weights and axes are not left out there, as each try would",
        "take many runs.",
        "",
        f"Beside our comparison, `torch.allclose` at {lint_rules.TIGHT:g} and {lint_rules.LOOSE:g} judges every attack on the task's own inputs and initial weights: that is what",
        "KernelBench asks of float32 and of half precision. Two columns of the table have what it accepts. They are about checkers that",
        "compare so: a task that is clean here may have entries there, and our verdicts on it are sound, as our tolerance comes from the numbers.",
        "",
        "An attack that is right since it computes the very function is none: the mean of the input is the answer to `x.mean()`. It counts as",
        "the function if it passes on every workload, and on one of ordinary random values on which outputs for other inputs are refused. The task",
        "gets a note; such a mean lies near zero, where the columns show that a fixed tolerance accepts zeros.",
        "",
        "## How a task is examined",
        "",
        "The module runs on each distribution of its workloads while every ATen operation is watched: does it hand its input on, give a",
        "constant, does anything depend on it? Only what holds in every draw marks a task. Operations are counted at full size with fake tensors,",
        "which take no memory, so that a task of many gigabytes is looked at on a laptop; what depends on values can't be, and is told.",
        "Tasks that are not of our suites are run behind the isolation that kernels run in.",
        "",
        "A **note** leaves a task clean: it says what is worth knowing before results on it are read, for instance that its order of elements does",
        "not matter, or that the emulator takes long. The table names the notes' rules; `--notes` prints their sentences.",
    ]
    severity = lint_rules.Severity
    for each, heading in ((severity.REFUSED, "Refuse"), (severity.MARKED, "Mark"), (severity.NOTE, "Note")):
        parts += ["", f"## {heading}", "", "| rule | what falls under it | why | what to do |", "|---|---|---|---|"]
        parts += [
            f"| `{name}` | {rule.meaning} | {rule.why} | {rule.mend} |"
            for name, rule in lint_rules.RULES.items()
            if rule.severity is each
        ]
    return "\n".join(parts) + "\n"


def member_docs(enumeration: type[Enum]) -> list[tuple[str, str]]:
    """Value and docstring of each member, in order.

    Raises:
        ValueError: a member has no docstring.
    """
    tree = ast.parse(inspect.getsource(enumeration)).body[0]
    assert isinstance(tree, ast.ClassDef)
    documented: dict[str, str] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            target = before.targets[0]
            assert isinstance(target, ast.Name)
            documented[target.id] = " ".join(str(after.value.value).split())
    missing = [member.name for member in enumeration if member.name not in documented]
    if missing:
        raise ValueError(f"{enumeration.__name__} members without a docstring: {', '.join(missing)}")
    return [(str(member.value), documented[member.name]) for member in enumeration]


PAGES = {
    "cli.md": cli_page,
    "configuration.md": configuration_page,
    "verdicts.md": verdicts_page,
    "static-analysis.md": static_page,
    "task-lint.md": lint_page,
}


def main() -> None:
    """Writes every page."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
