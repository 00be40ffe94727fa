"""Style and script, served under names that change with their content, so that browsers keep them for good."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["MOUNT", "Assets", "asset"]

MOUNT = "/static"
_FOLDER = Path(__file__).parent / "static"


@lru_cache(maxsize=64)
def asset(name: str) -> str:
    """The path under which a file of `static` is served.

    Raises:
        FileNotFoundError: there is none.
    """
    digest = hashlib.sha256((_FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"{MOUNT}/{name}?{digest}"


class Assets(StaticFiles):
    """The files of `static`; one that is asked for with its digest may be kept for a year."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with how long it may be kept."""
        response = await super().get_response(path, scope)
        asked = f"{MOUNT}/{path}?{scope.get('query_string', b'').decode('latin-1')}"
        right = response.status_code == 200 and asked == asset(
            path
        )  # another version's name is no name of this content
        kept = "public, max-age=31536000, immutable" if right else "no-cache"
        response.headers["Cache-Control"] = kept
        return response
