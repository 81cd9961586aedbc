"""The bytes of a photo, from where the operator said that photos may come from.

Guarantees: no connection to an address that the rules do not admit, on the first request or on a redirect; no
file outside the roots; at most ``max_bytes`` held and ``total_s`` spent on one photo; the event loop is never
blocked; an open source raises nothing but ``BadInput``, whatever the URL and whatever the host sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import httpx

from inference.errors import BadInput, InferenceError, Unavailable
from inference.photos.files import Folders
from inference.photos.lanes import Lane, Redirect
from inference.photos.network import Resolver
from inference.photos.objects import Objects
from inference.photos.reasons import refusal
from inference.photos.rules import HostRule, PhotoRules, PhotoRulesUnusable, host_rules
from inference.photos.urls import BucketUrl, FileUrl, WebUrl, parse_url, redirected

_POLICY: Final = frozenset({"url_scheme", "url_malformed", "host_not_allowed", "address_not_allowed"})
"""Reasons that say of a redirect's target that it is refused."""


class PhotoSource:
    """Fetches photos; an async context manager, for one event loop.

    ``resolver`` stands in for the machine's own, and ``tls`` for the usual certificate authorities (which
    SSL_CERT_FILE names where it is set).
    """

    def __init__(
        self, rules: PhotoRules, *, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._closed = False
        self._folders = Folders(rules.roots, rules.max_bytes)
        self._readers = ThreadPoolExecutor(rules.places, "photo-files")
        self._lanes: tuple[tuple[HostRule, Lane], ...] = ()
        self._objects: tuple[Objects, Lane] | None = None
        if not rules.hosts and rules.s3_endpoint is None:
            return
        tls = tls or httpx.create_ssl_context()
        # The most particular rule of a host stands, whatever the order in which they were given.
        ordered = sorted(rules.hosts, key=lambda rule: (rule.subdomains, -len(rule.host), not rule.internal))
        self._lanes = tuple((rule, Lane(rules, tls, resolver, internal=rule.internal)) for rule in ordered)
        if rules.s3_endpoint is not None:
            self._objects = Objects(rules, rules.s3_endpoint), Lane(rules, tls, resolver, internal=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what connections are open; what is being fetched from a host is refused."""
        self._closed = True
        lanes = [lane for _, lane in self._lanes]
        if self._objects is not None:
            lanes.append(self._objects[1])
        async with contextlib.AsyncExitStack() as closing:
            for lane in lanes:
                closing.push_async_callback(lane.aclose)
        self._readers.shutdown(wait=False)

    async def fetch(self, url: str) -> bytes:
        """The photo's bytes, undecoded: at most ``max_bytes``, within ``total_s`` seconds.

        Raises:
            BadInput: the photo is refused; ``inference.photos.reasons`` lists the reasons.
            Unavailable: the source is closed.
        """
        if self._closed:
            raise Unavailable("photos are not fetched any more: the service is stopping")
        parsed = parse_url(url)
        try:
            async with asyncio.timeout(self._rules.total_s):
                if isinstance(parsed, FileUrl):
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._readers, self._folders.read, parsed.path)
                if isinstance(parsed, BucketUrl):
                    return await self._from_bucket(parsed)
                return await self._from_web(parsed)
        except TimeoutError as error:
            message = f"the photo was not there within {self._rules.total_s:g} s"
            raise refusal("host_timeout", message) from error

    async def fetch_files(self, urls: Sequence[str]) -> list[bytes | InferenceError]:
        """The bytes behind each ``file:`` URL, or why there are none; one hand-over to a thread for all."""

        def read() -> list[bytes | InferenceError]:
            return [self._read_file(url) for url in urls]

        try:
            async with asyncio.timeout(self._rules.total_s):
                return await asyncio.get_running_loop().run_in_executor(self._readers, read)
        except TimeoutError:
            message = f"the photos were not there within {self._rules.total_s:g} s"
            return [refusal("host_timeout", message) for _ in urls]

    def _read_file(self, url: str) -> bytes | InferenceError:
        try:
            parsed = parse_url(url)
            if isinstance(parsed, FileUrl):
                return self._folders.read(parsed.path)
            return refusal("url_malformed", "expected a file: URL")
        except InferenceError as error:
            return error

    async def _from_bucket(self, url: BucketUrl) -> bytes:
        if self._objects is None:
            raise refusal("bucket_not_allowed", "photos do not come from buckets here")
        objects, lane = self._objects
        answer = await lane.get(*objects.request(url))
        if isinstance(answer, Redirect):
            raise refusal("redirect_refused", "the S3 service redirects; its endpoint or region is another")
        return answer

    async def _from_web(self, url: WebUrl) -> bytes:
        answer = await self._lane(url).get(url, {})
        for _ in range(self._rules.max_redirects):
            if not isinstance(answer, Redirect):
                return answer
            try:
                url = redirected(url, answer.location)
                answer = await self._lane(url).get(url, {})
            except BadInput as error:
                if error.reason not in _POLICY:
                    raise
                raise refusal(
                    "redirect_refused", "the host redirects to where photos do not come from"
                ) from error
        if isinstance(answer, Redirect):
            raise refusal("redirect_refused", f"more than {self._rules.max_redirects} redirects")
        return answer

    def _lane(self, url: WebUrl) -> Lane:
        for rule, lane in self._lanes:
            if rule.admits(url.scheme, url.host, url.port):
                return lane
        raise refusal("host_not_allowed", "the photo's host, with that scheme and port, is not on the list")


__all__ = ["HostRule", "PhotoRules", "PhotoRulesUnusable", "PhotoSource", "Resolver", "host_rules"]
