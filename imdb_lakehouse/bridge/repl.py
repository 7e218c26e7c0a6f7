"""`imdb-chat` without a command: an interactive loop, in a terminal or from a pipe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from ai_functions.types import NANOS_PER_DOLLAR, dollars
from imdb_lakehouse.bridge import lines
from imdb_lakehouse.bridge.client import Lakehouse, Server, ToolResult
from imdb_lakehouse.bridge.export import export_session
from imdb_lakehouse.bridge.model import ChatModel, open_model
from imdb_lakehouse.bridge.session import ChatSession
from imdb_lakehouse.bridge.settings import Settings
from imdb_lakehouse.bridge.show import format_tokens, format_turn_cost, print_event, print_table, print_text
from imdb_lakehouse.bridge.turn import Event, TextPiece, Turn, TurnLimits
from lakehouse.errors import LakehouseError, UsageError
from lakehouse.escaping import replace_controls
from lakehouse.nearest import nearest

PROMPT = "imdb> "
HISTORY = "chat_history"
"""History file in the state folder."""

DONE, FAILED, REFUSED = 0, 1, 3

_MAX_ROWS = 40
"""Rows of a result shown in a terminal."""
_LAST_STATEMENTS = 10

T = TypeVar("T")


def run_repl(server: Server, settings: Settings) -> int:
    """Answer lines until the end of input. Returns the exit code: that of the last failure, 0 in a terminal."""
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        model = _open_model(settings)
        if isinstance(model, ChatModel):
            stack.callback(model.close)
        lakehouse = Lakehouse(server)
        runner.run(lakehouse.__aenter__())
        stack.callback(lambda: runner.run(lakehouse.__aexit__(None, None, None)))
        in_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        voice = _Voice(streams=in_terminal)
        session = ChatSession(lakehouse, TurnLimits.from_settings(settings), voice.hear)
        return _Repl(session, model, runner, voice, in_terminal=in_terminal).run(settings)


def _open_model(settings: Settings) -> ChatModel | LakehouseError:
    """Open the model, or return the reason why there is none: statements do not need it."""
    try:
        return open_model(settings)
    except LakehouseError as error:
        return error


@dataclass(frozen=True)
class _Command:
    """A slash command. `run` receives the text behind its name and returns an exit code."""

    form: str
    help: str
    run: Callable[[str], int]


class _Voice:
    """Prints tool calls, and in a terminal the model's words as they come."""

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams
        self._said = ""

    def hear(self, event: Event) -> None:
        """Print an event of the turn."""
        if isinstance(event, TextPiece):
            self._say(event.text)
            return
        self._end_line()
        print_event(event, sys.stderr)

    def finish(self, answer: str) -> None:
        """Print what of an answer was not printed yet."""
        said, self._said = self._said.strip(), ""
        if said and answer.startswith(said):
            print_text(answer[len(said) :], sys.stdout)
            return
        if said:
            print(flush=True)
        print_text(answer, sys.stdout)

    def _say(self, piece: str) -> None:
        if not self._streams:
            return
        piece = piece if self._said else piece.lstrip()
        self._said += piece
        print(replace_controls(piece), end="", flush=True)

    def _end_line(self) -> None:
        if self._said:
            print(flush=True)
        self._said = ""


