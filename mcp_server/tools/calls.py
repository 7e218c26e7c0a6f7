"""What happens around every tool call, in one place: its audit line and the translation of its errors.

An error that the caller can mend reaches the model with its text. Any other reaches it as a correlation id,
under which the whole of it stands in the log on stderr.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, TextContent
from pydantic import ValidationError

from ai_functions.service import AiService
from ai_functions.types import NANOS_PER_DOLLAR, AiUnavailable, Spender
from lakehouse.callers import META, Callers
from lakehouse.errors import EngineLacks, LakehouseError, QueryCancelled, QueryError, Refused
from lakehouse.escaping import cut_text, quote_briefly, repair_text
from mcp_server.audit import AuditEvent, AuditLog
from mcp_server.background import Background
from mcp_server.models import Principal
from mcp_server.runs import Call, Run
from mcp_server.service import StatementService
from mcp_server.settings import Settings
from mcp_server.tools.arguments import MOST_ARGUMENTS, BadRequestError, choose_tool, read_arguments
from mcp_server.tools.profile import Profiles

log = logging.getLogger(__name__)

_LEAST_ERROR_CHARS = 4_000
"""How long the text of an error may be, however small answers are: it says what to do at its end."""


@dataclass(frozen=True)
class AppContext:
    """What every tool works with."""

    settings: Settings
    service: StatementService
    ai: AiService
    background: Background
    profiles: Profiles
    audit: AuditLog
    principal: Principal
    callers: Callers | None = None

    def asked_by(self, context: Context[Any, Any]) -> AppContext:
        """Return the context of a request's caller. Raises UnknownCallerError where callers must be vouched for."""
        if self.callers is None:
            return self
        name = self.callers.name(_read_meta(context).get(META))
        if name is None:
            raise UnknownCallerError(
                "This server answers those whom the program that started it vouches for, and this call came without "
                "that. Ask through that program, or start a server without IMDB_CALLER_KEY."
            )
        return replace(self, principal=Principal(name))

    def charged_usd(self, event: AuditEvent) -> float:
        """What a call that its caller has left was charged so far, in dollars: what is under way at its maximum."""
        if not self.ai.has_called:
            return 0.0
        with suppress(AiUnavailable):  # the ledger keeps the sum, for when it can be read again
            nanos = [self.ai.ledger.read_charged(Spender(event.caller, query_id)) for query_id in event.query_ids]
            return sum(nanos) / NANOS_PER_DOLLAR
        return event.ai_usd

    def audit_malformed(self, params: Mapping[str, Any] | None) -> None:
        """Leave the line of a call whose name is no text or whose arguments are no object."""
        name = str((params or {}).get("name"))
        caller = self.principal.name if self.callers is None else _NOBODY
        event = AuditEvent(name, caller, self.service.main_engine.name, verdict="bad_request", code="malformed")
        self.audit.write(event)

    def audit_end(self, event: AuditEvent, run: Run[Any]) -> None:
        """Leave the line of what ended after its call, such as a statement that was answered with a handle."""
        last = replace(event, verdict="ok", code="")
        if run.failure is not None:
            _classify_failure(run.failure, last)
        self.audit.write(last)


class UnknownCallerError(BadRequestError):
    """A call of nobody that this server knows."""

    code = "unknown_caller"


_PREFIXES: Mapping[type[LakehouseError], str] = {
    Refused: "Refused ({code}): ",
    EngineLacks: "Not on this engine ({code}): ",
}
"""What stands before a text, so that a program can act on the code; elsewhere the engine's own words tell it."""

_VERDICTS: Mapping[type[LakehouseError], str] = {
    Refused: "refused",
    BadRequestError: "bad_request",
    UnknownCallerError: "bad_request",
    QueryCancelled: "cancelled",
}

_OWN_FIELDS = ("sql_query", "reasoning")
"""Arguments that have a field of their own in the audit."""

_NOBODY = "unknown"
"""Who the audit says made a call before it is known, where callers have to be vouched for."""

_APP: ContextVar[AppContext] = ContextVar("app")
_CALL: ContextVar[Call] = ContextVar("call")


def app_context() -> AppContext:
    """What the tool call that this code runs for works with."""
    return _APP.get()


