"""Which IP addresses may be connected to.

Public addresses always, apart from those that carry an IPv4 address inside; private and loopback ones only
for a host that the operator marked as internal; the rest never: link-local above all, because clouds serve
their machines' credentials there.

Source: the IANA registries of special-purpose addresses (RFC 6890), as tables of our own because the
``ipaddress`` module's answers depend on the version of Python.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

_PRIVATE_V4: Final = tuple(
    IPv4Network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_NEVER_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "169.254.0.0/16",  # link-local
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PRIVATE_V6: Final = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NEVER_V6: Final = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_CARRIERS: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped, RFC 4291
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)
"""IPv6 networks whose addresses carry an IPv4 address, and how many bits follow it."""


def may_connect(address: str, *, internal: bool) -> bool:
    """Whether a connection to that address is admitted; what is no address is not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return _may_connect_v4(parsed, internal=internal)
    return _may_connect_v6(parsed, internal=internal)


def _may_connect_v4(address: IPv4Address, *, internal: bool) -> bool:
    if any(address in network for network in _NEVER_V4):
        return False
    return internal or not any(address in network for network in _PRIVATE_V4)


def _may_connect_v6(address: IPv6Address, *, internal: bool) -> bool:
    if address.scope_id is not None:
        return False
    for network, shift in _CARRIERS:
        if address in network:
            carried = IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
            return internal and _may_connect_v4(carried, internal=True)
    if any(address in network for network in _PRIVATE_V6):
        return internal
    return address in _GLOBAL_V6 and not any(address in network for network in _NEVER_V6)