class _Repl:
    def __init__(
        self,
        session: ChatSession,
        model: ChatModel | LakehouseError,
        runner: asyncio.Runner,
        voice: _Voice,
        *,
        in_terminal: bool,
    ) -> None:
        self._session, self._model, self._runner, self._in_terminal = session, model, runner, in_terminal
        self._voice = voice
        self._is_leaving = False
        commands = (
            _Command("/sql STATEMENT", "run a statement without a model; alone: the last statements", self._run_sql),
            _Command("/cost", "what this session has cost", self._print_cost),
            _Command("/export FILE", "a .md file of the session, or a .csv of the last result", self._export_session),
            _Command("/new", "start over: the next question is no follow-up", self._start_over),
            _Command("/help", "this", self._print_help),
            _Command("/quit", "leave, as Ctrl-D does", self._leave_session),
        )
        self._commands: Mapping[str, _Command] = {command.form.split()[0]: command for command in commands}

    def run(self, settings: Settings) -> int:
        code = DONE
        if self._in_terminal:
            self._print_greeting()
        for line in self._read_lines(settings):
            done = self._handle_line(line.strip())
            code = done or code
            if self._is_leaving:
                break
        return DONE if self._in_terminal else code

    def _read_lines(self, settings: Settings) -> Iterator[str]:
        if self._in_terminal:
            return lines.read_typed_lines(PROMPT, settings.state / HISTORY, list(self._commands))
        return lines.read_piped_lines(sys.stdin)

    def _print_greeting(self) -> None:
        who = f"{self._model.name} plans" if isinstance(self._model, ChatModel) else "No model is set up: /sql works"
        print_text(
            f"{who}. Ask in plain language; /help says what else there is. Ctrl-C cancels, Ctrl-D leaves.", sys.stdout
        )

    def _handle_line(self, line: str) -> int:
        """Run a line. Ctrl-C cancels it, including its query on the engine; in a terminal the session continues."""
        try:
            return self._run_line(line) if line else DONE
        except LakehouseError as error:
            print_text(str(error), sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            print_text("\nCancelled.", sys.stderr)
            if not self._in_terminal:
                raise
            return FAILED

    def _run_line(self, line: str) -> int:
        if not line.startswith("/"):
            return self._ask_question(line)
        name, *rest = line.split(maxsplit=1)
        command = self._commands.get(name.lower())
        if command is None:
            near = nearest(name, self._commands, most=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UsageError(f"There is no command {name}.{hint} /help lists all.")
        return command.run(rest[0] if rest else "")

    def _ask_question(self, question: str) -> int:
        if not isinstance(self._model, ChatModel):
            raise UsageError(f"{self._model}\nHere, that is: /sql SELECT …")
        turn = self._run_coroutine(self._session.ask_question(question, self._model))
        self._voice.finish(turn.answer)
        self._print_result(turn)
        print_text(format_turn_cost(turn), sys.stderr)
        return DONE if turn.outcome == "answered" else FAILED

    def _print_result(self, turn: Turn) -> None:
        """Print the rows behind an answer if they are more than one value."""
        step = self._session.entries[-1].result
        content = step.result.content if step is not None else None
        if turn.outcome == "answered" and content and len(content["rows"]) * len(content["columns"]) > 1:
            self._print_table(content)

    def _run_sql(self, statement: str) -> int:
        if not statement:
            return self._print_statements()
        result = self._run_coroutine(self._session.run_sql(statement))
        if result.failed:
            print_text(result.text, sys.stderr)
            return REFUSED if result.is_refused else FAILED
        if result.rows is None or result.content is None:
            print_text(result.text, sys.stdout)
        else:
            self._print_table(result.content)
            print_text(_describe_cost(result), sys.stderr)
        return DONE

    def _print_table(self, content: Mapping[str, Any]) -> None:
        print_table(content, sys.stdout, _MAX_ROWS if self._in_terminal else None)

    def _print_statements(self) -> int:
        for statement in self._session.statements[-_LAST_STATEMENTS:] or ["No statement was sent yet."]:
            print_text(statement, sys.stdout)
        return DONE

    def _print_cost(self, _: str) -> int:
        session = self._session
        questions = [entry for entry in session.entries if entry.kind == "question"]
        cancelled = sum(entry.outcome == "cancelled" for entry in questions)
        asked = f"{len(questions)} asked" + (f", {cancelled} of them cancelled" if cancelled else "")
        print_text(f"questions     {asked}", sys.stdout)
        print_text(f"statements    {len(session.statements)}", sys.stdout)
        print_text(f"model         {dollars(session.nanos)}, {format_tokens(session.usage)}", sys.stdout)
        print_text(f"AI functions  {dollars(round(session.ai_dollars * NANOS_PER_DOLLAR))}", sys.stdout)
        return DONE

    def _export_session(self, name: str) -> int:
        if not name:
            raise UsageError("Where to? /export session.md, or /export result.csv.")
        print_text(f"Written to {export_session(self._session, name)}.", sys.stdout)
        return DONE

    def _start_over(self, _: str) -> int:
        self._session.clear_history()
        print_text("The next question stands alone.", sys.stderr)
        return DONE

    def _print_help(self, _: str) -> int:
        for command in self._commands.values():
            print_text(f"{command.form:16} {command.help}", sys.stdout)
        print_text(
            "Anything else is a question in plain language; a follow-up knows what was asked before.", sys.stdout
        )
        return DONE

    def _leave_session(self, _: str) -> int:
        self._is_leaving = True
        return DONE

    def _run_coroutine(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def _describe_cost(result: ToolResult) -> str:
    content = result.content or {}
    rows = "1 row" if result.rows == 1 else f"{result.rows:,} rows"
    ai = f", {dollars(round(result.ai_dollars * NANOS_PER_DOLLAR))} for AI functions" if result.ai_dollars else ""
    return f"{rows}, {content['elapsed_ms']} ms on {content['engine']}{ai}"
