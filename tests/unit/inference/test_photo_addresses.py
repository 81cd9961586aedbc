from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.photos.addresses import may_connect


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::200e"]
)
def test_a_public_address_is_admitted_to_every_host(address: str) -> None:
    assert may_connect(address, internal=False)
    assert may_connect(address, internal=True)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
        *(
            "::1",
            "fd00::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
        ),
    ],
)
def test_a_private_address_is_admitted_to_an_internal_host_only(address: str) -> None:
    assert may_connect(address, internal=True)
    assert not may_connect(address, internal=False)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
        ),
        *(
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "203.0.113.9",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "ff02::1",
        ),
        *(
            "::",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
        ),
        *("2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "100::1", "5f00::1"),
        *("", "localhost", "0x7f.1", "2130706433", "127.1", "0177.0.0.1", "1.1.1.1 ", "2606:4700::1111%lo"),
    ],
)
def test_a_special_address_or_what_is_none_is_never_admitted(address: str) -> None:
    assert not may_connect(address, internal=True)
    assert not may_connect(address, internal=False)


@pytest.mark.parametrize("form", ["::ffff:{}", "64:ff9b::{}"])
def test_a_public_ipv4_address_inside_an_ipv6_one_is_admitted_to_internal_hosts_only(form: str) -> None:
    assert may_connect(form.format("1.1.1.1"), internal=True)
    assert not may_connect(form.format("1.1.1.1"), internal=False)


@settings(deadline=None)
@given(st.ip_addresses())
def test_nothing_that_python_knows_as_not_global_is_admitted(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast:
        assert not may_connect(str(address), internal=False)
    elif may_connect(str(address), internal=False):
        assert may_connect(str(address), internal=True)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_answered(text: str) -> None:
    assert may_connect(text, internal=True) in {True, False}