def current_call() -> Call:
    """The tool call that this code runs for."""
    return _CALL.get()


async def call(
    app: AppContext, tools: Mapping[str, Tool], name: str, arguments: dict[str, Any], context: Context[Any, Any]
) -> CallToolResult:
    """Run a tool call and leave its audit line. Only ToolError and protocol errors come out."""
    event = AuditEvent(
        tool=name,
        caller=app.principal.name if app.callers is None else _NOBODY,
        engine=app.service.main_engine.name,
        sql_sent=_to_text(arguments.get("sql_query")),
        reasoning=_to_text(arguments.get("reasoning")),
        arguments={name: arguments[name] for name in islice(arguments, MOST_ARGUMENTS) if name not in _OWN_FIELDS},
    )
    try:
        app.audit.require_writable()
        app = app.asked_by(context)
        event.caller = app.principal.name
        # Every call is a task of its own, so neither has to be set back.
        _APP.set(app)
        _CALL.set(Call(app.principal, event, _make_reporter(context)))
        chosen = choose_tool(name, tools)
        known = read_arguments(name, chosen.parameters, arguments)
        event.ignored = known.ignored
        result: CallToolResult = await chosen.run(known.values, context, convert_result=True)
    except anyio.get_cancelled_exc_class():
        event.verdict = "cancelled"
        event.ai_usd = app.charged_usd(event)
        raise
    except MCPError as error:
        event.verdict, event.code = "bad_request", str(error.error.code)
        raise
    except Exception as error:
        # It may name what a lake holds, in words of any length.
        most = max(app.settings.max_result_bytes // 4, _LEAST_ERROR_CHARS)
        raise ToolError(cut_text(_translate_error(error, event), most)) from error
    else:
        result.content.extend(TextContent(type="text", text=note) for note in known.notes)
        return result
    finally:
        _write_audit_line(app.audit, event)


def _write_audit_line(audit: AuditLog, event: AuditEvent) -> None:
    try:
        audit.write(event)
    except LakehouseError as error:
        raise ToolError(str(error)) from error


def _translate_error(error: Exception, event: AuditEvent) -> str:
    """The text for the model, with verdict and code noted for the audit."""
    # The SDK wraps what a tool raised in a ToolError of its own, and argument errors too.
    cause = error.__cause__ if isinstance(error, ToolError) and error.__cause__ is not None else error
    _classify_failure(cause, event)
    if isinstance(cause, ValidationError):
        return repair_text("\n".join(_describe_argument_problem(detail) for detail in cause.errors()))
    if isinstance(cause, LakehouseError) and cause.mendable:
        return repair_text(_PREFIXES.get(type(cause), "").format(code=event.code) + str(cause))
    log.error("Tool %r failed, correlation id %s", event.tool, event.correlation_id, exc_info=cause)
    return (
        "The server failed at this and you cannot mend it. Tell whoever runs the server the correlation id "
        f"{event.correlation_id}: its log has the reason under it."
    )


def _classify_failure(cause: BaseException, event: AuditEvent) -> None:
    """Note verdict and code of a failure for the audit."""
    match cause:
        case ValidationError():
            event.verdict, event.code = "bad_request", BadRequestError.code
        case QueryError():
            event.verdict, event.code = _VERDICTS.get(type(cause), "failed"), cause.code
        case LakehouseError():
            event.verdict, event.code = "failed", type(cause).__name__
        case _:
            event.verdict, event.code = "error", type(cause).__name__


def _describe_argument_problem(detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        return f"The argument {name} is missing. Call the tool again with it."
    return f"The argument {name} does not fit: {detail['msg']}; given: {quote_briefly(detail['input'])}."


def _read_meta(context: Context[Any, Any]) -> Mapping[str, Any]:
    """What came beside the arguments of a call; nothing where it was made without a request."""
    return (context.request_context.meta or {}) if context.protocol_version is not None else {}


def _make_reporter(context: Context[Any, Any]) -> Callable[[str], Coroutine[Any, Any, None]]:
    stage = 0

    async def report(message: str) -> None:
        nonlocal stage
        stage += 1
        if context.protocol_version is not None:  # None: called without a request, so nobody listens
            await context.report_progress(stage, message=message)

    return report


def _to_text(value: Any) -> str | None:
    return None if value is None else str(value)
