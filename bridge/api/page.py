"""Serves the page at all paths outside /api."""

from __future__ import annotations

import os

from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import web


def mount_page() -> Mount:
    """Return the mount that serves the page's files with their security headers."""
    return _BesideTheApi("/", _Files(directory=web.FOLDER, html=True), name="page")


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Send a file that browsers revalidate each time, so that files of two versions are never mixed."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(web.build_headers() | {"Cache-Control": "no-cache"})
        return response


class _BesideTheApi(Mount):
    """Matches all paths outside /api, so that the API answers its own unknown paths and methods."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request unless its path is under /api."""
        path = f"{scope['path']}/"
        return (Match.NONE, {}) if path.startswith("/api/") else super().matches(scope)
