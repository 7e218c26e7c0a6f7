"""The page, at every address that the API leaves."""

from __future__ import annotations

import os

from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import web


def mount() -> Mount:
    """The page's files, each with the headers that keep it from doing what it need not."""
    return _BesideTheApi("/", _Files(directory=web.FOLDER, html=True), name="page")


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """A browser asks each time whether a file is still the same: a new version is never mixed with an old one."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(web.headers() | {"Cache-Control": "no-cache"})
        return response


class _BesideTheApi(Mount):
    """Leaves /api alone: what is not there, or takes no such method, is answered as the API answers it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for the page."""
        path = f"{scope['path']}/"
        return (Match.NONE, {}) if path.startswith("/api/") else super().matches(scope)
