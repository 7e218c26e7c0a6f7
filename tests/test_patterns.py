"""Every regular expression of the project may meet text from outside, so none takes more than linear time.

They are found in the source and not listed here: whoever writes a new one has it tried.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import pytest

from ai_functions.functions import functions
from tests.conftest import ROOT
from tests.hostile import Hostile, hostile_texts

PACKAGES = ("ai_functions", "etl", "imdb_lakehouse", "lakehouse", "mcp_server", "prompts")
MADE_AT_RUN_TIME = {"ai_functions/functions.py": "the pattern of a key, in an AI function's own file"}
"""Where an expression is not written in the source."""

_TIMES = (*range(4, 26, 3), 28, 32, 40, 48)
"""Repetitions, close together: what grows tenfold with each would not come back from many more."""
_LENGTHS = (256, 1_500, 40_000)
"""Letters, where it does not."""
_CALM_GROWTH, _NOISE_SECONDS = 9.0, 2e-5
"""From 256 to 1,500 letters linear time grows by 5.9. What grows by more is tried with the longest text too."""
_TIMES_THE_PLAIN, _LEAST_SECONDS = 60, 5e-3
"""How many times as long as the plainest expression one may take for a letter: linear ones take up to 30 times, which
is 5e-7 s on two cores; quadratic ones, at 40,000 letters, 600 times and more."""
_NAMES_A_MODULE = re.compile(r"\b(?:re|regex|fnmatch)\b")
_PLAIN, _PLAIN_TEXT = re.compile(r"(?:\w\s?)*+x"), "ab " * 13_333


@dataclass(frozen=True)
class Expression:
    """A regular expression in the source, and the methods that it is used with, as far as its name tells."""

    place: str
    pattern: re.Pattern[str]
    methods: frozenset[str] = frozenset({"fullmatch", "findall"})

    def run(self, method: str, text: str) -> object:
        """Use it on a text."""
        return getattr(self.pattern, method)(text)


def sources() -> Iterator[tuple[str, ast.Module, str]]:
    """The path, the tree and the text of every module that names one of regular expressions."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text("utf-8")
            if _NAMES_A_MODULE.search(text):
                yield str(path.relative_to(ROOT)), ast.parse(text), text


def calls_of_re(tree: ast.AST) -> Iterator[ast.Call]:
    """All calls of the module `re`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"))):
                yield node


def name_of(tree: ast.Module, call: ast.Call) -> str:
    """The constant that a call is assigned to; empty where it stands in a table."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if value is call:
                return name
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is call:
                return name
    return ""


def expressions() -> Iterator[Expression]:
    """All that are written in the source."""
    for path, tree, text in sources():
        for call in calls_of_re(tree):
            if path in MADE_AT_RUN_TIME:
                continue
            module = import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
            pattern: re.Pattern[str] = eval(ast.unparse(call), vars(module))
            name = name_of(tree, call)
            yield Expression(f"{path}:{name or pattern.pattern[:30]}", pattern, methods_of(name, text))


def methods_of(name: str, text: str) -> frozenset[str]:
    """How the expression of that name is used in its module: `findall` stands for all that look everywhere."""
    used = re.findall(rf"\b{name}\.(\w+)\(", text) if name else []
    known = frozenset(m if m in {"match", "fullmatch", "search"} else "findall" for m in used)
    return known or frozenset({"fullmatch", "findall"})


def cpu_seconds(run: Callable[[], object]) -> float:
    began = time.thread_time()
    run()
    return time.thread_time() - began


def most_seconds(text: str) -> float:
    """How long an expression may take for a text, on this machine and now."""
    plain = max(cpu_seconds(partial(_PLAIN.match, _PLAIN_TEXT)) for _ in range(3)) / len(_PLAIN_TEXT)
    return max(_LEAST_SECONDS, len(text) * _TIMES_THE_PLAIN * plain)


def slow_length(expression: Expression, method: str, hostile: Hostile) -> int | None:
    """The length at which a text takes too long, None where it never does."""
    before = 0.0
    few, middle, many = (chars // len(hostile.part) for chars in _LENGTHS)
    for times in (*(each for each in _TIMES if each < few), few, middle, many):
        text = hostile.text(times)
        run = partial(expression.run, method, text)
        seconds = cpu_seconds(run)
        if seconds > _LEAST_SECONDS and min(seconds, cpu_seconds(run), cpu_seconds(run)) > most_seconds(text):
            return len(text)
        if times == middle and seconds < max(_CALM_GROWTH * before, _NOISE_SECONDS):
            return None
        before = seconds
    return None


def slowest(expression: Expression) -> str | None:
    """What takes an expression too long, None where nothing does."""
    for method in sorted(expression.methods):
        for hostile in hostile_texts(expression.pattern):
            chars = slow_length(expression, method, hostile)
            if chars is not None:
                return f"{method} of {hostile} at {chars:,} letters"
    return None


@pytest.mark.parametrize("expression", list(expressions()), ids=lambda each: each.place)
def test_no_expression_takes_more_than_linear_time(expression: Expression) -> None:
    assert slowest(expression) is None


def test_no_key_of_an_ai_function_takes_more_than_linear_time() -> None:
    for function in functions().values():
        assert slowest(Expression(function.name, function.key_pattern)) is None


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        (r"\s*[\r\n]+\s*", "findall"),
        (r".*Division by zero.*", "findall"),
        (r"\[(?:s3|file):/[^\]]*\]", "findall"),
        (r"\A(?:[\w.]+(?:Error)?: )+(?=\[)", "search"),
        (r"\+\s*(?:(?:MERGE|MERGEJOIN)\s*,?\s*)+", "fullmatch"),
        (r".*.*.*x", "fullmatch"),
        (r"%([-+ 0]*)(\d*)([a-z])", "findall"),
        (r'details = "(.*?)"\s*(?:>|$)', "search"),
        (r"(a|aa)+$", "match"),
    ],
)
def test_what_backtracks_is_found(pattern: str, method: str) -> None:
    assert slowest(Expression("", re.compile(pattern), frozenset({method}))) is not None


def test_every_expression_is_a_constant_of_its_module() -> None:
    """Others would be tried by nobody."""
    strays = []
    for path, tree, _ in sources():
        calls = list(calls_of_re(tree))
        functions_of_it = [node for node in ast.walk(tree) if is_function(node)] if calls else []
        within = {id(call) for node in functions_of_it for call in calls_of_re(node)}
        for call in calls:
            is_constant = (
                isinstance(call.func, ast.Attribute) and call.func.attr == "compile" and id(call) not in within
            )
            if not is_constant and path not in MADE_AT_RUN_TIME:
                strays.append(f"{path}:{call.lineno}")
        strays += [f"{path}:{node.lineno}" for node in ast.walk(tree) if is_import_under_another_name(node)]
    assert strays == []


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def is_import_under_another_name(node: ast.AST) -> bool:
    match node:
        case ast.ImportFrom(module="re" | "regex" | "fnmatch"):
            return True
        case ast.Import(names=names):
            return any(each.name in {"regex", "fnmatch"} or (each.name == "re" and each.asname) for each in names)
    return False
