"""The start of every worker: its module's imports run without the collector of garbage, which finds none there.

Importing torch makes some million objects that all stay, and walking over them again and again is a seventh of its 1.6 s.
`serve.judge_channel` switches the collector on, before the worker hears of any work.

Run with ``python -m kernelwright.sandbox.start MODULE FD``.
"""

from __future__ import annotations

import gc
import runpy
import sys


def main() -> None:
    """Becomes the worker's module."""
    gc.disable()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
