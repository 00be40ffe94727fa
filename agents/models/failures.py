"""What went wrong in one try, told from the exception that an SDK raised: in words, whether it cost, whether to ask again."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kernelwright.agents.models.protocol import Usage
from kernelwright.agents.models.provider import TryFailed
from kernelwright.errors import KernelwrightError

__all__ = ["broken", "failure_of", "hide", "said", "without"]

_SAID = 400
"""Of what a server says in an error, the characters that are kept."""
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk)-[\w-]{6,}[*\w-]*")
"""How the keys of both vendors and of many others look; servers repeat a wrong one in their answer."""

_AGAIN = {408, 409, 425, 429}
_MENDS = {
    401: "Check the key.",
    402: "Check the account's credit.",
    403: "Check that the key may use this model.",
    404: "Check the model's name and the URL.",
    413: "The prompt is too long for this server.",
}


def hide(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets, and without what looks like a key: for messages, not for what has to stay exact."""
    return _KEY_LIKE.sub("[key]", without(text, secrets))


def without(text: str, secrets: Iterable[str]) -> str:
    """`text` with ``[key]`` in the place of each secret."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    return text


def said(error: BaseException, secrets: Iterable[str]) -> str:
    """What the server said, on one line and without keys; empty if it said nothing."""
    body = getattr(error, "body", None)
    message: object = None
    if isinstance(body, Mapping):
        inner = body.get("error")
        message = inner.get("message") if isinstance(inner, Mapping) else inner
        message = message or body.get("message") or body.get("detail") or json.dumps(body, default=str)
    elif body:
        message = str(body)
    clean = "".join(c if c.isprintable() else " " for c in str(message or getattr(error, "message", "") or error))
    clean = hide(" ".join(clean.split()), secrets)
    return clean if len(clean) <= _SAID else clean[: _SAID - 3] + "..."


def broken(name: str, what: str, usage: Usage | None = None, *, charged: bool = True) -> TryFailed:
    """A reply that began and did not end as its protocol says."""
    return TryFailed(
        f"{name}: {what}.", mend="Go on with the run to ask again.", charged=charged, usage=usage, again=True
    )


def failure_of(
    error: Exception, name: str, *, begun: bool, usage: Usage | None, secrets: Iterable[str]
) -> KernelwrightError:
    """The failure that `error` stands for; to be raised `from None`, for what caused it may show a key.

    Args:
        begun: the server had answered with success before.
        usage: what it had reported by then.
    """
    import httpx2

    for link in _chain(error):
        if isinstance(link, TryFailed):
            link.usage = link.usage or usage
            return link
        if isinstance(link, KernelwrightError):
            return link
    status = getattr(error, "status_code", None)
    if status is not None and not begun:
        return _status(error, int(status), name, secrets)
    if status is not None or getattr(error, "body", None):  # an error as an event of the stream
        return broken(name, f"the server broke its reply off ({said(error, secrets)})", usage)
    for link in _chain(error):
        if isinstance(link, httpx2.HTTPError):
            return _network(link, name, begun, usage, secrets)
    if isinstance(error, ValueError | TypeError | AttributeError | KeyError | IndexError):
        if not begun:
            raise error  # a fault of ours: nothing of the server's was read yet
        return broken(name, f"the reply is no valid message ({_words(error, secrets)})", usage)
    return broken(name, f"the connection broke ({_words(error, secrets)})", usage, charged=begun)


def _status(error: Exception, status: int, name: str, secrets: Iterable[str]) -> TryFailed:
    words = said(error, secrets)
    spent = status == 429 and any(code in str(getattr(error, "body", "")) for code in ("insufficient_quota", "billing"))
    again = (status in _AGAIN or status >= 500) and not spent
    headers = getattr(getattr(error, "response", None), "headers", {})
    mend = "Check the account's credit." if spent else _MENDS.get(status, "")
    if again:
        mend = "The server has no room at the moment: go on with the run later."
    return TryFailed(
        f"{name} answered {status}: {words}", mend=mend, again=again, wait=_asked_wait(headers) if again else None
    )


def _network(error: Exception, name: str, begun: bool, usage: Usage | None, secrets: Iterable[str]) -> TryFailed:
    import httpx2

    from kernelwright.agents.models.transport import OverTime, TooLong

    words = _words(error, secrets)
    if isinstance(error, OverTime):
        mend = "Give it more time (setting `model_seconds`), or ask for less reasoning."
        return TryFailed(f"{name} was not done in time ({words}).", mend=mend, charged=True, usage=usage)
    if isinstance(error, TooLong):
        return TryFailed(f"{name} sent {words}, which was cut off.", charged=True, usage=usage)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        mend = "Check the URL and the network, and that the server runs."
        return TryFailed(f"{name} can't be reached ({words}).", mend=mend, again=True)
    if isinstance(error, httpx2.TimeoutException):
        return broken(name, f"the server fell silent ({words})", usage)
    return broken(name, f"the connection broke ({words})", usage, charged=begun)


def _words(error: BaseException, secrets: Iterable[str]) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    return hide(text[:_SAID] or type(error).__name__, secrets)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _asked_wait(headers: Mapping[str, Any]) -> float | None:
    """Seconds by ``retry-after-ms`` or ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date)."""
    for header, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        given = str(headers.get(header) or "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", given):
            return float(given) * unit
    given = str(headers.get("retry-after") or "")
    try:
        at = email.utils.parsedate_to_datetime(given)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
