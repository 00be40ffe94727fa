"""A worker program for the tests of isolation: runs the code it is sent, and answers with what that leaves in `found`."""

from __future__ import annotations

from typing import Any

from kernelwright.sandbox.channel import Message
from kernelwright.sandbox.serve import serve


def run(message: Message) -> tuple[dict[str, Any], Any]:
    names: dict[str, Any] = {}
    exec(message.body["code"], names)
    return {"found": names.get("found")}, None


if __name__ == "__main__":
    serve({"run": run})
