"""The group as Ray's actor class. Imports Ray, so only ``ray_side`` imports this."""

from __future__ import annotations

import importlib
from typing import Any

from ourvidz.cluster.group import WorkerGroup

ray: Any = importlib.import_module("ray")  # its types are partial


def remote_group() -> Any:
    """Return the actor class; its methods answer on threads that nothing else can keep busy."""
    return ray.remote(concurrency_groups={"control": 4})(ControlledGroup)


class ControlledGroup(WorkerGroup):
    """A group whose questions go to a concurrency group of their own."""

    @ray.method(concurrency_group="control")
    def status(self) -> dict[str, Any]:
        """See ``WorkerGroup``; with the node that it is on."""
        return {**super().status(), "node_id": ray.get_runtime_context().get_node_id()}

    @ray.method(concurrency_group="control")
    def drain(self) -> None:
        """See ``WorkerGroup``."""
        super().drain()
