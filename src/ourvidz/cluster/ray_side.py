"""All that is asked of Ray: nodes, named detached actors, and the session that they are of.

Every question has a time limit: a node that died still answers for a while, and then nobody does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ourvidz.cluster.plan import Node, Start
from ourvidz.core.errors import ClusterUnavailable, ConfigInvalid, MissingDependency

_CONNECT_S = 5.0
_ANSWER_S = 3.0
_KNOCK_S = 0.2
# The process that drives ends after so long without the head, and is started anew.
_HEAD_LOST_S = 10
_TOKEN_HINT = "ray get-auth-token --generate makes one; every node needs the same."


def secure_environment() -> dict[str, str]:
    """Return what every process of Ray's gets: a token is asked for, and nothing is reported home.

    Raises:
        ConfigInvalid: the token was switched off, or there is none.
        MissingDependency: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingDependency(
            "A cluster needs the package 'ray'.", hint='pip install "ourvidz[cluster,postgres]"'
        )
    if os.environ.get("RAY_AUTH_MODE", "token") != "token":
        raise ConfigInvalid(
            "RAY_AUTH_MODE is not 'token': whoever reaches Ray's ports could run code here.",
            param="RAY_AUTH_MODE",
            hint="Unset it, and give every node the same RAY_AUTH_TOKEN_PATH.",
        )
    if not _has_token():
        raise ConfigInvalid(
            "There is no token for the Ray cluster.", param="RAY_AUTH_TOKEN_PATH", hint=_TOKEN_HINT
        )
    return {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}


def _has_token() -> bool:
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    return path.is_file() and path.stat().st_size > 0


def namespace_of(cluster: str) -> str:
    """Return the namespace of a cluster's actors: other programs may use the same Ray."""
    return f"ourvidz-{cluster}"


class RayCluster:
    """A connection of this process to a Ray cluster: there can be one in a process."""

    def __init__(self, *, address: str, cluster: str, patience_s: float = 0.0) -> None:
        """Connect.

        Args:
            address: host:port of the head, or ``auto`` on a machine that runs a node of it.
            cluster: the cluster's name.
            patience_s: how long to wait for a head that is only starting.

        Raises:
            ClusterUnavailable: nobody answers there, or not with this token.
            ConfigInvalid: see ``secure_environment``.
        """
        os.environ.update(secure_environment())
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(_HEAD_LOST_S))
        _knock(address, patience_s)
        ray = _ray()
        host = address.rpartition(":")[0]
        is_loopback = host in {"127.0.0.1", "localhost"}
        try:
            ray.init(
                address=address,
                namespace=namespace_of(cluster),
                log_to_driver=False,
                logging_level="ERROR",
                configure_logging=False,
                **({"_node_ip_address": "127.0.0.1"} if is_loopback else {}),
            )
        except Exception as error:  # Ray raises many kinds here, its token's among them
            raise ClusterUnavailable(
                f"The Ray cluster at {address!r} refuses: {type(error).__name__}.",
                hint="Is this machine one of its nodes, and the token the same on all?",
            ) from error
        self._ray = ray
        self._cluster = cluster

    @property
    def session(self) -> str:
        """Name of the head's session: another one after each start of the head."""
        return self._ray.get_runtime_context().get_session_name()

    def close(self) -> None:
        """Leave; what was made stays."""
        self._ray.shutdown()

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes that live, as far as the head knows."""
        return tuple(
            Node(
                id=found["NodeID"],
                address=found["NodeManagerAddress"],
                hostname=found["NodeManagerHostname"],
                num_gpus=int(found["Resources"].get("GPU", 0)),
                labels=dict(found.get("Labels") or {}),
            )
            for found in self._ray.nodes()
            if found["Alive"]
        )

    def groups(self) -> Mapping[str, Mapping[str, Any] | None]:
        """Return the groups' answers by name; None of one that is not there yet, or is silent."""
        ray = self._ray
        names: list[str] = ray.util.list_named_actors()
        asked: dict[Any, str] = {}
        for name in names:
            with contextlib.suppress(ValueError, ray.exceptions.RayError):  # gone meanwhile
                asked[ray.get_actor(name).status.remote()] = name
        found: dict[str, Mapping[str, Any] | None] = dict.fromkeys(asked.values())
        if asked:
            done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
            for reference in done:
                with contextlib.suppress(ray.exceptions.RayError):
                    found[asked[reference]] = ray.get(reference)
        return found

    def start(self, action: Start) -> bool:
        """Make a group; False where one of its name is there already."""
        from ourvidz.cluster.actor import remote_group

        ray = self._ray
        pool = action.pool
        try:
            remote_group().options(
                name=action.name,
                lifetime="detached",
                num_gpus=pool.num_gpus,
                num_cpus=0,
                max_restarts=-1,
                label_selector=dict(pool.labels) or None,
                # Soft: when that node dies, the group may come back on another.
                scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
                    action.node_id, soft=True
                ),
            ).remote(cluster=self._cluster, name=action.name, pool=asdict(pool))
        except ValueError:  # another controller was quicker
            return False
        return True

    def drain(self, name: str) -> None:
        """Ask a group to finish; one that does not answer is asked again by the next plan."""
        with contextlib.suppress(ValueError, self._ray.exceptions.RayError):
            self._ray.get_actor(name).drain.remote()

    def remove(self, name: str) -> None:
        """End an actor for good."""
        with contextlib.suppress(ValueError, self._ray.exceptions.RayError):
            self._ray.kill(self._ray.get_actor(name), no_restart=True)


def _ray() -> Any:
    """Import Ray, whose types are partial; after its environment is set, which it reads at once."""
    ray: Any = importlib.import_module("ray")
    importlib.import_module("ray.util.scheduling_strategies")
    return ray


def _knock(address: str, patience_s: float) -> None:
    """Raise where nobody listens; Ray itself would try for half a minute, and then end us."""
    host, _, port = address.rpartition(":")
    deadline_s = time.monotonic() + patience_s
    while host:
        try:
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
        except (OSError, ValueError) as error:
            if time.monotonic() < deadline_s:
                time.sleep(_KNOCK_S)
                continue
            raise ClusterUnavailable(
                f"Nobody answers at {address!r}.", hint="Start the head: ourvidz cluster head"
            ) from error
        return
