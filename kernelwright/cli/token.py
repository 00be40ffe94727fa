"""`kernelwright token`: who may use a server that others reach."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from kernelwright.cli.base import common_flags, console, print_json, start

if TYPE_CHECKING:
    from kernelwright.db.access import Token

__all__ = ["token"]


@click.group(name="token", context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Tokens: who may use `kernelwright serve` over a network, and for what."""


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "submit", "admin"]),
    default="read",
    show_default=True,
    help="read sees everything; submit hands modules in and cancels its own runs; admin may do all.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), metavar="N", help="Days that it is valid (default: until revoked)."
)
@common_flags
def create(name: str, role: str, days: int | None, as_json: bool, verbose: bool, debug: bool) -> int:
    """Make a token for NAME and show it, this once: the store keeps only its hash.

    \b
    Examples:
      kernelwright token create ada --role submit --days 90
      kernelwright token create prometheus --role admin > token.txt
    """
    from kernelwright.db.access import Role, new_credential
    from kernelwright.jobs import open_store

    credential = new_credential()
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with open_store(start(verbose=verbose)) as store:
        made = store.add_token(credential, name, Role(role), expires)
    if as_json:
        print_json({"token": credential.text, **_json(made)})
    else:
        click.echo(credential.text)
        click.echo(f"Token of {name}, role {role}. It is shown this once; keep it like a password.", err=True)
    return 0


@token.command("list")
@common_flags
def list_tokens(as_json: bool, verbose: bool, debug: bool) -> int:
    """List the tokens that were made, by name, role and state."""
    from kernelwright.jobs import open_store

    with open_store(start(verbose=verbose), to_read=True) as store:
        made = store.tokens()
    if as_json:
        print_json({"tokens": [_json(each) for each in made]})
        return 0
    screen = console(as_json)
    if not made:
        screen.print("No tokens yet. Make one: kernelwright token create NAME --role admin", soft_wrap=True)
        return 0
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "role", "state", "made", "valid until", box=SIMPLE_HEAD, pad_edge=False)
    for each in made:
        until = "no end" if each.expires is None else f"{each.expires:%Y-%m-%d %H:%M}"
        table.add_row(*map(Text, (each.name, each.role.value, _state(each), f"{each.created:%Y-%m-%d %H:%M}", until)))
    screen.print(table)
    return 0


@token.command()
@click.argument("name")
@common_flags
def revoke(name: str, as_json: bool, verbose: bool, debug: bool) -> int:
    """End the token of NAME at once, and every browser session that was begun with it."""
    from kernelwright.jobs import open_store

    with open_store(start(verbose=verbose)) as store:
        ended = store.revoke_token(name)
    if as_json:
        print_json(_json(ended))
    else:
        click.echo(f"The token of {ended.name} opens nothing any more.", err=True)
    return 0


def _state(token: Token) -> str:
    if token.revoked is not None:
        return "revoked"
    return "valid" if token.live(datetime.now(UTC)) else "expired"


def _json(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role.value,
        "state": _state(token),
        "created": token.created.isoformat(),
        "expires": None if token.expires is None else token.expires.isoformat(),
        "revoked": None if token.revoked is None else token.revoked.isoformat(),
    }
