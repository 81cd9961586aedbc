"""A photo's URL, taken apart strictly: what is in any way odd is refused, never mended.

Parsers that disagree about one URL are how requests get forged, so only the characters of RFC 3986 pass, with
no userinfo, no fragment, no dot segment, no backslash or control character, encoded or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes, urljoin

from inference.photos.reasons import refusal
from inference.photos.rules import DEFAULT_PORTS, Scheme, is_host

MAX_URL_CHARACTERS: Final = 2048
_CHARACTERS: Final = re.compile(r"([A-Za-z0-9._~!$&'()*+,;=:@/?\[\]-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
_FORBIDDEN: Final = re.compile(rb"[\x00-\x1f\x7f\\]")


@dataclass(frozen=True, slots=True)
class FileUrl:
    """``path`` is absolute and has no dot segments."""

    path: str


@dataclass(frozen=True, slots=True)
class WebUrl:
    """``host`` is in lower case, without brackets; ``target`` is what a request line carries."""

    scheme: Scheme
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        """The URL again."""
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class BucketUrl:
    """``key`` is the object's, without the percent-encoding of the URL."""

    bucket: str
    key: str


def parse_url(url: str) -> FileUrl | WebUrl | BucketUrl:
    """The parts of a photo's URL.

    Raises:
        BadInput: ``url_scheme`` or ``url_malformed``.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise refusal(
            "url_malformed", f"the URL has {len(url)} characters; at most {MAX_URL_CHARACTERS} are taken"
        )
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[1].lower() not in {"file", "http", "https", "s3"}:
        raise refusal("url_scheme", "the photo's URL must start with file:///, http://, https:// or s3://")
    if _CHARACTERS.fullmatch(url) is None:
        raise refusal(
            "url_malformed", "the URL has a character that must be percent-encoded, or a fragment (RFC 3986)"
        )
    rest = url[scheme.end() :]
    name = scheme[1].lower()
    if name == "file":
        return _file(rest)
    if name == "s3":
        return _bucket(rest)
    return _web("https" if name == "https" else "http", rest)


def redirected(url: WebUrl, location: bytes) -> WebUrl:
    """Where a redirect from ``url`` leads; a fragment is left out, since no server is sent one.

    Raises:
        BadInput: ``url_scheme`` or ``url_malformed``, or it leads from https to http (``redirect_refused``).
    """
    target = location.partition(b"#")[0].decode("latin-1")
    if _CHARACTERS.fullmatch(target) is None:
        raise refusal("url_malformed", "the redirect's URL has a character that must be percent-encoded")
    try:
        parsed = parse_url(urljoin(str(url), target))
    except ValueError as error:
        raise refusal("url_malformed", "the redirect's URL can't be read") from error
    if not isinstance(parsed, WebUrl):
        raise refusal("url_scheme", "a redirect leads to http or https, nowhere else")
    if url.scheme == "https" and parsed.scheme == "http":
        raise refusal("redirect_refused", "the host redirects from https to http")
    return parsed


def _file(rest: str) -> FileUrl:
    if not rest.startswith("/"):
        raise refusal("url_malformed", "a file's URL is file:/// and an absolute path, without a host")
    return FileUrl("/" + _name(rest[1:]))


def _bucket(rest: str) -> BucketUrl:
    bucket, slash, key = rest.partition("/")
    if not bucket or not slash:
        raise refusal("url_malformed", "an object's URL is s3://bucket/key")
    if ":" in bucket or "@" in bucket:
        raise refusal("url_malformed", "an object's URL has neither a port nor a user: s3://bucket/key")
    return BucketUrl(bucket, _name(key))


def _web(scheme: Scheme, rest: str) -> WebUrl:
    end = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    authority, target = rest[:end], rest[end:]
    if "@" in authority:
        raise refusal("url_malformed", "a URL with a user or a password is refused")
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise refusal("url_malformed", "the URL's host and port can't be read")
    host = found[1].lower()
    bare = host[1:-1] if host.startswith("[") else host
    port = DEFAULT_PORTS[scheme] if found[2] is None else int(found[2])
    if not is_host(bare) or (":" in bare) != host.startswith("[") or not 1 <= port <= 65535:
        raise refusal("url_malformed", "the URL's host is no host name or IP address, or its port is none")
    if not target.startswith("/"):
        target = "/" + target
    _decoded(target.partition("?")[0])
    return WebUrl(scheme, bare, port, target)


def _decoded(path: str) -> bytes:
    """A path without its percent-encoding, which neither climbs nor hides anything."""
    decoded = unquote_to_bytes(path)
    if _FORBIDDEN.search(decoded) is not None:
        raise refusal("url_malformed", "the URL's path has a backslash or a control character")
    if any(segment in {b".", b".."} for segment in decoded.split(b"/")):
        raise refusal("url_malformed", "the URL's path has a segment . or ..")
    return decoded


def _name(path: str) -> str:
    """The name of a file or of an object, below what contains it."""
    if "?" in path:
        raise refusal("url_malformed", "the URL of a file or an object has no query")
    try:
        name = _decoded(path).decode()
    except UnicodeDecodeError as error:
        raise refusal("url_malformed", "the URL's path is not UTF-8") from error
    if "" in name.split("/"):
        raise refusal("url_malformed", "the URL's path has an empty segment")
    return name
