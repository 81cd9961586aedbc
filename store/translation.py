"""Each error of asyncpg becomes one of ``store.errors``, by what the caller should do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import asyncpg

from store.errors import StoreDefect, StoreError, StoreRejected, StoreUnavailable

_REJECTING: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""Errors that the same data will meet again."""
_DEFECTS: Final = (asyncpg.PLPGSQLError, asyncpg.InternalServerError)
"""Errors of somebody's trigger or of PostgreSQL itself, which perhaps one request alone brings out."""
_RETRYABLE: Final = (
    OSError,
    EOFError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a session that the server ended while it was idle fails so when next used
    asyncpg.PostgresError,
)
"""Everything else: a missing right or table too is mended by an operator; clients keep their data so long."""


@contextlib.asynccontextmanager
async def translated(*passing: type[Exception]) -> AsyncIterator[None]:
    """Translate; the caller's own errors, ``passing``, go through."""
    try:
        yield
    except StoreError:
        raise
    except _REJECTING as error:
        raise StoreRejected(f"{type(error).__name__}: {error}") from error
    except _DEFECTS as error:
        raise StoreDefect(f"{type(error).__name__}: {error}") from error
    except _RETRYABLE as error:
        raise StoreUnavailable(f"{type(error).__name__}: {error}") from error
    except Exception as error:
        if isinstance(error, passing):
            raise
        # A defect of ours that some request brings out.  Failing alone, it can't hold up the others.
        raise StoreDefect(f"unexpected {type(error).__name__}: {error}") from error
