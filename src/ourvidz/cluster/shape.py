"""What is wanted of a cluster: values, checked where they are made."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ourvidz.core.errors import InvalidRequest, UnknownName
from ourvidz.fleet.shape import GROUP_SIZES

MAX_GROUPS = 1024  # of one pool: a slip of the pen must not empty a cloud account
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Worker groups that are alike: how large, how many, and what they may claim."""

    name: str
    num_gpus: int = 1  # of a group: 1, 2, 4 or 8, all on one node
    floor: int = 1
    ceiling: int = 1
    models: tuple[str, ...] = ()  # catalogue ids that it claims; empty: any
    version: str = ""  # a new one has every group replaced, one at a time
    labels: Mapping[str, str] = field(default_factory=dict[str, str])  # that its nodes must carry
    target_wait_s: float = 60.0  # more groups while a new job would wait longer
    uses_test_engine: bool = False  # for fault tests: no models

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InvalidRequest: a name, size or number that can't be.
        """
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(
                f"Pool name {self.name!r}.",
                param="name",
                hint="Up to 32 small letters, digits and hyphens, a letter first.",
            )
        if self.num_gpus not in GROUP_SIZES:
            raise InvalidRequest(
                f"A group of {self.num_gpus} GPUs.",
                param="gpus",
                hint=f"Groups have {', '.join(map(str, GROUP_SIZES))} GPUs.",
            )
        if not 0 <= self.floor <= self.ceiling <= MAX_GROUPS:
            raise InvalidRequest(
                f"From {self.floor} to {self.ceiling} groups.",
                param="ceiling",
                hint=f"0 <= floor <= ceiling <= {MAX_GROUPS}.",
            )
        if not self.target_wait_s > 0:
            raise InvalidRequest(
                f"A wait of {self.target_wait_s} s.", param="target_wait", hint="Above 0 s."
            )

    @property
    def generation(self) -> str:
        """What its groups are, in 8 letters: groups of another generation are replaced."""
        facts = asdict(self)
        for name in ("floor", "ceiling", "target_wait_s"):
            del facts[name]
        text = json.dumps(facts, sort_keys=True, default=list)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterShape:
    """The whole wish: pools, and nodes that are to be empty."""

    pools: tuple[Pool, ...] = ()
    cordoned: tuple[str, ...] = ()  # node ids, which end with the node's Ray, or with the head's
    cordoned_hosts: tuple[str, ...] = ()  # host names, which outlive both
    revision: int = field(default=0, compare=False)  # grows with each change in the database

    def pool(self, name: str) -> Pool:
        """Return a pool. Raises UnknownName."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        names = ", ".join(pool.name for pool in self.pools)
        raise UnknownName(
            f"Pool {name!r} is not there.",
            param="pool",
            hint=f"There are: {names}." if names else "ourvidz cluster up NAME makes one.",
        )

    def with_pool(self, pool: Pool) -> ClusterShape:
        """Return the shape with a pool added, or in place of the one of its name."""
        others = tuple(other for other in self.pools if other.name != pool.name)
        return replace(self, pools=tuple(sorted((*others, pool), key=lambda each: each.name)))

    def changed(self, name: str, change: Callable[[Pool], Pool]) -> ClusterShape:
        """Return the shape with one pool changed. Raises UnknownName."""
        return self.with_pool(change(self.pool(name)))

    def without(self, name: str | None) -> ClusterShape:
        """Return the shape without a pool; None: without any. Raises UnknownName."""
        if name is None:
            return replace(self, pools=())
        gone = self.pool(name)
        return replace(self, pools=tuple(pool for pool in self.pools if pool != gone))

    def cordon(self, node_id: str, *, hostname: str | None = None) -> ClusterShape:
        """Return the shape with a node that is to be empty.

        Args:
            node_id: Ray's, another one each time that the node joins.
            hostname: given, every node of that host name is to be empty, until it is taken back.
        """
        hosts = () if hostname is None else (hostname,)
        return replace(
            self,
            cordoned=tuple(sorted({*self.cordoned, node_id})),
            cordoned_hosts=tuple(sorted({*self.cordoned_hosts, *hosts})),
        )

    def uncordon(self, *names: str) -> ClusterShape:
        """Return the shape with nodes of these ids and host names that may have groups again."""
        return replace(
            self,
            cordoned=tuple(each for each in self.cordoned if each not in names),
            cordoned_hosts=tuple(each for each in self.cordoned_hosts if each not in names),
        )

    def is_cordoned(self, node_id: str, hostname: str) -> bool:
        """Whether a node is to be empty."""
        return node_id in self.cordoned or hostname in self.cordoned_hosts

    def to_json(self) -> str:
        """Return it as the database keeps it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ClusterShape:
        """Read it. What a newer version has added is left out."""
        found: dict[str, Any] = json.loads(text)
        return cls(
            pools=tuple(pool_from(pool) for pool in found.get("pools", ())),
            cordoned=tuple(found.get("cordoned", ())),
            cordoned_hosts=tuple(found.get("cordoned_hosts", ())),
            revision=found.get("revision", 0),
        )


def pool_from(facts: Mapping[str, Any]) -> Pool:
    """Read a pool from its ``asdict``, or from what JSON made of that."""
    known: dict[str, Any] = {
        name: facts[name] for name in Pool.__dataclass_fields__ if name in facts
    }
    known["models"] = tuple(known.get("models", ()))
    return Pool(**known)
