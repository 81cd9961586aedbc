"""What is wrong with a program's settings, a line each, by the variable's name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import ValidationError
from pydantic_settings import SettingsError


def settings_trouble(
    program: str, prefix: str, error: ValidationError | SettingsError, json: str = "must be JSON"
) -> Iterator[str]:
    """For people.  ``prefix``: of the program's variables; ``json``: what is said of one that is no JSON."""
    if isinstance(error, SettingsError):
        named = re.search(r'field "(\w+)"', str(error))
        yield f"{program}: {prefix + named[1].upper() if named else f'a {prefix} variable'}: {json}"
        return
    for problem in error.errors():
        name = "_".join(str(part) for part in problem["loc"]).upper()
        yield f"{program}: {name if name.startswith('TALLY_') else prefix + name}: {problem['msg']}"
