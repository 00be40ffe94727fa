"""The extra that training models needs, and the switches of its libraries."""

from __future__ import annotations

import importlib.util
import logging
import os

from kernelwright.errors import ConfigError

__all__ = ["PACKAGES", "quiet", "require_extra"]

PACKAGES = ("accelerate", "datasets", "peft", "transformers", "trl")
"""What `kernelwright[rl]` installs."""


def require_extra(*, hub: bool = False) -> None:
    """Makes sure that the extra is there. Call it before anything of it is imported.

    Args:
        hub: whether models and data may be fetched from the Hugging Face hub; without it nothing is asked of any server.

    Raises:
        ConfigError: a package is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"training a language model needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            mend="Install the extra: pip install 'kernelwright[rl]'.",
        )
    if not hub:
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # its hook for rollouts is experimental, and pinned
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # processes are started after tokenizers were used


def quiet() -> None:
    """Sends the libraries' messages to the log of ours, and keeps their progress bars to themselves."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_default_handler()
    for name in ("py.warnings", *PACKAGES):
        logger = logging.getLogger(name)
        if not any(isinstance(handler, _Forward) for handler in logger.handlers):
            logger.addHandler(_Forward())
        logger.propagate = False


class _Forward(logging.Handler):
    """Hands records on to our own logger, which has the log file."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger("kernelwright").handle(record)
