"""AI functions applied to the rows of a query: arguments → things → facts → texts, in the columns' places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ai_functions.functions import AiFunction
from ai_functions.service import AiService
from ai_functions.types import AiUnavailable, BudgetExceeded, Facts, Outcome, RateLimited, Spender, dollars
from mcp_server.ai.resolve import MOST_NAME_CHARS, MOST_ROWS, LookUp, Meant, RowCall, resolve
from mcp_server.models import AiColumn, CheckedQuery, ResultSet
from mcp_server.results.ai import AiFunctionUse, AiNulls, AiUse, summarize_use, to_dollars
from mcp_server.results.cells import Json, read_column

ARGUMENT_CHARS = MOST_NAME_CHARS + 100
"""Maximal number of characters read of an argument: more than the longest name has."""

EnterStage = Callable[[str], None]
"""Reports the current stage if the text is not empty. Raises to end the work."""


@dataclass(frozen=True)
class Task:
    """One function of a query: its columns, the resolved thing of each row, and the facts of all things."""

    function: AiFunction
    columns: tuple[AiColumn, ...]
    meant: Mapping[str, Sequence[Meant]]
    facts: Mapping[str, Facts]


@dataclass(frozen=True)
class TaskResult:
    """The result of a task: the outcome for each key, and its report."""

    outcomes: Mapping[str, Outcome]
    use: AiFunctionUse


def prepare_tasks(
    functions: Mapping[str, AiFunction], found: ResultSet, query: CheckedQuery, look_up: LookUp
) -> tuple[Task, ...]:
    """Query the engine for everything that the functions of a query need. This costs no money."""
    tasks = []
    for name in dict.fromkeys(column.function for column in query.ai):
        function = functions[name]
        columns = tuple(column for column in query.ai if column.function == name)
        wanted = {column.argument: _read_arguments(found, query, column) for column in columns}
        different = dict.fromkeys(each for calls in wanted.values() for each in calls)
        resolved = resolve(function, different, look_up)
        keys = sorted({meant.key for meant in resolved.values() if meant.key is not None})
        facts = _gather_facts(function, keys, look_up) if keys else {}
        meant = {argument: [resolved[each] for each in calls] for argument, calls in wanted.items()}
        tasks.append(Task(function, columns, meant, facts))
    return tuple(tasks)


def _read_arguments(found: ResultSet, query: CheckedQuery, column: AiColumn) -> list[RowCall]:
    table = found.table.slice(0, query.limit.rows)
    arguments = _read_texts(table.column(column.argument))
    keys = _read_texts(table.column(column.key)) if column.key is not None else [None] * len(arguments)
    return [RowCall.from_cell(argument, key) for argument, key in zip(arguments, keys, strict=True)]


def _read_texts(column: Any) -> list[Json]:
    """Return the cells of a column, cut at the longest name; a longer text or a list is no name."""
    return [cell.value for chunk in column.chunks for cell in read_column(chunk, ARGUMENT_CHARS)]


def _gather_facts(function: AiFunction, keys: list[str], look_up: LookUp) -> dict[str, Facts]:
    rows = look_up(function.statements["facts"], {"keys": keys}, MOST_ROWS).records()
    details = {
        section: look_up(function.statements[section], {"keys": keys}, MOST_ROWS).records()
        for section in function.details
    }
    return function.gather_facts(rows, details)


def run_tasks(
    service: AiService,
    tasks: Sequence[Task],
    spender: Spender,
    budget_nanos: int,
    seconds_left: Callable[[], float],
    enter_stage: EnterStage,
) -> tuple[TaskResult, ...]:
    """Apply every function.

    Raises AiUnavailable, BudgetExceeded and RateLimited before anything is spent. Where a later function meets one of
    them, its texts are null with the reason, because what an earlier one made is paid for.
    """
    estimates = [service.estimate(task.function, list(task.facts.values())) for task in tasks]
    total = sum(estimate.nanos for estimate in estimates)
    if len(tasks) > 1 and total > budget_nanos:
        raise BudgetExceeded(
            f"This query would cost up to {dollars(total)}, and one query may spend {dollars(budget_nanos)}. Ask for "
            "fewer rows, or for one AI function at a time. Nothing was spent."
        )
    done: list[TaskResult] = []
    for task, estimate in zip(tasks, estimates, strict=True):
        items = list(task.facts.values())
        try:
            outcomes = service.run(
                task.function,
                items,
                spender,
                deadline_seconds=seconds_left(),
                report=_Reporter(task.function.name, enter_stage),
            )
        except (AiUnavailable, BudgetExceeded, RateLimited) as refusal:
            if not any(each.use.calls for each in done):
                raise
            outcomes = [Outcome(None, str(refusal), cached=False, usage=None, nanos=0) for _ in items]
        by_key = dict(zip(task.facts, outcomes, strict=True))
        done.append(TaskResult(by_key, _count_use(task, service.terms(task.function).model, by_key, estimate.nanos)))
    return tuple(done)


class _Reporter:
    """Reports how many calls are done, once per change; between changes it lets the run end itself."""

    def __init__(self, name: str, enter_stage: EnterStage) -> None:
        self._name, self._enter_stage = name, enter_stage
        self._told = ""

    def __call__(self, done: int, of: int, nanos: int) -> None:
        text = f"{self._name}: {done} of {of}, {dollars(nanos)} so far"
        self._enter_stage("" if text == self._told else text)
        self._told = text


def _count_use(task: Task, model: str, outcomes: Mapping[str, Outcome], most: int) -> AiFunctionUse:
    made = [each for each in outcomes.values() if not each.cached and (each.text or each.usage or each.nanos)]
    usages = [outcome.usage for outcome in made if outcome.usage is not None]
    return AiFunctionUse(
        function=task.function.name,
        model=model,
        columns=[column.name for column in task.columns],
        items=len(outcomes),
        calls=len(made),
        cached=sum(outcome.cached for outcome in outcomes.values()),
        failed=sum(outcome.text is None for outcome in outcomes.values()),
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        estimate_usd=to_dollars(most),
        cost_usd=to_dollars(sum(outcome.nanos for outcome in made)),
    )


def fill_columns(
    found: ResultSet, query: CheckedQuery, tasks: Sequence[Task], done: Sequence[TaskResult]
) -> tuple[ResultSet, AiUse]:
    """Return the rows with texts in place of arguments and without the keys that the guard added, and the usage.

    A row beyond the limit, which proves that there are more, has no texts.
    """
    import pyarrow as pa

    table = found.table
    texts: dict[str, Any] = {}
    names: dict[str, str] = {}
    nulls: list[AiNulls] = []
    for task, result in zip(tasks, done, strict=True):
        for column in task.columns:
            cells = [_choose_text(meant, result.outcomes) for meant in task.meant[column.argument]]
            beyond = [None] * (table.num_rows - len(cells))
            texts[column.argument] = pa.array([text for text, _ in cells] + beyond, pa.string())
            names[column.argument] = column.name
            nulls += _group_nulls(column.name, [reason for _, reason in cells])
    hidden = {column.key for column in query.ai}
    names_before = table.column_names
    shown = [number for number, name in enumerate(names_before) if name not in hidden]
    kept = [
        (texts[name], names[name], "string") if name in texts else (table.column(number), name, found.types[number])
        for number, name in ((number, names_before[number]) for number in shown)
    ]
    missing = {
        (row, shown.index(column)): chars
        for (row, column), chars in found.missing.items()
        if column in shown and names_before[column] not in texts
    }
    rows = pa.Table.from_arrays([cells for cells, _, _ in kept], names=[name for _, name, _ in kept])
    outcomes = [outcome for result in done for outcome in result.outcomes.values()]
    use = summarize_use(
        [result.use for result in done], nulls, [each.doubt for each in outcomes if each.doubt is not None]
    )
    types = tuple(kind for _, _, kind in kept)
    warnings = (*found.warnings, *use.warnings)
    return replace(found, table=rows, types=types, warnings=warnings, missing=missing), use


def _choose_text(meant: Meant, outcomes: Mapping[str, Outcome]) -> tuple[str | None, str | None]:
    """Return the text of a row, or the reason why it has none."""
    if meant.key is None:
        return None, meant.reason
    outcome = outcomes.get(meant.key)
    if outcome is None:
        return None, f"The lake has no facts about {meant.key}."
    return outcome.text, outcome.reason


def _group_nulls(column: str, reasons: Sequence[str | None]) -> list[AiNulls]:
    rows: dict[str, list[int]] = {}
    for row, reason in enumerate(reasons):
        if reason is not None:
            rows.setdefault(reason, []).append(row)
    return [AiNulls(column=column, reason=reason, rows=numbers) for reason, numbers in rows.items()]
