"""Serves the page at all paths outside /api."""

from __future__ import annotations

import functools
import gzip
import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.routing import Match, Mount
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from imdb_lakehouse import web


def mount_page() -> Mount:
    """Return the mount that serves the page's files with their security headers."""
    return _BesideTheApi("/", _Files(directory=web.FOLDER, html=True), name="page")


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """Send a file that browsers revalidate each time, so that files of two versions are never mixed."""
        asked = Headers(scope=scope)
        is_packed = "gzip" in asked.get("accept-encoding", "") and "range" not in asked
        build = self._build_packed if is_packed else super().file_response
        response = build(full_path, stat_result, scope, status_code)
        response.headers.update(web.build_headers() | {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"})
        return response

    def _build_packed(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int
    ) -> Response:
        plain = FileResponse(full_path, status_code, stat_result=stat_result)
        headers = {name: value for name, value in plain.headers.items() if name != "content-length"}
        headers |= {"content-encoding": "gzip", "etag": f'{plain.headers["etag"][:-1]}-gzip"'}
        response = Response(_pack_file(os.fspath(full_path), stat_result.st_mtime_ns), status_code, headers)
        is_known = self.is_not_modified(response.headers, Headers(scope=scope))
        return NotModifiedResponse(response.headers) if is_known else response


@functools.lru_cache(maxsize=256)
def _pack_file(path: str, changed_ns: int) -> bytes:  # noqa: ARG001  (a file that was changed is another key)
    """Compress a file, once for each version of it: all files of the page take 60 ms of processor time."""
    return gzip.compress(Path(path).read_bytes(), 9, mtime=0)


class _BesideTheApi(Mount):
    """Matches all paths outside /api, so that the API answers its own unknown paths and methods."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match a request unless its path is under /api."""
        path = f"{scope['path']}/"
        return (Match.NONE, {}) if path.startswith("/api/") else super().matches(scope)
