"""Who may do what: bearer tokens, the principals that they belong to, and their roles.

``TALLY_INFERENCE_PRINCIPALS`` is a JSON file, a list of ``{"name", "roles", "token_sha256"}``: the service
knows digests only, so the file gives nobody a token.  A principal's name is the actor of what it does in the
ledger.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inference.errors import InferenceError, NotAllowed

Role = Literal["predict", "review", "govern"]


class Principal(BaseModel):
    """Somebody who holds a token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[\w.@+-]{1,64}$")
    roles: frozenset[Role]
    token_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class PrincipalsUnusable(InferenceError):
    """The file of principals can't be read; the service does not start without it."""


@dataclass(frozen=True, slots=True)
class Principals:
    """Those who may ask anything of the service."""

    everybody: tuple[Principal, ...]

    @classmethod
    def read(cls, path: Path) -> Principals:
        """The principals of a file.

        Raises:
            PrincipalsUnusable: it can't be read, is not such a file, or has a name or a token twice.
        """
        try:
            found = TypeAdapter(tuple[Principal, ...]).validate_json(path.read_bytes())
        except OSError as error:
            raise PrincipalsUnusable(f"{path} can't be read: {error.strerror}") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            raise PrincipalsUnusable(f"{path}: {place}: {first['msg']}") from error
        if len({principal.name for principal in found}) < len(found):
            raise PrincipalsUnusable(f"{path} names a principal twice")
        if len({principal.token_sha256 for principal in found}) < len(found):
            raise PrincipalsUnusable(f"{path} gives two principals the same token")
        return cls(found)

    def holder(self, token: str) -> Principal | None:
        """Whose token that is; every digest is compared, in constant time."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for principal in self.everybody:
            if hmac.compare_digest(principal.token_sha256, digest):
                found = principal
        return found


_bearer = HTTPBearer(auto_error=False, description="a token of a principal with the role that the path needs")


def require(*roles: Role) -> Callable[..., Awaitable[Principal]]:
    """A FastAPI dependency: the principal who asks, if it has one of the roles; else 401 or 403.

    Use it as ``principal: Annotated[Principal, Depends(require("govern"))]``.
    """

    # A coroutine, since FastAPI would run a plain function in a thread.
    async def principal_with_role(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Principal:
        principals: Principals = request.app.state.principals
        found = None if credentials is None else principals.holder(credentials.credentials)
        if found is None:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        if not found.roles.intersection(roles):
            raise NotAllowed(f"{found.name} has not the role {' or '.join(roles)}", reason="role_missing")
        return found

    return principal_with_role
