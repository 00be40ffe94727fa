"""Says on standard output which isolation a script shall ask for: what `auto` finds, else `process`, with a warning."""

from __future__ import annotations

import sys

from kernelwright.errors import ConfigError
from kernelwright.sandbox.isolation import choose_isolation


def main() -> None:
    """Writes one word; the warning goes to standard error."""
    try:
        found = choose_isolation("auto")
    except ConfigError as error:
        found = "process"
        sys.stderr.write(f"WARNING: {error.message} This run takes a plain process all the same. {error.mend}\n")
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main()
