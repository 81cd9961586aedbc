"""The inference service as the commands reach it: an address, a token, JSON."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tally.errors import NotRunning, TallyError
from tally.settings import read_settings

if TYPE_CHECKING:
    import httpx

_TIMEOUT_S: Final = 30.0

Url = Annotated[
    str | None,
    typer.Option(help="The inference service (TALLY_INFERENCE_URL, else this stack's).", show_default=False),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="NAME",
        help="Whose token to use, of this stack's: machines, reviewer, approver, operator. "
        "Without it TALLY_TOKEN, else the usual one.",
    ),
]


class Refused(TallyError):
    """The service says no; ``details`` may say more."""

    def __init__(self, message: str, reason: str, details: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details


class ServiceClient:
    """Asks the service as somebody.

    Args:
        url: its address; None: TALLY_INFERENCE_URL, else where this stack has it.
        name: whose token of this stack; None: TALLY_TOKEN, else ``usual``.
    """

    def __init__(self, url: str | None, name: str | None, usual: str) -> None:
        settings = read_settings()
        here = f"http://{settings.inference_host}:{settings.inference_port}"
        self._url = (url or os.environ.get("TALLY_INFERENCE_URL") or here).rstrip("/")
        given = os.environ.get("TALLY_TOKEN")
        self._token = given if name is None and given else _token(settings.secrets_dir, name or usual)

    def get(self, path: str) -> Any:
        """The JSON at ``path``.

        Raises:
            Refused: the service answers with an error.
            NotRunning: nobody answers.
        """
        return self._json(self._send("GET", path))

    def text(self, path: str) -> str:
        """The text at ``path``; raises as ``get``."""
        return self._send("GET", path).text

    def post(self, path: str, body: Any) -> Any:
        """What comes of a POST; raises as ``get``."""
        return self._json(self._send("POST", path, body))

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        import httpx  # noqa: PLC0415  (slow to import, and most commands do not need it)

        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            with httpx.Client(timeout=_TIMEOUT_S, trust_env=False, headers=headers) as client:
                answer = client.request(method, self._url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            what = str(error) or type(error).__name__
            raise NotRunning(
                f"the inference service at {self._url} does not answer ({what}); start it with `tally up`"
            ) from error
        if answer.is_error:
            raise _refused(answer)
        return answer

    @staticmethod
    def _json(answer: httpx.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise TallyError(
                f"{answer.url} does not answer with JSON: is it the inference service?"
            ) from error


def _token(secrets_dir: Path, name: str) -> str:
    path = secrets_dir / "principals" / f"{name}.token"
    if Path(name).name != name:
        raise TallyError(f"{name!r} is no name of a principal")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        folder = path.parent
        known = sorted(one.stem for one in folder.glob("*.token")) if folder.is_dir() else []
        there = f"there are {', '.join(known)}" if known else "`tally up` makes them; or set TALLY_TOKEN"
        raise TallyError(f"this stack has no token of {name}: {there}") from error


def _refused(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()["error"]
        return Refused(problem["message"], problem["reason"], problem.get("details"))
    except (ValueError, KeyError, TypeError):
        return Refused(f"{answer.url} answers {answer.status_code}", "http_error", None)
