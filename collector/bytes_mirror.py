"""Message classes that are the same on the wire but for their strings, which are bytes.

Protobuf's own classes take no string that is not UTF-8, and refuse a whole request for one of them.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

_POOL: Final = descriptor_pool.DescriptorPool()


def with_strings_as_bytes(message: Descriptor) -> type[Any]:
    """The class of messages like this one, at any depth with bytes instead of strings."""
    _mirror(message.file)
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(message.full_name))


def _mirror(file: FileDescriptor) -> None:
    for dependency in file.dependencies:
        _mirror(dependency)
    copy = FileDescriptorProto()
    file.CopyToProto(copy)
    for message in copy.message_type:
        _replace_strings(message)
    _POOL.Add(copy)  # adding the same file again changes nothing


def _replace_strings(message: DescriptorProto) -> None:
    for field in message.field:
        if field.type == FieldDescriptorProto.TYPE_STRING:
            field.type = FieldDescriptorProto.TYPE_BYTES
    for inner in message.nested_type:
        _replace_strings(inner)
