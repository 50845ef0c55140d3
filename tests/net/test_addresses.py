"""Which addresses are public."""

import threading

import pytest

from ourvidz.core.errors import FetchFailed, UrlRefused
from ourvidz.net.addresses import checked_addresses, is_public, system_resolve

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "64:ff9b::808:808",  # NAT64 of 8.8.8.8
    "::ffff:8.8.8.8",
    "2002:808:808::1",  # 6to4 of 8.8.8.8
)
NOT_PUBLIC = (
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.8",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "192.88.99.1",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
    "2001:db8::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "2606:4700::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "5f00::1",
    "not an address",
    "",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_not_public(address):
    assert not is_public(address)


def test_one_private_answer_refuses_them_all():
    with pytest.raises(UrlRefused) as refused:
        checked_addresses(
            "mixed.example",
            443,
            resolve=lambda host, port: ["8.8.8.8", "10.0.0.7"],
            allow_private=False,
            timeout_s=5,
        )
    assert "10.0.0.7" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "017700000001", "localhost"])
def test_every_spelling_of_loopback_is_refused_by_the_real_resolver(host):
    with pytest.raises(UrlRefused):
        checked_addresses(host, 80, resolve=system_resolve, allow_private=False, timeout_s=10)


def test_no_answers_and_errors_are_fetch_failures():
    def broken(host, port):
        raise OSError("resolver down")

    for resolve in (broken, lambda host, port: ()):
        with pytest.raises(FetchFailed):
            checked_addresses("name.example", 80, resolve=resolve, allow_private=False, timeout_s=5)


def test_a_resolver_that_never_answers_is_given_up():
    release = threading.Event()

    def hangs(host, port):
        release.wait(30)
        return ("8.8.8.8",)

    with pytest.raises(FetchFailed, match="in time"):
        checked_addresses("slow.example", 80, resolve=hangs, allow_private=False, timeout_s=0.05)
    release.set()
