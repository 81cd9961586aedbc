"""Where a signing key comes from: a file, a variable of the environment, or an external command.

A source is one line of text: a path, ``env:NAME`` or ``command:PROGRAM ARGUMENTS``.  What it gives is the
text of ``SigningKey.to_text``.  No message that is raised here has any of the key in it, not even when a key
was given where its source was expected.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shlex
import signal
import stat
import subprocess
import time
from typing import Final

from ledger.errors import BadNote
from ledger.notes import SigningKey
from service.errors import KeyUnusable

COMMAND_S: Final = 10.0
"""How long a command may take.  Our choice: a vault answers in less, and a start should not hang."""
MOST_BYTES: Final = 4096
"""Our choice: a key is 80 bytes and its name."""
_ENVIRONMENT: Final = "env:"
_COMMAND: Final = "command:"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FORMS: Final = "a file's path, env:NAME or command:PROGRAM ARGUMENTS"


def load_signing_key(spec: str) -> SigningKey:
    """The signing key that ``spec`` names.

    A file must be a regular one, of this user or root, and closed to everybody else (mode 0600 or less); a
    link is followed.  A command runs without a shell, reads nothing, and has ``COMMAND_S`` seconds to print
    the key on its standard output; what it says on its standard error is dropped.

    Raises:
        KeyUnusable: there is no key there, or it is not kept safely; the message says what to do.
    """
    if "PRIVATE+KEY" in spec:
        raise KeyUnusable(f"a key itself was given as its source: expected {_FORMS}; make a new key")
    if spec.startswith(_ENVIRONMENT):
        content, source = _from_environment(spec.removeprefix(_ENVIRONMENT))
    elif spec.startswith(_COMMAND):
        content, source = _from_command(spec.removeprefix(_COMMAND))
    else:
        content, source = _from_file(spec), spec
    if len(content) > MOST_BYTES:
        raise KeyUnusable(f"{source}: more than {MOST_BYTES} bytes, so no signing key")
    try:
        return SigningKey.parse(content.decode("utf-8").strip())
    except (BadNote, UnicodeDecodeError) as error:
        said = str(error) if isinstance(error, BadNote) else "a signing key is UTF-8"
        # Without the cause: what it was made of is the key's text.
        raise KeyUnusable(f"{source}: {said}; `tally keys generate` makes one") from None


def _from_environment(name: str) -> tuple[bytes, str]:
    if _VARIABLE.fullmatch(name) is None:
        raise KeyUnusable("env: expects the name of a variable, of letters, digits and underscores")
    text = os.environ.get(name, "")
    if not text:
        raise KeyUnusable(f"{name} is not set: put the signing key's text into this variable")
    return text.encode("utf-8", "surrogateescape"), name


def _from_file(path: str) -> bytes:
    if not path:
        raise KeyUnusable(f"no source of the signing key: expected {_FORMS}")
    try:
        # Not blocking, as a pipe without a writer would hang here instead of being refused below.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "no path"
        raise KeyUnusable(f"{path!r} can't be read ({said}): expected {_FORMS}") from error
    try:
        _check_kept(path, os.fstat(descriptor))  # of what was opened: nothing can be put in its place after
        return os.read(descriptor, MOST_BYTES + 1)
    except OSError as error:
        raise KeyUnusable(f"{path} can't be read ({error.strerror})") from error
    finally:
        os.close(descriptor)


def _check_kept(path: str, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise KeyUnusable(f"{path} is no regular file: expected one with the signing key")
    if status.st_uid not in {os.geteuid(), 0}:
        raise KeyUnusable(f"{path} belongs to user {status.st_uid}: expected this user or root; chown it")
    if mode & ~0o600:
        raise KeyUnusable(f"{path} has mode {mode:04o}: expected 0600; do `chmod 600 {shlex.quote(path)}`")


def _from_command(line: str) -> tuple[bytes, str]:
    try:
        arguments = shlex.split(line)
    except ValueError as error:
        raise KeyUnusable(f"command: is no command line ({error}): check its quotes") from error
    if not arguments:
        raise KeyUnusable("command: expects a program and its arguments")
    source = f"the command {arguments[0]}"  # its arguments may be secret
    try:
        child = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "no program"
        raise KeyUnusable(f"{source} can't be started ({said}): give its full path") from error
    deadline = time.monotonic() + COMMAND_S
    try:
        content = _read_until(child, deadline)
        status = child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise KeyUnusable(
            f"{source} did not print a key and end within {COMMAND_S:g} s: run it by hand"
        ) from None
    finally:
        _end(child)
    if status != 0:
        raise KeyUnusable(f"{source} ended with {status}: run it by hand to see why")
    return content, source


def _read_until(child: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What it prints, until it closes its output or has printed too much for a key."""
    assert child.stdout is not None
    content = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while len(content) <= MOST_BYTES:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise subprocess.TimeoutExpired(child.args, COMMAND_S)
            chunk = os.read(child.stdout.fileno(), MOST_BYTES)
            if not chunk:
                return content
            content += chunk
    raise KeyUnusable(f"the command prints more than {MOST_BYTES} bytes, so no signing key")


def _end(child: subprocess.Popen[bytes]) -> None:
    """A command that did not end by itself is gone when this returns, with whatever it started."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert child.stdout is not None
    child.stdout.close()
