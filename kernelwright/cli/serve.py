"""The commands `serve` and `worker`: the web page with its HTTP API, and who makes the searches that are submitted there."""

from __future__ import annotations

from typing import Any

import click

from kernelwright.cli.base import device_flags, start

__all__ = ["serve", "worker"]

_searches = click.option(
    "--searches", type=click.IntRange(1, 64), default=1, show_default=True, help="Searches that are made at a time."
)


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to serve; the default is this machine only."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8930, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A name that the server is asked for by; several times for more.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="ADDRESS",
    help="Address of a proxy before it that does TLS and says whom a request is from.",
)
@click.option(
    "--require-token/--open",
    "token",
    default=None,
    help="Ask for a token on this machine too, or never (default: once there is one).",
)
@click.option(
    "--rate",
    type=click.IntRange(min=0),
    metavar="N",
    help="Requests of one client in a minute; 0 is no limit (default: 1200).",
)
@_searches
@click.option("--no-worker", is_flag=True, help="Start no worker; searches wait for `kernelwright worker`.")
@device_flags
@click.option("--log-json", is_flag=True, help="Log requests and messages to standard error, one JSON object a line.")
@click.option("-v", "--verbose", is_flag=True, help="Log to standard error as well.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def serve(
    host: str, port: int, names: tuple[str, ...], proxies: tuple[str, ...], token: bool | None, rate: int | None, searches: int,
    no_worker: bool, log_json: bool, verbose: bool, debug: bool, **flags: Any,
) -> int:  # fmt: skip
    """Serve the web page and its HTTP API, and make the searches that are submitted there.

    Modules can be submitted and watched, kernels browsed, compared and downloaded. What is submitted is kept in a queue: it outlives
    this server, and a worker that is killed. See docs/web.md. To serve it to others, make tokens first (`kernelwright token`); see
    docs/serving.md.

    \b
    Examples:
      kernelwright serve
      kernelwright serve --port 8080 --searches 2 --gpu A100
      kernelwright serve --allow-host kernels.example.org --proxy 127.0.0.1
    """
    from dataclasses import replace

    from kernelwright import logs
    from kernelwright.service.serving import serve_http
    from kernelwright.web.access.policy import Limits, is_loopback, policy_for

    settings = start(verbose=verbose, **flags)
    logs.set_up_access(settings.access_log, stderr=log_json)
    limits = Limits() if rate is None else replace(Limits(), reads=rate)

    def ready(url: str) -> None:
        if not is_loopback(host) and not proxies:
            click.echo(
                "Others reach this server without TLS: their tokens can be read on the way (docs/serving.md).", err=True
            )
        click.echo(f"Serving {url}   (Ctrl-C ends it; what is submitted is kept)", err=True)

    serve_http(
        settings, port, None if no_worker else searches,
        lambda store: policy_for(store, host, names=names, proxies=proxies, token=token, limits=limits), ready,
    )  # fmt: skip
    return 0


@click.command()
@_searches
@device_flags
@click.option("-v", "--verbose", is_flag=True, help="Log to standard error as well.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--with-parent", is_flag=True, hidden=True, help="Stop when standard input ends.")
def worker(searches: int, with_parent: bool, verbose: bool, debug: bool, **flags: Any) -> int:
    """Make the searches that wait in the store's queue.

    Any number of workers can share a store. One that is killed loses nothing: another one goes on with what it had. Ctrl-C or a
    polite kill stores where searches stand and gives them back.

    \b
    Example:
      kernelwright worker --searches 2
    """
    import signal
    import sys
    import threading

    from kernelwright.jobs import open_store
    from kernelwright.service.worker import Worker

    settings = start(verbose=verbose, **flags)
    with (
        open_store(settings) as store,
        Worker(settings, store, searches, lambda text: click.echo(text, err=True)) as one,
    ):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: one.stop())
        if with_parent:

            def stop_with_parent() -> None:
                sys.stdin.read()
                one.stop()

            threading.Thread(target=stop_with_parent, daemon=True).start()
        click.echo(f"Worker {one.name} waits for searches   (Ctrl-C ends it)", err=True)
        one.work()
        click.echo("Stopping; searches store where they stand.", err=True)
    return 0
