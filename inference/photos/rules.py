"""Where photos may come from: what the operator sets, checked when the service starts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from inference.errors import InferenceError
from inference.photos.addresses import may_connect

Scheme = Literal["http", "https"]

_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)
_RULE: Final = re.compile(
    r"(?P<internal>internal:)?((?P<scheme>https?)://)?(?P<wildcard>\*\.)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^\[\]:/*@?#\s]+)(:(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
DEFAULT_PORTS: Final[dict[Scheme, int]] = {"http": 80, "https": 443}


class PhotoRulesUnusable(InferenceError):
    """A rule is not one; the service does not start with it."""


def is_host(host: str) -> bool:
    """Whether that is a host name in lower case, or an address as programs write it (no brackets)."""
    try:
        return str(ip_address(host)) == host and "%" not in host
    except ValueError:
        last = host.rpartition(".")[2]
        looks_like_a_number = last.isdigit() or last.startswith("0x")
        return len(host) <= 253 and _NAME.fullmatch(host) is not None and not looks_like_a_number


@dataclass(frozen=True, slots=True)
class HostRule:
    """A host that photos may come from.

    Without a port it admits each scheme's own; without a scheme, both.  ``subdomains`` admits every name
    below ``host``, and not ``host`` itself.  ``internal`` admits a private or loopback address.
    """

    host: str
    port: int | None = None
    scheme: Scheme | None = None
    subdomains: bool = False
    internal: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """A rule of ``[internal:][http://|https://][*.]host[:port]``.

        ``photos.example.org``, ``photos.example.org:8443``, ``https://*.example.org``,
        ``internal:127.0.0.1:9000`` and ``internal:[::1]:9000`` are rules.

        Raises:
            PhotoRulesUnusable: it is none, or can never admit anything.
        """
        found = _RULE.fullmatch(text.strip().lower())
        if found is None:
            raise PhotoRulesUnusable(
                f"{text!r} is no rule for a host; write [internal:][https://][*.]host[:port], "
                "a name with other letters in its xn-- form"
            )
        host = found["host"]
        if host.startswith("["):
            try:
                host = str(IPv6Address(host[1:-1]))
            except ValueError as error:
                raise PhotoRulesUnusable(f"{text!r}: {host} is no IPv6 address") from error
        rule = cls(
            host=host,
            port=None if found["port"] is None else int(found["port"]),
            scheme=None if found["scheme"] is None else ("https" if found["scheme"] == "https" else "http"),
            subdomains=found["wildcard"] is not None,
            internal=found["internal"] is not None,
        )
        rule._check(text)
        return rule

    def _check(self, text: str) -> None:
        if not is_host(self.host):
            raise PhotoRulesUnusable(f"{text!r}: {self.host!r} is neither a host name nor an IP address")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise PhotoRulesUnusable(f"{text!r}: a port is from 1 to 65535, not {self.port}")
        is_address = _is_address(self.host)
        if self.subdomains and (is_address or ("." not in self.host and not self.internal)):
            raise PhotoRulesUnusable(f"{text!r} admits too much: name at least *.example.org")
        if is_address and not may_connect(self.host, internal=self.internal):
            hint = "" if self.internal else "; if it is meant, write internal: before it"
            raise PhotoRulesUnusable(f"{text!r}: {self.host} is an address that is not connected to{hint}")

    def admits(self, scheme: Scheme, host: str, port: int) -> bool:
        """Whether a photo may come from there; ``host`` is in lower case."""
        if self.scheme not in {None, scheme} or port != (self.port or DEFAULT_PORTS[scheme]):
            return False
        return host.endswith("." + self.host) if self.subdomains else host == self.host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def host_rules(texts: Iterable[str]) -> tuple[HostRule, ...]:
    """The rules of those texts, see ``HostRule.parse``; empty texts are skipped."""
    return tuple(HostRule.parse(text) for text in texts if text.strip())


@dataclass(frozen=True, slots=True)
class PhotoRules:
    """Where photos may come from, and how much of them is taken.  The default is: from nowhere.

    ``roots`` are absolute folders.  ``s3_endpoint`` is the URL of an S3 service, whose host may have a
    private address since the operator named it; requests are signed if there are keys, else anonymous.
    ``connect_s`` bounds a connection, its name's resolution included; ``total_s`` the whole of a fetch, with
    waiting for a place.  ``places`` fetches at a time are made from each rule's hosts, from the S3
    service and from the folders, so that none takes another's.
    """

    roots: tuple[Path, ...] = ()
    hosts: tuple[HostRule, ...] = ()
    s3_endpoint: str | None = None
    s3_buckets: frozenset[str] = frozenset()
    s3_access_key: str | None = None
    s3_secret_key: SecretStr | None = None
    s3_region: str = "us-east-1"
    max_bytes: int = 10 * 1024 * 1024
    max_pixels: int = 25_000_000
    connect_s: float = 2.0
    total_s: float = 5.0
    max_redirects: int = 3
    places: int = 8

    def __post_init__(self) -> None:
        """Raise ``PhotoRulesUnusable`` if that can't be meant."""
        for root in self.roots:
            if not root.is_absolute() or root == Path(root.anchor) or ".." in root.parts:
                raise PhotoRulesUnusable(f"a photo root is an absolute folder, not the whole disk: {root}")
        for bucket in self.s3_buckets:
            if _BUCKET.fullmatch(bucket) is None:
                raise PhotoRulesUnusable(f"{bucket!r} is no name of a bucket")
        if self.s3_buckets and self.s3_endpoint is None:
            raise PhotoRulesUnusable("buckets are listed, and no S3 endpoint")
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise PhotoRulesUnusable("an S3 access key and its secret key go together")
        if self.s3_endpoint is not None:
            _check_endpoint(self.s3_endpoint)
        if min(self.max_bytes, self.max_pixels, self.connect_s, self.total_s, self.places) <= 0:
            raise PhotoRulesUnusable("limits of photos are above 0")


def _check_endpoint(text: str) -> None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise PhotoRulesUnusable(f"the S3 endpoint {text!r} is no URL") from error
    plain = parts.scheme in {"http", "https"} and parts.path in {"", "/"} and not parts.query + parts.fragment
    if not plain or "@" in parts.netloc or not is_host(host) or port == 0:
        raise PhotoRulesUnusable(f"the S3 endpoint {text!r} must be http(s)://host[:port], nothing more")
