"""The pictures of `bench.side_by_side`: times of each question, and growth over the lakes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.measuring import LakeResult
from bench.summary import GROUPS, OURS

_COLOURS = {"server": "#0b6e4f", "raw": "#8fb996", "duckdb": "#d9822b", "spark": "#7a7a7a"}
_SHOWN = {"server": "this server", "raw": "raw engine", "duckdb": "DuckDB's MCP server", "spark": "Spark local[*]"}


def draw(lakes: Sequence[LakeResult], folder: Path) -> list[Path]:
    """Write the pictures as PNG. Returns their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    made = [_draw_questions(lake, folder / f"bench-questions-{lake.name}.png") for lake in lakes]
    if len(lakes) > 1:
        made.append(_draw_growth(lakes, folder / "bench-growth.png"))
    return made


def _draw_questions(lake: LakeResult, path: Path) -> Path:
    """A row for each question, slowest first, and a dot for each contender, on a logarithmic scale."""
    import matplotlib.pyplot as plt

    medians = {name: lake.medians(name, GROUPS[0]) | lake.medians(name, GROUPS[1]) for name in lake.start_ms}
    ours = medians.get(OURS) or next(iter(medians.values()))
    order = sorted(lake.found, key=lambda question: ours.get(question, 0.0))
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(order) + 1.6))
    for place, question in enumerate(order):
        taken = [times[question] for times in medians.values() if question in times]
        if taken:
            axes.plot([min(taken), max(taken)], [place, place], color="#dddddd", linewidth=1, zorder=1)
    for name, times in medians.items():
        rows = [place for place, question in enumerate(order) if question in times]
        axes.scatter(
            [times[order[row]] for row in rows], rows, s=30, color=_COLOURS[name], label=_SHOWN[name], zorder=2
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_format_ms)
    axes.set_yticks(range(len(order)), order, fontsize=8)
    axes.set_xlabel("warm median, milliseconds (logarithmic)")
    load = f"load average {lake.load_before:.1f} to {lake.load_after:.1f}"
    axes.set_title(f"{lake.titles:,} titles, {lake.credits:,} credits ({load})", fontsize=10)
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    axes.legend(loc="lower right", fontsize=8)
    return _save(figure, path)


def _draw_growth(lakes: Sequence[LakeResult], path: Path) -> Path:
    """For questions and for look-ups: how the median of each contender grows."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    figure, panels = plt.subplots(1, len(GROUPS), figsize=(9, 4), sharey=True)
    for axes, group in zip(panels, GROUPS, strict=True):
        for name in lakes[0].start_ms:
            sizes, medians = _follow_median(lakes, name, group)
            axes.plot(sizes, medians, marker="o", color=_COLOURS[name], label=_SHOWN[name])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([lake.titles for lake in lakes], [f"{lake.titles / 1e6:.3g} M" for lake in lakes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(_format_ms)
        axes.set_xlabel("titles")
        axes.set_title(f"{group}: median, milliseconds", fontsize=10)
        axes.grid(color="#eeeeee")
    panels[0].legend(fontsize=8)
    return _save(figure, path)


def _follow_median(lakes: Sequence[LakeResult], name: str, group: str) -> tuple[list[int], list[float]]:
    """The titles of each lake that a contender was asked in, and its median over what it answered in all of these."""
    asked = [lake for lake in lakes if name in lake.start_ms]
    found = [lake.medians(name, group) for lake in asked]
    common = set.intersection(*map(set, found))
    medians = [statistics.median(each[question] for question in common) for each in found] if common else []
    return [lake.titles for lake in asked][: len(medians)], medians


def _format_ms(value: float, _place: Any) -> str:
    return f"{value:,.0f}"


def _save(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
