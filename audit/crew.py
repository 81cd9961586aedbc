"""Processes that share the tasks of a verification.

They end with their work, with an error of any of them, with Ctrl-C, and with the death of the process that
started them; their queries end with them (``client_connection_check_interval``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final, Protocol

from audit.errors import AuditError, WorkerLost, unforeseen
from audit.examine import Examiner, Outcome, Task
from ledger.errors import LedgerError
from store.errors import StoreError

_PATIENCE_S: Final = 5.0


class Crew(Protocol):
    """Whoever carries out tasks."""

    def outcomes(self, tasks: Iterable[Task], progress: Callable[[int], None]) -> Iterator[Outcome]:
        """Carry the tasks out, in any order.

        Raises:
            StoreError: the database can't be read.
            WorkerLost: a process ended by itself.
        """


class Alone:
    """This process: for what is too little to start others for."""

    def __init__(self, url: str, snapshot: str) -> None:
        self._url = url
        self._snapshot = snapshot

    def outcomes(self, tasks: Iterable[Task], progress: Callable[[int], None]) -> Iterator[Outcome]:
        """Carry the tasks out one after the other."""
        with Examiner(self._url, self._snapshot) as examiner:
            for task in tasks:
                yield examiner.examine(task, progress)


class Processes:
    """So many processes, each with connections of its own to the same snapshot."""

    def __init__(self, url: str, snapshot: str, count: int) -> None:
        self._url = url
        self._snapshot = snapshot
        self._count = count

    def outcomes(self, tasks: Iterable[Task], progress: Callable[[int], None]) -> Iterator[Outcome]:
        """Carry the tasks out, each by the process that is free first."""
        waiting = list(reversed(list(tasks)))
        context = multiprocessing.get_context("spawn")
        workers: dict[Connection, SpawnProcess] = {}
        try:
            for _ in range(min(self._count, len(waiting))):
                here, there = context.Pipe()
                worker = context.Process(
                    target=_work, args=(there, self._url, self._snapshot), name="tally audit", daemon=True
                )
                worker.start()
                there.close()
                workers[here] = worker
                here.send(waiting.pop())
            busy = set(workers)
            while busy:
                for pipe in connection.wait(list(busy)):
                    assert isinstance(pipe, Connection), "only pipes were given"
                    answer = _answer(pipe, workers[pipe])
                    if isinstance(answer, int):
                        progress(answer)
                        continue
                    yield answer
                    if waiting:
                        pipe.send(waiting.pop())
                    else:
                        busy.discard(pipe)
        finally:
            for pipe, worker in workers.items():
                pipe.close()  # an idle worker ends when its pipe does
                if waiting or not _ends(worker):
                    worker.terminate()
            for worker in workers.values():
                if not _ends(worker):
                    worker.kill()
                worker.join()


def _ends(worker: SpawnProcess) -> bool:
    worker.join(_PATIENCE_S)
    return worker.exitcode is not None


def _answer(pipe: Connection, worker: SpawnProcess) -> int | Outcome:
    try:
        answer = pipe.recv()
    except (EOFError, ConnectionResetError):  # the latter if it left something that we had sent unread
        worker.join(_PATIENCE_S)
        raise WorkerLost(
            f"a process of the audit ended with exit status {worker.exitcode} before its work was done"
        ) from None
    if isinstance(answer, AuditError | LedgerError | StoreError):
        raise answer
    assert isinstance(answer, int | Outcome), "a worker sends nothing else"
    return answer


def _work(pipe: Connection, url: str, snapshot: str) -> None:
    """What a process of the crew does: tasks, until there is nobody to give any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with Examiner(url, snapshot) as examiner:
            while True:
                pipe.send(examiner.examine(pipe.recv(), pipe.send))
    except (EOFError, ConnectionResetError):
        return
    except (AuditError, LedgerError, StoreError) as error:
        pipe.send(error)
    except BrokenPipeError:
        return
    except Exception as error:  # noqa: BLE001  (whatever tampering made of the ledger, the parent says it)
        pipe.send(unforeseen(error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
