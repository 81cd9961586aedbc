"""Run a program that ends when its parent ends: ``launch.py PARENT_PID SIGNAL PROGRAM ARGUMENT...``.

The kernel sends SIGNAL (a number) to the program when the thread that started it ends, however it ends,
SIGKILL included (prctl(2), PR_SET_PDEATHSIG; kept across execve(2) of programs that are not set-user-ID).
The parent may have ended before prctl was called, so that is looked at afterwards.  Uses the standard library
only and is run by its path with ``python -I -S``, which costs about 10 ms.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_COULD_NOT_RUN = 127


def main(arguments: list[str]) -> int:
    """Replace this process by the program; returns only if that fails."""
    parent, signal, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0) != 0:
        print(f"prctl: {os.strerror(ctypes.get_errno())}", file=sys.stderr)  # noqa: T201 - the child's own log
        return _COULD_NOT_RUN
    if os.getppid() != parent:
        return _COULD_NOT_RUN
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the child's own log
    return _COULD_NOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
