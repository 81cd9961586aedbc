"""YAML without its traps: no tags, no anchors (a page could stand for gigabytes), no key twice."""

from __future__ import annotations

from typing import Any

import yaml

from inference.errors import SpecError


class NotStrictYaml(SpecError):
    """The bytes are not UTF-8, not YAML, or use what is not admitted; the message says where."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            where = self.get_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases are not admitted", where)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:  # one of the two would be lost
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def load(content: bytes) -> object:
    """The value that a document stands for.

    Raises:
        NotStrictYaml: see the class.
    """
    try:
        return yaml.load(content.decode(), _Loader)  # noqa: S506 - a SafeLoader, only stricter
    except UnicodeDecodeError as error:
        raise NotStrictYaml(f"expected UTF-8 text: {error.reason} at byte {error.start}") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise NotStrictYaml(
            f"is not the YAML that is expected: {' '.join(str(error).split())[:300]}"
        ) from error
