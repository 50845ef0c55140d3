"""``ourvidz keys``: who may use the service."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ourvidz.catalog.config import load_settings
from ourvidz.cli.output import console, print_json
from ourvidz.core.clock import SystemClock
from ourvidz.core.errors import MissingDependency

if TYPE_CHECKING:
    from ourvidz.jobs.model import ApiKey
    from ourvidz.jobs.store import JobStore

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys.")

_FIRST_SCOPES = ("admin",)

Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]


@app.command()
def create(
    name: Annotated[str, typer.Option("--name", help="What or whom it is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            help="What it may; may be repeated. Left out: admin for the first key, "
            "jobs:read and jobs:write for others.",
        ),
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose jobs it sees.")] = "default",
    expires_in_days: Annotated[
        float | None, typer.Option("--expires-in-days", help="Left out: never.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option("--requests-per-minute", min=1, help="Quota.")
    ] = None,
    queued_jobs: Annotated[int | None, typer.Option("--queued-jobs", min=1, help="Quota.")] = None,
    device_seconds_per_day: Annotated[
        float | None, typer.Option("--device-seconds-per-day", min=0.001, help="Quota.")
    ] = None,
    json: Json = False,
) -> None:
    """Create a key and show its secret: this once, as only its hash is kept.

    Once a key exists, every request needs one, from this machine too.
    """
    api_keys = _api_keys()
    from ourvidz.api.auth import DEFAULT_SCOPES
    from ourvidz.jobs.model import Quotas

    with _store() as store:
        scopes = tuple(scope or (DEFAULT_SCOPES if store.keys() else _FIRST_SCOPES))
        key, secret = api_keys.create_key(
            store=store,
            clock=SystemClock(),
            name=name,
            tenant=tenant,
            scopes=scopes,
            quotas=Quotas(
                requests_per_minute=requests_per_minute,
                queued_jobs=queued_jobs,
                device_seconds_per_day=device_seconds_per_day,
            ),
            expires_in_days=expires_in_days,
        )
    console.print(f"[green]✓[/] {key.id} may {', '.join(key.scopes)}", highlight=False)
    if json:
        print_json(_facts(key) | {"secret": secret})
        return
    console.print("The secret, shown this once:", highlight=False)
    typer.echo(secret)


@app.command(name="list")
def list_(json: Json = False) -> None:
    """List keys, newest first."""
    with _store() as store:
        keys = store.keys()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "name", "begins with", "tenant", "scopes", "last used", "state"):
        table.add_column(column)
    for key in keys:
        table.add_row(
            key.id,
            escape(key.name),
            key.prefix + "…",
            escape(key.tenant),
            " ".join(key.scopes),
            _when(key.last_used_at) or "never",
            _state(key),
        )
    console.print(table)
    if json:
        print_json({"keys": [_facts(key) for key in keys]})


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, from the list.")], json: Json = False
) -> None:
    """Revoke a key; it works from the next request on no more."""
    with _store() as store:
        key = store.revoke_key(key_id)
    console.print(f"[green]✓[/] {key.id} ({escape(key.name)}) is revoked", highlight=False)
    if json:
        print_json(_facts(key))


def _api_keys() -> Any:
    try:
        from ourvidz.api import keys
    except ImportError as error:
        raise MissingDependency(
            f"Keys need the package {error.name!r}.", hint="Install ourvidz[serve]."
        ) from error
    return keys


@contextmanager
def _store() -> Generator[JobStore]:
    from ourvidz.jobs.open import open_store

    store = open_store(load_settings())
    try:
        store.migrate()
        yield store
    finally:
        store.close()


def _facts(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "[red]revoked[/]"
    if key.expires_at is None:
        return "[green]valid[/]"
    is_over = key.expires_at <= datetime.now(UTC).timestamp()
    return "[red]expired[/]" if is_over else f"[green]valid[/] until {_when(key.expires_at)}"


def _when(unix_s: float | None) -> str:
    if unix_s is None:
        return ""
    return datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M")
