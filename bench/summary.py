"""What the figures of `bench.side_by_side` come to: ratios, growth, goals, losses, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from bench.measuring import LakeResult, Measurement

OURS = "server"
GROUPS = ("questions", "look-ups")
_GOALS = {"duckdb": 1.0, "raw": 1.15}
"""What the server's time divided by another's should be at most, in the median and in the sum."""
_TIMES_FASTER_THAN_SPARK = 10
_LOOKUP_GROWTH = 1.5
"""What a look-up in the largest lake should take at most, divided by the same in the smallest."""


def list_ratios(lake: LakeResult, other: str, group: str, *, cpu: bool = False) -> dict[str, tuple[float, float]]:
    """The server's median and another's, for each question of a group that both have answered."""
    ours, theirs = lake.medians(OURS, group, cpu=cpu), lake.medians(other, group, cpu=cpu)
    return {question: (ours[question], theirs[question]) for question in ours if question in theirs}


def fit_growth(sizes: Sequence[int], times: Sequence[float]) -> float:
    """The exponent of growth: the slope of log(time) by log(size), 1.0 where time grows as the data do."""
    return statistics.linear_regression([math.log(size) for size in sizes], [math.log(time) for time in times]).slope


def write_report(lakes: Sequence[LakeResult], changes: Mapping[str, str]) -> str:
    """All tables as Markdown."""
    parts = [*_write_goals(lakes)]
    for lake in lakes:
        for group in GROUPS:
            parts += _write_table(lake, group)
        parts += _write_losses(lake)
        parts += _write_failures(lake)
    parts += _write_growth(lakes)
    if changes:
        parts += ["", "What was rewritten for DuckDB:", ""]
        parts += [f"- {question}: `{changed}`" for question, changed in changes.items() if changed]
    return "\n".join(parts) + "\n"


def _write_goals(lakes: Sequence[LakeResult]) -> Iterator[str]:
    yield from ("| goal | " + " | ".join(lake.name for lake in lakes) + " |", "|---|" + "---|" * len(lakes))
    for other, most in _GOALS.items():
        pairs = [list(list_ratios(lake, other, GROUPS[0]).values()) for lake in lakes]
        if any(pairs):
            yield _row(f"median of server / {other} ≤ {most}", [_judge(_median_ratio(each), most) for each in pairs])
            yield _row(f"sum of server / sum of {other} ≤ {most}", [_judge(_sum_ratio(each), most) for each in pairs])
    for other in _GOALS:
        pairs = [list(list_ratios(lake, other, GROUPS[0], cpu=True).values()) for lake in lakes]
        if any(pairs):
            cells = [f"{_format_number(_median_ratio(each))}, {_format_number(_sum_ratio(each))}" for each in pairs]
            yield _row(f"the same by processor time, server / {other}: median, sum", cells)
    pairs = [list(list_ratios(lake, "spark", GROUPS[0]).values()) for lake in lakes]
    if any(pairs):
        least = _TIMES_FASTER_THAN_SPARK
        swapped = [[(theirs, ours) for ours, theirs in each] for each in pairs]
        yield _row(f"median of spark / server ≥ {least}", [_judge(_median_ratio(each), least, -1) for each in swapped])
    if len(lakes) > 1:
        small, large = min(lakes, key=lambda lake: lake.titles), max(lakes, key=lambda lake: lake.titles)
        before, after = small.medians(OURS, GROUPS[1]), large.medians(OURS, GROUPS[1])
        for name in before.keys() & after.keys():
            grown = _judge(after[name] / before[name], _LOOKUP_GROWTH)
            yield f"\nLook-up `{name}`, {large.name} / {small.name} ≤ {_LOOKUP_GROWTH}: {grown}"


def _write_table(lake: LakeResult, group: str) -> Iterator[str]:
    questions = [question for question in lake.found if lake.groups[question] == group]
    if not questions:
        return
    names = list(lake.start_ms)
    others = [name for name in names if name != OURS]
    yield (
        f"\n{lake.name}, {group}: {lake.titles:,} titles, {lake.credits:,} credits; load average "
        f"{lake.load_before:.1f} before and {lake.load_after:.1f} after. Milliseconds, first answer and warm median, "
        "processor time in brackets; peak memory in MiB.\n"
    )
    heads = [group.rstrip("s"), *names, *(f"{OURS} / {other}" for other in others), f"MiB: {', '.join(names)}"]
    yield from ("| " + " | ".join(heads) + " |", "|---" * len(heads) + "|")
    for question in questions:
        measured = lake.found[question]
        cells = [_format_times(measured[name]) for name in names]
        cells += [_format_ratio(measured.get(OURS), measured[other]) for other in others]
        cells.append(" / ".join(f"{measured[name].peak_bytes >> 20}" for name in names))
        yield _row(question, cells)
    pairs = [list(list_ratios(lake, other, group).values()) for other in others]
    blank = [""] * len(names)
    yield _row("**median ratio**", [*blank, *(_format_number(_median_ratio(each)) for each in pairs), ""])
    sums = [f"{sum(lake.medians(name, group).values()):,.0f}" for name in names]
    yield _row("**sum**", [*sums, *(_format_number(_sum_ratio(each)) for each in pairs), ""])


def _write_losses(lake: LakeResult) -> Iterator[str]:
    for other, most in _GOALS.items():
        losses = [
            (ours - theirs, f"{question} {ours / theirs:.2f} × (+{ours - theirs:,.0f} ms)")
            for group in GROUPS
            for question, (ours, theirs) in list_ratios(lake, other, group).items()
            if ours > theirs * most
        ]
        if losses:
            shown = ", ".join(text for _, text in sorted(losses, reverse=True))
            yield f"\n{lake.name}, slower than {most} × {other}, largest loss first: {shown}"


def _write_failures(lake: LakeResult) -> Iterator[str]:
    for question, measured in lake.found.items():
        for name, each in measured.items():
            if each.error or each.differs:
                yield f"\n{lake.name}, {question}, {name}: {each.error or each.differs}"


def _write_growth(lakes: Sequence[LakeResult]) -> Iterator[str]:
    """The exponents of growth of each question and contender that has answered it in every lake."""
    if len({lake.titles for lake in lakes}) < 2:
        return
    names = [name for name in lakes[0].start_ms if all(name in lake.start_ms for lake in lakes)]
    yield f"\nGrowth from {lakes[0].name} to {lakes[-1].name} (exponent; 1 is as the data):\n"
    yield from ("| question | " + " | ".join(names) + " |", "|---|" + "---|" * len(names))
    sizes = [lake.titles for lake in lakes]
    for question in lakes[0].found:
        cells = []
        for name in names:
            times = [lake.found[question][name].ms for lake in lakes if question in lake.found]
            known = [time for time in times if time is not None]
            cells.append(_format_number(fit_growth(sizes, known)) if len(known) == len(sizes) else "–")
        yield _row(question, cells)


def _median_ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    return statistics.median(ours / theirs for ours, theirs in pairs) if pairs else None


def _sum_ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    return sum(ours for ours, _ in pairs) / sum(theirs for _, theirs in pairs) if pairs else None


def _judge(value: float | None, bound: float, sign: int = 1) -> str:
    if value is None:
        return "–"
    return f"{value:.2f} ({'reached' if sign * value <= sign * bound else 'missed'})"


def _format_times(measured: Measurement) -> str:
    if measured.error is not None:
        return "failed"
    warm = "–" if measured.ms is None else f"{measured.ms:,.0f}"
    cpu = "" if measured.cpu is None else f" ({measured.cpu:,.0f})"
    return f"{measured.first_ms:,.0f} → {warm}{cpu}" if measured.first_ms is not None else "–"


def _format_ratio(ours: Measurement | None, other: Measurement) -> str:
    if ours is None or ours.ms is None or other.ms is None:
        return "–"
    return _format_number(ours.ms / other.ms) + ("*" if other.differs else "")


def _format_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _row(name: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([name, *cells]) + " |"
