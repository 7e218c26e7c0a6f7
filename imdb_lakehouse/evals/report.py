"""Reports a file of results: a table for people, a summary for programs."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ai_functions.types import NANOS_PER_DOLLAR, dollars
from imdb_lakehouse.evals.questions import GROUPS
from imdb_lakehouse.evals.results import AttemptRecord
from imdb_lakehouse.evals.score import UNDECIDED
from lakehouse.escaping import replace_controls

_Z = 1.959964
"""Standard normal quantile of a 95 % interval."""
_MIN_GROUP_SIZE = 2
"""Attempts that a group needs to be shown."""

Summary = dict[str, Any]


def summarize_records(
    records: Iterable[AttemptRecord],
    unknown: Mapping[str, str],
    unwritten: Mapping[str, str],
    spent: int,
    run: Mapping[str, Any],
) -> Summary:
    """Summarize results. `spent` is in nano-dollars.

    `unknown` maps questions that could not be asked to the reason, `unwritten` those that have no gold statement yet.
    """
    every = list(records)
    judged = [record for record in every if record["verdict"] not in UNDECIDED]
    return {
        "run": dict(run),
        **_count_records(judged),
        "interval_95": _compute_interval(judged),
        "verdicts": dict(Counter(record["verdict"] for record in every)),
        "undecided": len(every) - len(judged),
        "empty_gold": sum(record["gold"]["rows"] == 0 for record in judged),
        "extra_columns": sum(record["match"] and record["extra_columns"] > 0 for record in judged),
        "not_asked": dict(unknown),
        "to_write": dict(unwritten),
        "spent_usd": spent / NANOS_PER_DOLLAR,
        "by": {group: _count_by_group(judged, group) for group in GROUPS if any(group in record for record in judged)},
        "per_question": [_summarize_question(name, attempts) for name, attempts in _group_by_question(every).items()],
    }


def _count_records(records: Sequence[AttemptRecord]) -> Summary:
    count = len(records)
    seconds = sorted(record["seconds"] for record in records)
    return {
        "attempts": count,
        "questions": len({record["id"] for record in records}),
        "matched": sum(record["match"] for record in records),
        "accuracy": _compute_share(sum(record["match"] for record in records), count),
        "order_aside": _compute_share(sum(record["rows_match"] for record in records), count),
        "any_statement": _compute_share(sum(record["any_match"] for record in records), count),
        "tool_calls": sum(record["tool_calls"] for record in records),
        "retries": sum(record["retries"] for record in records),
        "tokens_read": sum(record["tokens_read"] for record in records),
        "tokens_written": sum(record["tokens_written"] for record in records),
        "usd": sum(record["model_usd"] + record["ai_usd"] for record in records),
        "seconds_median": round(statistics.median(seconds), 3) if seconds else None,
        "seconds_most": seconds[-1] if seconds else None,
    }


def _compute_share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _compute_interval(records: Sequence[AttemptRecord]) -> tuple[float, float] | None:
    """Compute the 95 % Wilson interval of the accuracy. None if a question was asked more than once."""
    count = len(records)
    if not count or len({record["id"] for record in records}) < count:
        return None
    share = sum(record["match"] for record in records) / count
    middle = share + _Z**2 / (2 * count)
    width = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    low, high = ((middle + sign * width) / (1 + _Z**2 / count) for sign in (-1, 1))
    return round(max(low, 0.0), 4), round(min(high, 1.0), 4)


def _count_by_group(records: Sequence[AttemptRecord], group: str) -> dict[str, Summary]:
    found: defaultdict[str, list[AttemptRecord]] = defaultdict(list)
    for record in records:
        for value in record.get(group, ()):
            found[value].append(record)
    return {
        value: {"attempts": len(those), "matched": sum(record["match"] for record in those)}
        for value, those in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    }


def _group_by_question(records: Sequence[AttemptRecord]) -> dict[str, list[AttemptRecord]]:
    found: defaultdict[str, list[AttemptRecord]] = defaultdict(list)
    for record in records:
        found[record["id"]].append(record)
    return found


def _summarize_question(name: str, attempts: Sequence[AttemptRecord]) -> Summary:
    verdicts = [record["verdict"] for record in attempts]
    missed = next((record for record in attempts if not record["match"]), None)
    return {
        "id": name,
        **_count_records(attempts),
        "verdicts": verdicts,
        "rows": attempts[-1]["rows"],
        "gold_rows": attempts[-1]["gold"]["rows"],
        "reason": missed["reason"] if missed else "",
    }


def render_summary(summary: Summary) -> Group:
    """Render the table, the reasons of mismatches, and the totals."""
    parts: list[RenderableType] = [_build_table(summary), *_list_reasons(summary), Text()]
    parts += [Text(line) for line in _list_totals(summary)]
    parts += [_build_group_table(group, values) for group, values in summary["by"].items()]
    return Group(*parts)


def _build_table(summary: Summary) -> Table:
    table = Table(show_footer=True)
    table.add_column("question", "all", no_wrap=True)
    table.add_column("result", _format_part(summary["matched"], summary["attempts"]), no_wrap=True)
    for name, total in (
        ("rows", ""),
        ("calls", f"{summary['tool_calls']:,}"),
        ("retries", f"{summary['retries']:,}"),
        ("tokens", _format_tokens(summary)),
        ("cost", _format_usd(summary["usd"])),
        ("seconds", ""),
    ):
        table.add_column(name, total, justify="right", no_wrap=True)
    for row in summary["per_question"]:
        rows = "" if row["rows"] is None else f"{row['rows']:,}"
        expected = f"{rows or '-'}/{row['gold_rows']:,}"
        numbers = (
            expected,
            f"{row['tool_calls']:,}",
            f"{row['retries']:,}",
            _format_tokens(row),
            _format_usd(row["usd"]),
        )
        table.add_row(Text(replace_controls(row["id"])), _format_verdict(row), *numbers, f"{row['seconds_median']:.1f}")
    return table


def _format_verdict(row: Summary) -> Text:
    text = row["verdicts"][0] if row["attempts"] == 1 else _format_part(row["matched"], row["attempts"])
    whole = row["matched"] == row["attempts"]
    return Text(text, style="green" if whole else "red" if not row["matched"] else "yellow")


def _list_reasons(summary: Summary) -> list[Text]:
    lines = [f"{row['id']}: {row['reason'].splitlines()[0]}" for row in summary["per_question"] if row["reason"]]
    lines += [f"{name} was not asked: {why}." for name, why in summary["not_asked"].items()]
    lines += [f"{name} is to be written: {why}" for name, why in summary["to_write"].items()]
    if count := len(summary["to_write"]):
        lines.append(f"To be written: {count}. Put the gold statement into the line as `sql`, and it is asked.")
    return [Text(replace_controls(line)) for line in lines]


def _list_totals(summary: Summary) -> list[str]:
    count = summary["attempts"]
    if not count:
        return ["Nothing was judged."]
    interval = summary["interval_95"]
    within = f" (95 % interval {100 * interval[0]:.0f} to {_format_percent(interval[1])})" if interval else ""
    aside, every = _format_percent(summary["order_aside"]), _format_percent(summary["any_statement"])
    usd, spent = _format_usd(summary["usd"]), _format_usd(summary["spent_usd"])
    matched = f"{_format_part(summary['matched'], count)} match, {_format_percent(summary['accuracy'])}{within}"
    lines = [
        f"{summary['run']['model']}: {matched}",
        f"{aside} with the order of rows left aside, {every} by any statement of the turn",
        f"{usd} for what is judged, {spent} spent in all",
        f"median {summary['seconds_median']:.1f} s, longest {summary['seconds_most']:.1f} s",
    ]
    if summary["empty_gold"]:
        lines.append(f"With an empty gold result on this lake: {summary['empty_gold']}. A match there says little.")
    if summary["extra_columns"]:
        lines.append(f"Matches with columns beyond the expected ones: {summary['extra_columns']}.")
    if summary["undecided"]:
        lines.append(f"Asked and not judged: {summary['undecided']}. The next run asks them again.")
    return lines


def _build_group_table(group: str, values: Mapping[str, Summary]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(group)
    table.add_column("match", justify="right")
    frequent = {value: each for value, each in values.items() if each["attempts"] >= _MIN_GROUP_SIZE}
    for value, each in frequent.items():
        table.add_row(Text(replace_controls(value)), _format_part(each["matched"], each["attempts"]))
    if rest := len(values) - len(frequent):
        table.add_row(Text(f"({rest} more, of one attempt each)", style="dim"), "")
    return Group(Text(), table)


def _format_part(part: int, whole: int) -> str:
    return f"{part} of {whole}"


def _format_percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _format_tokens(counts: Summary) -> str:
    return f"{counts['tokens_read'] + counts['tokens_written']:,}"


def _format_usd(amount: float) -> str:
    return dollars(round(amount * NANOS_PER_DOLLAR))


def open_console(*, terminal: bool) -> Console:
    """Open the console of the report. A pipe has no width; a fixed one keeps tables from being folded."""
    return Console(width=None if terminal else 120, highlight=False)
