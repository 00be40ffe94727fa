"""How openly the server stands: decided once, before it answers anybody."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass, field

from kernelwright.db.access_store import AccessStore
from kernelwright.errors import ConfigError

__all__ = ["Limits", "Policy", "is_loopback", "policy_for"]


@dataclass(frozen=True)
class Limits:
    """What one client, and all of them together, may ask for. A client is an IPv4 address, or a network of 2^64 IPv6 addresses."""

    reads: int = 1200
    """Requests that a client may make in 60 s; a page is some four of them."""
    writes: int = 60
    """Of these, those that are to change something: each may cost a search."""
    sign_ins: int = 10
    """Failed tries at a token in 60 s."""
    body_bytes: int = 4 << 20
    """Of a request; the largest module that is taken has a tenth of it."""
    streams: int = 8
    """Open event streams of a client; a browser opens six connections to a host at most."""
    streams_in_all: int = 64
    connections: int = 96
    """Open connections of a client's address."""
    connections_in_all: int = 480
    """A process has 1,024 file descriptors by default, and the store and a worker need some."""
    head_bytes: int = 32 << 10
    """Of a request's line and headers together; h11 reads 64 KiB at a time, so some more can pass."""
    head_seconds: float = 10.0
    """That a connection may take until its request's headers are there."""
    pause_seconds: float = 15.0
    """Between two pieces of a request's body, and that a client may leave an answer unread."""
    body_seconds: float = 120.0
    """For a whole body."""
    rest_seconds: float = 5.0
    """For the rest of a body that was answered before it was there: closed at once, most clients would not see the answer."""
    idle_seconds: int = 5
    """That a connection is kept without a request."""


@dataclass(frozen=True)
class Policy:
    """Who is answered; the default is this machine only, without tokens until the store has one."""

    host: str = "127.0.0.1"
    """The address that is served."""
    names: frozenset[str] = frozenset()
    """Names, in lower case, that a request's Host may have besides those of the address served."""
    token: bool | None = None
    """Whether a token is needed; None is: once the store has ever had one."""
    proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    limits: Limits = field(default_factory=Limits)

    @property
    def beyond(self) -> bool:
        """Whether other machines reach it."""
        return not is_loopback(self.host)

    def answers_to(self, name: str) -> bool:
        """Whether a request may name this host, in lower case and without its port.

        Only a name can be made to point here by a stranger's page (DNS rebinding); an address can't.
        """
        if name in self.names or is_loopback(name) or name.endswith(".localhost"):
            return True
        if not self.beyond:
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name in {self.host.lower(), socket.gethostname().lower()}
        return True


def is_loopback(host: str) -> bool:
    """Whether it is an address or name of this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def policy_for(
    store: AccessStore, host: str, *, names: tuple[str, ...], proxies: tuple[str, ...], token: bool | None, limits: Limits
) -> Policy:  # fmt: skip
    """The policy of a server that is about to begin.

    Args:
        token: as `Policy.token`; a server that others reach needs one whatever is said.

    Raises:
        ConfigError: others would reach it and there is no token, or it is to be open to others.
    """
    for each in proxies:
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            raise ConfigError(f"--proxy {each} is no address: {error}.", mend="Name the proxy's IP address.") from error
    others = not is_loopback(host) or bool(proxies) or any(not is_loopback(name) for name in names)
    if others and token is False:
        raise ConfigError(
            "A server that others reach can't be open to everybody.",
            mend="Leave out --open, or serve this machine only (--host 127.0.0.1, no --proxy, no --allow-host).",
        )
    needed = True if others else token
    if needed and not store.has_live_tokens():
        raise ConfigError(
            f"{host} is to be served to others or with tokens, and there is no token that is valid.",
            mend="Make one: kernelwright token create NAME --role admin",
        )
    return Policy(host, frozenset(name.lower() for name in names), needed, proxies, limits)
