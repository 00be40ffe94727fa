"""`cupy.cuda`: streams, events and devices as no-ops, since every launch has finished when it returns."""

from __future__ import annotations

from typing import Any


class Stream:
    """A stream on which everything has already happened."""

    null: Stream
    ptr = 0

    def __init__(self, *_args: Any, **_keywords: Any) -> None:
        pass

    def use(self) -> Stream:
        """Makes it the current stream."""
        return self

    def synchronize(self) -> None:
        """Nothing is pending."""

    def record(self, event: Any = None) -> Any:
        """Notes nothing."""
        return event

    def wait_event(self, _event: Any) -> None:
        """Nothing is pending."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass


Stream.null = Stream()


class ExternalStream(Stream):
    """A stream made elsewhere, by torch for instance."""


class Event:
    """An event that has already happened."""

    def record(self, _stream: Any = None) -> None:
        """Notes nothing."""

    def synchronize(self) -> None:
        """Nothing is pending."""


class Device:
    """The one device."""

    id = 0

    def __init__(self, *_args: Any) -> None:
        pass

    def use(self) -> Device:
        """Makes it current."""
        return self

    def synchronize(self) -> None:
        """Nothing is pending."""

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def get_current_stream() -> Stream:
    """The current stream."""
    return Stream.null


class runtime:
    """`cupy.cuda.runtime`, as far as kernels' host code asks."""

    @staticmethod
    def deviceSynchronize() -> None:
        """Nothing is pending."""

    @staticmethod
    def getDevice() -> int:
        """The one device."""
        return 0
