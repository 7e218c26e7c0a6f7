"""`imdb-chat` without a command: question after question, in a terminal or from a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from ai_functions.types import NANOS_PER_DOLLAR, dollars
from bridge import lines
from bridge.client import Lakehouse, Server, ToolResult
from bridge.export import export
from bridge.model import ChatModel, open_model
from bridge.session import Session
from bridge.settings import Settings
from bridge.show import cost_line, show, show_event, show_table, tokens
from bridge.turn import Limits, Turn
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.nearest import nearest

PROMPT = "imdb> "
HISTORY = "chat_history"
"""The file of the state folder that holds what was typed."""

DONE, FAILED, REFUSED = 0, 1, 3

_MOST_ROWS = 40
"""Rows of a result that a terminal is shown."""
_LAST_STATEMENTS = 10

T = TypeVar("T")


def run(server: Server, settings: Settings) -> int:
    """Read and answer until the end. The exit code is that of the last thing that failed, 0 in a terminal."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        model = _model(settings)
        if isinstance(model, ChatModel):
            stack.callback(model.close)
        lakehouse = Lakehouse(server)
        runner.run(lakehouse.__aenter__())
        stack.callback(lambda: runner.run(lakehouse.__aexit__(None, None, None)))
        session = Session(lakehouse, Limits.of(settings), lambda event: show_event(event, sys.stderr))
        in_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return _Repl(session, model, runner, in_terminal=in_terminal).run(settings)


def _model(settings: Settings) -> ChatModel | LakehouseError:
    """The model, or why there is none: statements do without."""
    try:
        return open_model(settings)
    except LakehouseError as error:
        return error


@dataclass(frozen=True)
class _Command:
    """What is typed after a slash. `does` gets what stands behind it, and gives an exit code."""

    form: str
    help: str
    does: Callable[[str], int]


class _Repl:
    def __init__(
        self, session: Session, model: ChatModel | LakehouseError, runner: asyncio.Runner, *, in_terminal: bool
    ) -> None:
        self._session, self._model, self._runner, self._in_terminal = session, model, runner, in_terminal
        self._leaving = False
        commands = (
            _Command("/sql STATEMENT", "run a statement without a model; alone: the last statements", self._sql),
            _Command("/cost", "what this session has cost", self._cost),
            _Command("/export FILE", "a .md file of the session, or a .csv of the last result", self._export),
            _Command("/new", "begin anew: the next question is no follow-up", self._new),
            _Command("/help", "this", self._help),
            _Command("/quit", "leave, as Ctrl-D does", self._quit),
        )
        self._commands: Mapping[str, _Command] = {command.form.split()[0]: command for command in commands}

    def run(self, settings: Settings) -> int:
        code = DONE
        if self._in_terminal:
            self._greet()
        for line in self._lines(settings):
            done = self._answered(line.strip())
            code = done or code
            if self._leaving:
                break
        return DONE if self._in_terminal else code

    def _lines(self, settings: Settings) -> Iterator[str]:
        if self._in_terminal:
            return lines.typed(PROMPT, settings.state / HISTORY, list(self._commands))
        return lines.piped(sys.stdin)

    def _greet(self) -> None:
        who = f"{self._model.name} plans" if isinstance(self._model, ChatModel) else "No model is set up: /sql works"
        show(f"{who}. Ask in plain language; /help says what else there is. Ctrl-C cancels, Ctrl-D leaves.", sys.stdout)

    def _answered(self, line: str) -> int:
        """Do what a line says. Ctrl-C cancels it, down to the engine; in a terminal the session goes on."""
        try:
            return self._do(line) if line else DONE
        except LakehouseError as error:
            show(str(error), sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            show("\nCancelled.", sys.stderr)
            if not self._in_terminal:
                raise
            return FAILED

    def _do(self, line: str) -> int:
        if not line.startswith("/"):
            return self._ask(line)
        name, *rest = line.split(maxsplit=1)
        command = self._commands.get(name.lower())
        if command is None:
            near = nearest(name, self._commands, most=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"There is no command {name}.{hint} /help lists all.")
        return command.does(rest[0] if rest else "")

    def _ask(self, question: str) -> int:
        if not isinstance(self._model, ChatModel):
            raise UsageError(f"{self._model}\nHere, that is: /sql SELECT …")
        turn = self._wait(self._session.ask(question, self._model))
        show(turn.answer, sys.stdout)
        self._show_result(turn)
        show(cost_line(turn), sys.stderr)
        return DONE if turn.outcome == "answered" else FAILED

    def _show_result(self, turn: Turn) -> None:
        """The rows that the answer stands on, where they are more than one value."""
        step = self._session.entries[-1].result
        content = step.result.content if step is not None else None
        if turn.outcome == "answered" and content and len(content["rows"]) * len(content["columns"]) > 1:
            self._show_table(content)

    def _sql(self, statement: str) -> int:
        if not statement:
            return self._last_statements()
        result = self._wait(self._session.sql(statement))
        if result.failed:
            show(result.text, sys.stderr)
            return REFUSED if result.refused else FAILED
        if result.rows is None or result.content is None:
            show(result.text, sys.stdout)
        else:
            self._show_table(result.content)
            show(_took(result), sys.stderr)
        return DONE

    def _show_table(self, content: Mapping[str, Any]) -> None:
        show_table(content, sys.stdout, _MOST_ROWS if self._in_terminal else None)

    def _last_statements(self) -> int:
        for statement in self._session.statements[-_LAST_STATEMENTS:] or ["No statement was sent yet."]:
            show(statement, sys.stdout)
        return DONE

    def _cost(self, _: str) -> int:
        session = self._session
        questions = [entry for entry in session.entries if entry.kind == "question"]
        cancelled = sum(entry.outcome == "cancelled" for entry in questions)
        asked = f"{len(questions)} asked" + (f", {cancelled} of them cancelled" if cancelled else "")
        show(f"questions     {asked}", sys.stdout)
        show(f"statements    {len(session.statements)}", sys.stdout)
        show(f"model         {dollars(session.nanos)}, {tokens(session.usage)}", sys.stdout)
        show(f"AI functions  {dollars(round(session.ai_dollars * NANOS_PER_DOLLAR))}", sys.stdout)
        return DONE

    def _export(self, name: str) -> int:
        if not name:
            raise UsageError("Where to? /export session.md, or /export result.csv.")
        show(f"Written to {export(self._session, name)}.", sys.stdout)
        return DONE

    def _new(self, _: str) -> int:
        self._session.forget()
        show("The next question stands alone.", sys.stderr)
        return DONE

    def _help(self, _: str) -> int:
        for command in self._commands.values():
            show(f"{command.form:16} {command.help}", sys.stdout)
        show("Anything else is a question in plain language; a follow-up knows what was asked before.", sys.stdout)
        return DONE

    def _quit(self, _: str) -> int:
        self._leaving = True
        return DONE

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def _took(result: ToolResult) -> str:
    content = result.content or {}
    rows = "1 row" if result.rows == 1 else f"{result.rows:,} rows"
    ai = f", {dollars(round(result.ai_dollars * NANOS_PER_DOLLAR))} for AI functions" if result.ai_dollars else ""
    return f"{rows}, {content['elapsed_ms']} ms on {content['engine']}{ai}"
