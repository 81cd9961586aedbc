"""Who sent a record: the OTLP resource and scope, their machine, and their content-addressed description."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from collector.attributes import canonical_attributes, json_object
from collector.limits import Limits, checked_text, decoded_text
from collector.records import Refused
from ledger.canonical import Json, content_digest

IDENTITY: Final = ("service.instance.id", "device.id", "host.id", "host.name")
"""Resource attributes that name a machine, the first present one wins."""
_CACHED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Sender:
    """A machine as one resource and scope describe it."""

    machine_id: str
    site_id: str | None
    digest: bytes
    content: bytes
    chain_field: bytes
    digest_field: bytes


class Senders:
    """Decodes descriptions of senders, each once: machines repeat theirs in every request."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[tuple[bytes, bytes, bytes, bytes], Sender] = {}

    def sender(self, resource: bytes, resource_schema: bytes, scope: bytes, scope_schema: bytes) -> Sender:
        """The sender that these parts of a request describe; all four as they stand on the wire.

        Raises:
            Refused: there is no machine identity, or the description can't be kept.
        """
        key = (resource, resource_schema, scope, scope_schema)
        known = self._known.get(key)
        if known is None:
            known = self._describe(*key)
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = known
        return known

    def _describe(self, resource: bytes, resource_schema: bytes, scope: bytes, scope_schema: bytes) -> Sender:
        limits = self._limits
        try:
            described = Resource.FromString(resource)
            scoped = InstrumentationScope.FromString(scope)
        except DecodeError as error:
            raise Refused("malformed_resource", f"a resource or scope is malformed: {error}") from error
        if len(described.attributes) + len(scoped.attributes) > limits.attribute_count:
            raise Refused("too_many_attributes", "a resource or scope has too many attributes")
        attributes = json_object(described.attributes)
        content = canonical_attributes(
            {
                "resource": _present(
                    attributes=attributes,
                    schema_url=decoded_text(resource_schema, "a schema_url", limits),
                ),
                "scope": _present(
                    name=scoped.name,
                    version=scoped.version,
                    attributes=json_object(scoped.attributes),
                    schema_url=decoded_text(scope_schema, "a schema_url", limits),
                ),
            },
            limits,
        )
        machine_id = checked_text(_machine(attributes), "the machine's identity", limits)
        site = attributes.get("site.id")
        site_id = checked_text(site, "site.id", limits) if isinstance(site, str) and site else None
        digest = content_digest(content)
        name = machine_id.encode()
        return Sender(
            machine_id,
            site_id,
            digest,
            content,
            chain_field=len(name).to_bytes(4, "big") + name,
            digest_field=len(digest).to_bytes(4, "big") + digest,
        )


def _present(**members: Json) -> Json:
    return {name: value for name, value in members.items() if value not in ("", {})}


def _machine(attributes: dict[str, Json]) -> str:
    for name in IDENTITY:
        value = attributes.get(name)
        if isinstance(value, str) and value.strip():
            return value
    raise Refused("no_machine_identity", f"the resource has none of {', '.join(IDENTITY)}")
