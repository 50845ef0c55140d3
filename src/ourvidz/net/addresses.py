"""Which addresses belong to the public internet, and how a host name becomes addresses."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
from collections.abc import Callable, Sequence

from ourvidz.core.errors import FetchFailed, UrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Host and port in, addresses as text out. May block; raises OSError for a name that has none.
Resolve = Callable[[str, int], Sequence[str]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Called global by some Python releases, yet not a stranger's server: relay anycast, documentation,
# and the address at which one cloud serves its machines' credentials.
_ALSO_REFUSED = (
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("2001::/23"),
    ipaddress.ip_network("2001:db8::/32"),
    ipaddress.ip_network("3fff::/20"),
)


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet.

    IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as the IPv4 address that it leads to.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # a scope such as fe80::1%eth0 parses; nonsense does not
        return False
    return _is_public(address)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inner_ipv4(address)
        if inner is not None:
            return _is_public(inner)
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
    if any(address in network for network in _ALSO_REFUSED if network.version == address.version):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _inner_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def system_resolve(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked_addresses(
    host: str, port: int, *, resolve: Resolve, allow_private: bool, timeout_s: float
) -> tuple[str, ...]:
    """Resolve ``host`` once and return its addresses, all of them checked.

    Raises:
        UrlRefused: one of the answers is not public (and ``allow_private`` is off).
        FetchFailed: the name has no address, or none within ``timeout_s`` seconds.
    """
    addresses = _resolve_within(host, port, resolve, timeout_s)
    if not addresses:
        raise FetchFailed(f"{host!r} has no address.")
    if not allow_private and not all(is_public(address) for address in addresses):
        raise UrlRefused(
            f"{host!r} is not a public address.",
            hint="Give an address on the public internet, or ask the operator.",
        )
    return tuple(addresses)


def _resolve_within(host: str, port: int, resolve: Resolve, timeout_s: float) -> Sequence[str]:
    """Resolve on a thread of its own: the system's call knows no time limit."""
    answers: queue.SimpleQueue[Sequence[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolve(host, port))
        except (OSError, UnicodeError) as error:
            answers.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=ask, name="ourvidz-resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout_s, 0.001))
    except queue.Empty:
        raise FetchFailed(f"{host!r} could not be resolved in time.") from None
    if isinstance(answer, OSError):
        raise FetchFailed(f"{host!r} could not be resolved.") from answer
    return answer
