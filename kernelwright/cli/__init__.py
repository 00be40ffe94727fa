"""The command line. `main` maps every way a command can end to a message and an exit code.

    0    passed, or done
    1    judged and not passed, or an error that is not the caller's
    2    misuse: a file, flag, setting or name that can't be used
    130  interrupted (Ctrl-C or a polite kill); finished attempts are kept

Answering ``--help`` imports click and nothing else of weight: every command imports what it needs when it runs.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from kernelwright import __version__

# each of these registers its commands
from kernelwright.cli import (  # noqa: F401
    bench_baseline,
    bench_import,
    bench_lint,
    bench_run,
    bench_submit,
    dataset_build,
    dataset_expand,
    dataset_import,
    train_model,
)
from kernelwright.cli.archive import archive
from kernelwright.cli.base import Interrupted, print_json
from kernelwright.cli.bench import bench
from kernelwright.cli.calibrate import calibrate
from kernelwright.cli.costs import costs
from kernelwright.cli.dataset import dataset
from kernelwright.cli.evidence import recheck
from kernelwright.cli.leaderboard import leaderboard
from kernelwright.cli.machine import doctor, gpus
from kernelwright.cli.mcp import mcp
from kernelwright.cli.model_server import model_server
from kernelwright.cli.profiling import profile
from kernelwright.cli.programs import run as run_program
from kernelwright.cli.programs import sanitize
from kernelwright.cli.report import report
from kernelwright.cli.serve import serve, worker
from kernelwright.cli.stored import export, runs, show
from kernelwright.cli.token import token
from kernelwright.cli.train import train
from kernelwright.cli.work import optimize, resume, translate, verify
from kernelwright.errors import KernelwrightError, MisuseError

__all__ = ["group", "main", "run"]

INTERRUPTED = 130


@click.group(name="kernelwright", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kernelwright")
def group() -> None:
    """A PyTorch module in, an optimised CUDA kernel that you can trust out. Needs no GPU and no API key.

    \b
    Start with:
      kernelwright optimize examples/softmax.py
      kernelwright doctor

    Exit codes: 0 passed or done, 1 judged and not passed, 2 misuse, 130 interrupted. Settings come from
    kernelwright.toml and KERNELWRIGHT_* variables (docs/configuration.md); flags win.
    """


for _command in (
    optimize,
    translate,
    verify,
    recheck,
    run_program,
    sanitize,
    profile,
    runs,
    show,
    export,
    archive,
    costs,
    bench,
    leaderboard,
    dataset,
    report,
    resume,
    doctor,
    gpus,
    calibrate,
    model_server,
    mcp,
    serve,
    worker,
    token,
    train,
):
    group.add_command(_command)


_OF_THE_MACHINE = frozenset({errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENOSPC})
"""What a system refuses wherever it is asked: a name that is too long, a full disk, one file too many."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the `kernelwright` program."""
    # set before torch is loaded: its threads would spin on cores that the workers need
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Runs one command and returns its exit code; an error it knows never shows a traceback."""
    arguments = list(argv)
    flags = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, debug = "--json" in flags, "--debug" in flags
    # A polite kill is an interrupt: the search stores where it stands, workers are ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = group.main(args=arguments, prog_name="kernelwright", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        return _usage(error, as_json)
    except Interrupted as stop:
        return _interrupted(stop, as_json)
    except (click.Abort, KeyboardInterrupt):
        return _interrupted(Interrupted(None), as_json)
    except KernelwrightError as error:
        return _known(error, as_json, debug)
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise  # click makes a SystemExit of a broken pipe, and of nothing else
        # The reader went away (`| head`): nothing is wrong, and nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE  # as if the signal had ended us, which is what other tools answer
    except Exception as error:  # noqa: BLE001 - the outermost edge: a bug becomes one line and a log entry
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            return _known(_refused(error), as_json, debug)
        return _bug(error, as_json, debug)
    return code if isinstance(code, int) else 0


def _known(error: KernelwrightError, as_json: bool, debug: bool) -> int:
    from kernelwright.render import error_text, make_console
    from kernelwright.views import error_json

    if debug:
        traceback.print_exception(error)
    if as_json:
        print_json(error_json(error))
    make_console(sys.stderr).print(error_text(error), soft_wrap=True)
    return error.exit_code


def _refused(error: OSError) -> KernelwrightError:
    path = error.filename if isinstance(error.filename, str) else None
    kind = MisuseError if error.errno == errno.ENAMETOOLONG else KernelwrightError
    return kind(f"the system refuses: {error.strerror}.", path=path)


def _usage(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        _echo_error("UsageError", error.format_message(), "See kernelwright --help.")
    error.show(sys.stderr)
    return error.exit_code if error.exit_code > 1 else 2


def _interrupted(stop: Interrupted, as_json: bool) -> int:
    message = (
        "interrupted" if stop.run_id is None else f"interrupted; the finished attempts of run {stop.run_id} are kept"
    )
    mend = "" if stop.run_id is None else f"{stop.command} {stop.run_id}"
    if as_json:
        _echo_error("Interrupted", message, mend)
    click.echo(f"{message}." + (f" Go on with: {mend}" if mend else ""), err=True)
    return INTERRUPTED


def _bug(error: Exception, as_json: bool, debug: bool) -> int:
    from kernelwright.logs import keep_traceback

    if debug:
        traceback.print_exception(error)
    path = keep_traceback(error)
    message = f"unexpected error ({type(error).__name__}), a bug in kernelwright"
    mend = f"The traceback is in {path}." if path else "Run it again with --debug to see the traceback."
    if as_json:
        _echo_error(type(error).__name__, message, mend)
    click.echo(f"error: {message}. {mend}", err=True)
    return 1


def _echo_error(kind: str, message: str, mend: str) -> None:
    body = {"kind": kind, "message": message, "mend": mend, "path": None, "line": None}
    print_json({"error": body})
