"""``ourvidz cluster``: worker groups on many machines, placed by Ray."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

import ourvidz
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.cli.output import console, print_json
from ourvidz.core.errors import InvalidRequest

if TYPE_CHECKING:
    from ourvidz.cluster.shape import ClusterShape, Pool
    from ourvidz.cluster.wishes import Seen, Wishes

app = typer.Typer(no_args_is_help=True, help="Worker groups on many machines, placed by Ray.")

_RAY_MARGIN_S = 35.0  # Ray itself drains a node for 30 s
_LEAVE_MARGIN_S = 20.0  # for a last unit of work, and for the controller to see it
_HEAD_S = 60.0  # for a head that starts beside its controller
_RAY_FOLDER = "/tmp/ray"
_STATES = {"ready": "green", "starting": "yellow", "draining": "cyan", "drained": "dim"}

Json = Annotated[bool, typer.Option("--json", help="End with one line of JSON on stdout.")]
Name = Annotated[str, typer.Option("--cluster", help="Which, where a database has several.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait; 0: none.")]
Address = Annotated[str, typer.Option("--address", help="host:port of the Ray head, or auto.")]
PoolName = Annotated[str, typer.Argument(help="The pool's name.")]
Floor = Annotated[int | None, typer.Option("--floor", help="Fewest groups.")]
Ceiling = Annotated[int | None, typer.Option("--ceiling", help="Most groups.")]
Gpus = Annotated[int | None, typer.Option("--gpus", help="GPUs of a group: 1, 2, 4 or 8.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="KEY=VALUE of nodes; may be repeated.")
]
Memory = Annotated[
    int | None, typer.Option("--object-store-memory", hidden=True, help="Bytes, for Ray.")
]
Folder = Annotated[Path, typer.Option("--ray-folder", help="Ray's logs and sockets.")]


@app.command()
def up(
    pool: Annotated[
        str | None, typer.Argument(help="Pool to make or change.", show_default=False)
    ] = None,
    gpus: Gpus = None,
    floor: Floor = None,
    ceiling: Ceiling = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Claim only these; may be repeated.")
    ] = None,
    label: Labels = None,
    version: Annotated[
        str | None, typer.Option("--version", help="Another one has all groups replaced.")
    ] = None,
    target_wait: Annotated[
        float | None, typer.Option("--target-wait", help="Seconds a new job should wait at most.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Be the controller, until told to stop.")
    ] = False,
    address: Address = "auto",
    cluster: Name = "main",
    timeout: Timeout = 120.0,
    test_engine: Annotated[bool, typer.Option("--test-engine", hidden=True)] = False,
    json: Json = False,
) -> None:
    """Have worker groups on the cluster's nodes, and keep them.

    The wish is kept in Postgres. The controller (`--watch`, or beside `ourvidz cluster head`) makes
    it so: it starts groups, has more or fewer of them between floor and ceiling as the queue needs,
    and replaces them one at a time when the pool changes. Jobs need neither it nor Ray.
    """
    from ourvidz.cluster.waiting import wait_ready

    settings, wishes = _open(cluster)
    wishes.create()
    if pool is not None:
        changes = {
            "num_gpus": gpus,
            "floor": floor,
            "ceiling": ceiling,
            "models": tuple(model) if model else None,
            "labels": _pairs(label) if label else None,
            "version": version,
            "target_wait_s": target_wait,
            "uses_test_engine": test_engine or None,
        }
        wanted = _put_pool(settings, wishes, pool, changes)
        console.print(
            f"[green]✓[/] pool {pool}: {wanted.floor} to {wanted.ceiling} groups of"
            f" {wanted.num_gpus} GPU(s)",
            highlight=False,
        )
        if not watch and timeout:
            wait_ready(wishes, wanted, timeout_s=timeout)
            _tell_unclaimed(wishes.seen().report)
    elif not watch:
        raise InvalidRequest(
            "No pool is named.", param="pool", hint="ourvidz cluster up video --gpus 1 --floor 2"
        )
    if watch:
        _watch(settings, wishes, cluster, address)
    elif json:
        _print_status(wishes)


@app.command()
def status(cluster: Name = "main", json: Json = False) -> None:
    """Show pools, nodes and groups as the controller saw them last. Needs no Ray."""
    _, wishes = _open(cluster)
    shape, seen = wishes.shape(), wishes.seen()
    report = seen.report
    console.print(_health(seen), highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("pool", "GPUs", "floor", "target", "ceiling", "ready", "no room", "models"):
        table.add_column(name, justify="left" if name in {"pool", "models"} else "right")
    for pool in shape.pools:
        found = report.get("pools", {}).get(pool.name, {})
        table.add_row(
            pool.name,
            str(pool.num_gpus),
            str(pool.floor),
            str(found.get("target", "")),
            str(pool.ceiling),
            str(found.get("ready", 0)),
            str(found.get("unplaced") or ""),
            escape(", ".join(pool.models) or "any"),
        )
    console.print(table)
    _tell_unclaimed(report)
    for node in report.get("nodes", ()):
        _show_node(node, report, is_cordoned=shape.is_cordoned(node["id"], node["hostname"]))
    _show_away(shape, report)
    if json:
        _print_status(wishes)


@app.command()
def scale(
    pool: PoolName,
    floor: Floor = None,
    ceiling: Ceiling = None,
    cluster: Name = "main",
    timeout: Timeout = 120.0,
    json: Json = False,
) -> None:
    """Change between how many groups a pool may have; who is too many is drained."""
    from ourvidz.cluster.waiting import wait_ready

    if floor is None and ceiling is None:
        raise InvalidRequest("Neither floor nor ceiling is given.", hint="--floor 2 --ceiling 8")
    settings, wishes = _open(cluster)
    wishes.shape().pool(pool)
    wanted = _put_pool(settings, wishes, pool, {"floor": floor, "ceiling": ceiling})
    if timeout:
        wait_ready(wishes, wanted, timeout_s=timeout)
    if json:
        _print_status(wishes)


@app.command()
def drain(
    node: Annotated[str, typer.Argument(help="Id (or its beginning), address or host name.")],
    undo: Annotated[bool, typer.Option("--undo", help="Let it have groups again.")] = False,
    cluster: Name = "main",
    timeout: Timeout = 120.0,
    json: Json = False,
) -> None:
    """Empty a node before it leaves: its groups finish or give back what runs; others start.

    It stays empty by its host name, also when it or the head starts anew, until `--undo`. Of
    several nodes with one host name only the one that is meant is drained, until it or the head
    starts anew.
    """
    from ourvidz.cluster.waiting import is_on, node_named, own_hostname, wait_gone

    _, wishes = _open(cluster)
    report = wishes.seen().report
    if undo:
        _undo_drain(wishes, report, node)
    else:
        node_id = node_named(report, node)
        hostname = own_hostname(report, node_id)
        wishes.change(lambda shape: shape.cordon(node_id, hostname=hostname))
        if timeout:
            wait_gone(wishes, lambda group: is_on(group, node_id), timeout_s=timeout)
            console.print(f"[green]✓[/] node {node_id[:8]} is empty", highlight=False)
    if json:
        _print_status(wishes)


@app.command()
def down(
    pool: Annotated[
        str | None, typer.Argument(help="Only this pool; left out, all.", show_default=False)
    ] = None,
    cluster: Name = "main",
    timeout: Timeout = 120.0,
    json: Json = False,
) -> None:
    """Drain the groups of a pool, or of all; jobs stay queued. Ray itself goes on."""
    from ourvidz.cluster.waiting import wait_gone

    _, wishes = _open(cluster)
    wishes.change(lambda shape: shape.without(pool))
    if timeout:
        wait_gone(
            wishes,
            lambda group: pool is None or group["name"].startswith(f"{pool}/"),
            timeout_s=timeout,
        )
        console.print("[green]✓[/] no group is left", highlight=False)
    if json:
        _print_status(wishes)


@app.command()
def head(
    host: Annotated[
        str, typer.Option("--host", help="Address that nodes reach; 127.0.0.1: none but this one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 6379,
    num_gpus: Annotated[
        int, typer.Option("--num-gpus", min=0, help="Of this machine, for groups.")
    ] = 0,
    cluster: Name = "main",
    ray_folder: Folder = Path(_RAY_FOLDER),
    object_store_memory: Memory = None,
) -> None:
    """Keep a Ray head and the controller alive on this machine, until told to stop."""
    from ourvidz.cluster.launch import Keeper, head_programs
    from ourvidz.cluster.ray_side import secure_environment
    from ourvidz.worker.logs import log_to_stderr

    _, wishes = _open(cluster)
    environment = secure_environment()
    wishes.create()
    log_to_stderr("cluster-head")
    controller = [sys.executable, "-m", "ourvidz.cli", "cluster", "up", "--watch"]
    programs = head_programs(
        host=host,
        port=port,
        folder=ray_folder,
        controller=[*controller, "--address", f"{host}:{port}", "--cluster", cluster],
        environment=environment,
        num_gpus=num_gpus,
        object_store_bytes=object_store_memory,
    )
    Keeper(programs, stop_s=_RAY_MARGIN_S).run(_stop_on_signal())


@app.command()
def node(
    address: Annotated[str, typer.Option("--address", help="host:port of the Ray head.")],
    num_gpus: Annotated[
        int | None, typer.Option("--num-gpus", min=0, help="Left out: those that are there.")
    ] = None,
    label: Labels = None,
    cluster: Name = "main",
    ray_folder: Folder = Path(_RAY_FOLDER),
    object_store_memory: Memory = None,
) -> None:
    """Keep this machine a node of the cluster, also when the head starts anew, until told to stop.

    Its settings are what its worker groups run with: the same database and storage as everywhere.
    SIGTERM or Ctrl-C: it is drained first, as `cluster drain` does.
    """
    from ourvidz.cluster.launch import Keeper, node_program
    from ourvidz.cluster.ray_side import secure_environment
    from ourvidz.worker.logs import log_to_stderr

    settings, wishes = _open(cluster)
    log_to_stderr("cluster-node")
    program = node_program(
        address=address,
        folder=ray_folder,
        wishes=wishes,
        environment=secure_environment(),
        num_gpus=num_gpus,
        labels=_pairs(label or []),
        object_store_bytes=object_store_memory,
        leave_s=settings.queue.drain_s + _LEAVE_MARGIN_S,
    )
    Keeper([program], stop_s=_RAY_MARGIN_S).run(_stop_on_signal())


def _open(cluster: str) -> tuple[Settings, Wishes]:
    from ourvidz.cluster.wishes import Wishes, require_shared

    settings = load_settings()
    return settings, Wishes(require_shared(settings), name=cluster)


def _put_pool(settings: Settings, wishes: Wishes, name: str, changes: Mapping[str, Any]) -> Pool:
    """Make or change a pool; what is not given stays as it is, or is the default."""
    from ourvidz.cluster.shape import Pool

    catalogue = catalogue_of(settings)
    for model_id in changes.get("models") or ():
        catalogue.model(model_id)
    given = {key: value for key, value in changes.items() if value is not None}

    def change(shape: ClusterShape) -> ClusterShape:
        if name in {pool.name for pool in shape.pools}:
            return shape.changed(name, lambda pool: replace(pool, **_widened(pool, given)))
        first: dict[str, Any] = {
            "version": ourvidz.__version__,
            "ceiling": given.get("floor", 1),
            **given,
        }
        return shape.with_pool(Pool(name=name, **first))

    return wishes.change(change).pool(name)


def _widened(pool: Pool, given: Mapping[str, Any]) -> dict[str, Any]:
    """Let a floor or ceiling that is given alone move the other one along."""
    floor, ceiling = given.get("floor"), given.get("ceiling")
    found = dict(given)
    if floor is not None and ceiling is None:
        found["ceiling"] = max(floor, pool.ceiling)
    if ceiling is not None and floor is None:
        found["floor"] = min(ceiling, pool.floor)
    return found


def _watch(settings: Settings, wishes: Wishes, cluster: str, address: str) -> None:
    from ourvidz.cluster.controller import Controller
    from ourvidz.cluster.ray_side import RayCluster
    from ourvidz.jobs.open import open_store
    from ourvidz.worker.logs import log_to_stderr

    stopping = _stop_on_signal()
    log_to_stderr("cluster")
    store = open_store(settings)
    store.migrate()
    placer = RayCluster(address=address, cluster=cluster, patience_s=_HEAD_S)
    try:
        Controller(
            holder=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            wishes=wishes,
            store=store,
            placer=placer,
            beat_s=settings.queue.beat_s,
        ).run(stopping)
    finally:
        placer.close()
        store.close()


def _stop_on_signal() -> threading.Event:
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def _pairs(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise InvalidRequest(f"Label {word!r}.", param="label", hint="KEY=VALUE")
    return dict(word.split("=", 1) for word in words)


def _health(seen: Seen) -> str:
    if seen.age_s is None:
        return "[yellow]no controller has run yet[/]"
    if not seen.has_controller:
        return f"[red]no controller[/]; seen {seen.age_s:.0f} s ago:"
    return f"[green]controlled[/], seen {seen.age_s:.0f} s ago"


def _undo_drain(wishes: Wishes, report: Mapping[str, Any], name: str) -> None:
    from ourvidz.cluster.waiting import node_named

    if name in wishes.shape().cordoned_hosts:  # it may be away
        names = [name, *(n["id"] for n in report.get("nodes", ()) if n["hostname"] == name)]
    else:
        node_id = node_named(report, name)
        names = [node_id, *(n["hostname"] for n in report["nodes"] if n["id"] == node_id)]
    wishes.change(lambda shape: shape.uncordon(*names))


def _show_away(shape: ClusterShape, report: Mapping[str, Any]) -> None:
    present = {node["hostname"] for node in report.get("nodes", ())}
    for hostname in sorted(set(shape.cordoned_hosts) - present):
        console.print(f"node {escape(hostname)}  away [cyan]to be empty[/]", highlight=False)


def _tell_unclaimed(report: Mapping[str, Any]) -> None:
    from ourvidz.cluster.waiting import unclaimed

    text = unclaimed(report)
    if text is not None:
        console.print(f"[yellow]{escape(text)}[/]", highlight=False)


def _show_node(node: Mapping[str, Any], report: Mapping[str, Any], *, is_cordoned: bool) -> None:
    drained = " [cyan]to be empty[/]" if is_cordoned else ""
    console.print(
        f"node {node['id'][:8]}  {node['hostname']}  {node['num_gpus']} GPUs{drained}",
        highlight=False,
    )
    for group in report.get("groups", ()):
        if group["node_id"] == node["id"]:
            fault = f"  {escape(group['fault']['message'])}" if group.get("fault") else ""
            gpus = ",".join(group.get("gpus", ())) or "?"
            console.print(
                f"  [{_STATES[group['state']]}]{group['state']:<9}[/] {group['name']}"
                f"  GPU {gpus}{fault}",
                highlight=False,
            )


def _print_status(wishes: Wishes) -> None:
    import json

    seen = wishes.seen()
    print_json(
        {
            "shape": json.loads(wishes.shape().to_json()),
            "has_controller": seen.has_controller,
            "age_s": seen.age_s,
            "session": seen.session,
            **seen.report,
        }
    )
