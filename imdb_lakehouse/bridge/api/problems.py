"""Error responses as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from imdb_lakehouse.bridge.api.limits import TooManyError
from imdb_lakehouse.bridge.api.schema import Problem
from imdb_lakehouse.bridge.catalog import LakeUnavailableError, TableNotFoundError
from imdb_lakehouse.bridge.client import ServerGoneError
from imdb_lakehouse.bridge.feedback import FeedbackFullError, NotRatedError
from imdb_lakehouse.bridge.operations import ConversationBusyError, NoModelError, ServiceBusyError
from imdb_lakehouse.bridge.store import (
    ChangedError,
    ExpiredError,
    KeyReusedError,
    NotFoundError,
    NothingToShareError,
    OutdatedError,
    RecordTooLargeError,
    StoreUnavailableError,
)
from lakehouse.errors import LakehouseError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_BUSY_SECONDS = 5
_NO_JSON = "The body is no JSON in UTF-8. /api/openapi.json has its form."


class UnknownVisitorError(LakehouseError):
    """A request without a valid token of this program."""


class SharingOffError(LakehouseError):
    """A request for a link where the settings allow none."""


_STATUSES: Mapping[type[LakehouseError], HTTPStatus] = {
    UnknownVisitorError: HTTPStatus.UNAUTHORIZED,
    SharingOffError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ExpiredError: HTTPStatus.GONE,
    NothingToShareError: HTTPStatus.CONFLICT,
    OutdatedError: HTTPStatus.PRECONDITION_FAILED,
    ConversationBusyError: HTTPStatus.CONFLICT,
    NotRatedError: HTTPStatus.CONFLICT,
    ChangedError: HTTPStatus.CONFLICT,
    KeyReusedError: HTTPStatus.CONFLICT,
    RecordTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooManyError: HTTPStatus.TOO_MANY_REQUESTS,
    ServiceBusyError: HTTPStatus.TOO_MANY_REQUESTS,
    NoModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    FeedbackFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    TableNotFoundError: HTTPStatus.NOT_FOUND,
    LakeUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    ServerGoneError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def document_errors(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a route for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status.value: {"description": status.phrase, "content": content} for status in statuses}


def install_handlers(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Install handlers for all errors of an application. `routes` are the routes of the API."""
    app.state.routes = routes
    app.exception_handler(LakehouseError)(_answer_known_error)
    app.exception_handler(RequestValidationError)(_answer_malformed)
    app.exception_handler(HTTPException)(_answer_http_error)


def build_problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Build an error response."""
    body = Problem(title=status.phrase, status=status.value, detail=detail)
    return JSONResponse(body.model_dump(), status.value, dict(headers or {}), media_type=MEDIA_TYPE)


def _answer_known_error(_request: Request, error: LakehouseError) -> JSONResponse:
    status = _STATUSES.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return report_defect(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(getattr(error, "seconds", _BUSY_SECONDS))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, StoreUnavailableError):
        log.warning("%s", error)
        return build_problem(status, "Conversations cannot be read or kept right now. Ask again in a minute.", headers)
    return build_problem(status, str(error), headers)


def _answer_malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
    if any(one["type"] == "json_invalid" for one in error.errors()):
        return build_problem(HTTPStatus.UNPROCESSABLE_ENTITY, _NO_JSON)
    said = "; ".join(f"{'.'.join(map(str, one['loc'][1:])) or 'the body'}: {one['msg']}" for one in error.errors())
    return build_problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"The request does not fit: {said}. /api/openapi.json has its form."
    )


def _answer_http_error(request: Request, error: HTTPException) -> JSONResponse:
    match status := HTTPStatus(error.status_code):
        case HTTPStatus.BAD_REQUEST:  # raised by FastAPI for a body that it cannot decode
            return build_problem(HTTPStatus.UNPROCESSABLE_ENTITY, _NO_JSON)
        case HTTPStatus.NOT_FOUND:
            return build_problem(status, "There is nothing at this address. /api/openapi.json lists what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(_list_methods(request))
            return build_problem(
                status, f"This address takes {allowed}. /api/openapi.json says what for.", {"Allow": allowed}
            )
    return build_problem(status, str(error.detail), error.headers)


def _list_methods(request: Request) -> list[str]:
    """List the methods of a path over all its routes; other paths are files of the page."""
    fitting = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in fitting for method in route.methods}) or ["GET", "HEAD"]


def report_defect(error: Exception) -> JSONResponse:
    """Log an error that nobody expected, and build the response that names its entry in the log and nothing else."""
    correlation_id = uuid.uuid4().hex[:12]
    log.error("A request failed, correlation id %s", correlation_id, exc_info=error)
    detail = f"This program failed at it. Whoever runs it finds the reason in its log, under {correlation_id}."
    return build_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
