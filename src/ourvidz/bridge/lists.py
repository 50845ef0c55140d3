"""The names of the lists that the bridge keeps beside an old queue."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.files import atomic_path

NAME_FILE = "bridge-name"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEAD = "dead"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListNames:
    """One old queue and the bridge's lists beside it."""

    queue: str
    processing: str  # taken by this bridge, not yet in the store
    refused: str  # refused by this bridge, the site not yet told
    dead: str  # shared: what nobody can be told about


def names_of(queue: str, bridge_name: str) -> ListNames:
    """Return the lists of ``queue`` for the bridge of that name."""
    return ListNames(
        queue=queue,
        processing=f"{queue}:bridge:{bridge_name}",
        refused=f"{queue}:bridge:{bridge_name}:refused",
        dead=f"{queue}:bridge:{_DEAD}",
    )


def stable_name(data_dir: Path, given: str | None = None) -> str:
    """Return the bridge's name: ``given``, the one it had before, or this host's.

    The name is kept in the data directory: a container's host name changes at every start, and
    what a crash left behind must be found again.

    Raises:
        InvalidRequest: ``given`` is no name.
        OutputUnwritable, DiskFull: the name can't be kept.
    """
    path = data_dir / NAME_FILE
    if given is not None:
        if not _NAME.fullmatch(given) or given == _DEAD:
            raise InvalidRequest(
                f"{given!r} can't be the bridge's name.",
                param="name",
                hint=f"Use letters, digits and . _ -, at most 64; {_DEAD!r} is taken.",
            )
        return given
    if path.is_file():
        return stable_name(data_dir, path.read_text(encoding="utf-8").strip())
    host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64].lstrip("._-") or "host"
    name = f"{host}-1" if host == _DEAD else host
    data_dir.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as partial:
        partial.write_text(name + "\n", encoding="utf-8")
    return name
