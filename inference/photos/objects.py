"""Objects of an S3 service, by path-style requests, signed with SigV4 where there are keys."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

from inference.photos.reasons import refusal
from inference.photos.rules import DEFAULT_PORTS, PhotoRules, Scheme
from inference.photos.urls import MAX_URL_CHARACTERS, BucketUrl, WebUrl


class Objects:
    """How the objects of the listed buckets are asked for."""

    def __init__(self, rules: PhotoRules, endpoint: str) -> None:
        """``endpoint`` is that of the rules, which have checked it."""
        parts = urlsplit(endpoint)
        self._scheme: Scheme = "https" if parts.scheme == "https" else "http"
        self._host = (parts.hostname or "").lower()
        self._port = parts.port or DEFAULT_PORTS[self._scheme]
        self._buckets = rules.s3_buckets
        self._signer: S3SigV4Auth | None = None
        if rules.s3_access_key is not None and rules.s3_secret_key is not None:
            keys = ReadOnlyCredentials(rules.s3_access_key, rules.s3_secret_key.get_secret_value(), None)
            self._signer = S3SigV4Auth(keys, "s3", rules.s3_region)

    def request(self, url: BucketUrl) -> tuple[WebUrl, Mapping[str, str]]:
        """The request for an object: its URL and its further headers.

        Raises:
            BadInput: ``bucket_not_allowed``; ``url_malformed`` if the key is too long.
        """
        if url.bucket not in self._buckets:
            raise refusal("bucket_not_allowed", "the bucket is not on the list")
        target = f"/{url.bucket}/{quote(url.key, safe='/~')}"
        if len(target) > MAX_URL_CHARACTERS:
            raise refusal("url_malformed", "the object's key is too long")
        web = WebUrl(self._scheme, self._host, self._port, target)
        if self._signer is None:
            return web, {}
        unsigned = AWSRequest(method="GET", url=str(web))
        self._signer.add_auth(unsigned)
        return web, {str(name): str(value) for name, value in unsigned.headers.items()}
