"""ScriptedServer: the model server in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelwright.agents.model_server.script import Script
from kernelwright.agents.model_server.script_file import load_script, parse_script
from kernelwright.agents.model_server.tally import Book, Tally
from kernelwright.errors import KernelwrightError, MisuseError

if TYPE_CHECKING:
    from kernelwright.agents.model_server.app import Application

__all__ = ["ScriptedServer", "serving"]

START_SECONDS = 30.0


@contextmanager
def serving(
    script: Script | Mapping[str, Any] | Path, *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None
) -> Iterator[ScriptedServer]:
    """Serves a script while the block runs.

    Args:
        script: a script, the mapping that describes one, or the file with it.
        port: 0 takes a free one.
        log: a file that gets a line of JSON for every request.

    Raises:
        MisuseError: the script, the address or the log can't be used.
    """
    server = ScriptedServer(script, host=host, port=port, log=log)
    try:
        yield server
    finally:
        server.close()


class ScriptedServer:
    """A model server that listens from when it is made until `close`."""

    def __init__(
        self,
        script: Script | Mapping[str, Any] | Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        if isinstance(script, Path):
            script = load_script(script)
        elif not isinstance(script, Script):
            script = parse_script(script)
        self._script = script
        listener = _listen(host, port)
        try:
            self._book = Book(log)
        except MisuseError:
            listener.close()
            raise
        self.port: int = listener.getsockname()[1]
        self.host = f"[{host}]" if ":" in host else host
        self._app: Application | None = None
        self._server: Any = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(listener,), name="model-server", daemon=True)
        self._thread.start()
        self._started.wait(START_SECONDS)
        if self._failure is not None or not self._started.is_set():
            self.close()
            raise KernelwrightError(f"the model server did not start: {self._failure or 'no answer'}.")

    @property
    def openai_url(self) -> str:
        """What an OpenAI client takes for its base URL."""
        return f"http://{self.host}:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        """What an Anthropic client takes for its base URL."""
        return f"http://{self.host}:{self.port}"

    def tally(self) -> Tally:
        """All requests until now; one is in it before its client sees the last byte of the reply."""
        assert self._app is not None
        return self._app.tally()

    def close(self) -> None:
        """Stops; replies that are under way break off."""
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()
        self._book.close()

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except BaseException as error:  # noqa: BLE001 - it is handed to the thread that waits for the start
            self._failure = error
        finally:
            listener.close()
            self._started.set()

    async def _serve(self, listener: socket.socket) -> None:
        from kernelwright.agents.model_server.app import Application
        from kernelwright.agents.model_server.http import make_server
        from kernelwright.agents.model_server.sending import Stopping

        stopping = Stopping()
        self._app = Application(self._script, self._book, stopping, int(time.time()))
        self._server = make_server(self._app.asgi(), stopping, self._started)
        await self._server.serve([listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        words = getattr(error, "strerror", None) or error
        raise MisuseError(f"can't listen at {host} port {port}: {words}.", mend="Try --port 0.") from None
    return listener
