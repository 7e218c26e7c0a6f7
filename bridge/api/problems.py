"""Errors as `application/problem+json` (RFC 9457): what went wrong, told once, for whatever raised it."""

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

from bridge.api.limits import TooManyError
from bridge.api.schema import Problem
from bridge.operations import BusyError, ConversationBusyError, NoModelError
from bridge.store import ChangedError, KeyReusedError, NotFoundError, StoreUnavailableError, TooLargeError
from lakehouse.errors import LakehouseError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_BUSY_SECONDS = 5


class UnknownVisitorError(LakehouseError):
    """A request without a token, or with one that was not made here."""


_STATUSES: Mapping[type[LakehouseError], HTTPStatus] = {
    UnknownVisitorError: HTTPStatus.UNAUTHORIZED,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConversationBusyError: HTTPStatus.CONFLICT,
    ChangedError: HTTPStatus.CONFLICT,
    KeyReusedError: HTTPStatus.CONFLICT,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TooManyError: HTTPStatus.TOO_MANY_REQUESTS,
    BusyError: HTTPStatus.TOO_MANY_REQUESTS,
    NoModelError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The errors of an address, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status.value: {"description": status.phrase, "content": content} for status in statuses}


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Answer every error of an application so. `routes` are its addresses."""
    app.state.routes = routes
    app.exception_handler(LakehouseError)(_foreseen)
    app.exception_handler(RequestValidationError)(_malformed)
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(Exception)(_defect)


def problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as it is answered."""
    body = Problem(title=status.phrase, status=status.value, detail=detail)
    return JSONResponse(body.model_dump(), status.value, dict(headers or {}), media_type=MEDIA_TYPE)


def _foreseen(_request: Request, error: LakehouseError) -> JSONResponse:
    status = _STATUSES.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _defect(_request, error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(getattr(error, "seconds", _BUSY_SECONDS))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, StoreUnavailableError):
        log.warning("%s", error)
        return problem(status, "Conversations cannot be read or kept right now. Ask again in a minute.", headers)
    return problem(status, str(error), headers)


def _malformed(_request: Request, error: RequestValidationError) -> JSONResponse:
    said = "; ".join(f"{'.'.join(map(str, one['loc'][1:])) or 'the body'}: {one['msg']}" for one in error.errors())
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"The request does not fit: {said}. /api/openapi.json has its form."
    )


def _http(request: Request, error: HTTPException) -> JSONResponse:
    match status := HTTPStatus(error.status_code):
        case HTTPStatus.BAD_REQUEST:  # FastAPI's, of a body that it cannot even decode
            detail = "The body is no JSON in UTF-8. /api/openapi.json has its form."
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
        case HTTPStatus.NOT_FOUND:
            return problem(status, "There is nothing at this address. /api/openapi.json lists what there is.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(_methods(request))
            return problem(
                status, f"This address takes {allowed}. /api/openapi.json says what for.", {"Allow": allowed}
            )
    return problem(status, str(error.detail), error.headers)


def _methods(request: Request) -> list[str]:
    """What an address takes; the framework knows a method at a time. The rest are files of the page."""
    fitting = [route for route in request.app.state.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in fitting for method in route.methods}) or ["GET", "HEAD"]


def _defect(_request: Request, error: Exception) -> JSONResponse:
    correlation_id = uuid.uuid4().hex[:12]
    log.error("A request failed, correlation id %s", correlation_id, exc_info=error)
    detail = f"This program failed at it. Whoever runs it finds the reason in its log, under {correlation_id}."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail)
