"""AI functions, read from `prompts/`: one file each, and no code knows their names.

A file has front matter with `kind: ai_function`, statements that find and describe things, and a template. The rows of
the statements become `Facts`, and facts become a `ModelRequest`; both are capped here, for all callers.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from functools import cache
from typing import Any

import prompts
from ai_functions.types import Facts, ModelRequest, Price

KIND = "ai_function"
MOST_DETAILS = 12
"""Rows of one key that a section such as `credits` gives; further ones are left out."""
MOST_FACTS_BYTES = 4_096
"""Size of the facts in a prompt. With it a prompt's cost is bounded before any fact is read."""
MOST_VALUE_CHARS = 200

FINDING = ("by_key", "by_name")
"""The sections that find things. `by_key` takes `:keys`, `by_name` `:names`."""

EVERY = "every"
"""The section that gives the keys of all there is, the most wanted first, for a batch. A function may go without."""

_HEADING = re.compile(r"^## (\w+)\n", re.MULTILINE)
_STATEMENT = re.compile(r"^```sql\n(.*?)\n```", re.MULTILINE | re.DOTALL)
# What ends a fenced block, and what open models' chat formats take for the turn of somebody else ("<|im_end|>",
# "</s>", "[INST]"): a server that renders prompts as text would read it in a title too. JSON has an escape for all.
_MARKS = re.compile(r"[`<>\u2028\u2029]|\[(?=/?[A-Z])")
_NEEDED = frozenset(
    {"description", "key", "key_is", "key_pattern", "name", "name_is", "model", "max_output_tokens", "tables"}
)
_NANOS_PER_TOKEN = Decimal(1_000)  # a price of one dollar per million tokens, in nano-dollars per token


@dataclass(frozen=True)
class AiFunction:
    """One file. `statements` are SQL templates by the names of their sections; see `prompts/ai_movie_summary.md`.

    `key` is the column and argument that identifies a thing, `by_name` the argument that may name it. `price` is that
    of `model`, None where the file has none. `tables` are those that the statements read, in lower case. `version`
    changes with whatever of the file reaches the model.
    """

    name: str
    description: str
    key: str
    by_name: str
    arguments: Mapping[str, str]
    key_pattern: re.Pattern[str] = field(repr=False)
    model: str
    price: Price | None
    max_output_tokens: int
    statements: Mapping[str, str] = field(repr=False)
    tables: frozenset[str]
    system: str = field(repr=False)
    question: str = field(repr=False)
    version: str

    @property
    def details(self) -> tuple[str, ...]:
        """The sections with several rows per key, such as `credits`. They take `:keys`."""
        return tuple(name for name in self.statements if name not in (*FINDING, EVERY, "facts"))

    def is_key(self, text: str) -> bool:
        """Whether a text is a key rather than a name."""
        return self.key_pattern.fullmatch(text) is not None

    def gather_facts(
        self, facts: Sequence[Mapping[str, Any]], details: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> dict[str, Facts]:
        """Group rows into facts by key: a row of `facts` each, with the rows of every other section as a list in it."""
        records: dict[str, dict[str, Any]] = {str(row[self.key]): dict(row) for row in facts}
        for section, rows in details.items():
            for record in records.values():
                record[section] = []
            for row in rows:
                kept = records.get(str(row[self.key]), {}).get(section, [])
                if len(kept) < MOST_DETAILS:
                    kept.append({name: value for name, value in row.items() if name != self.key})
        return {key: Facts(key, fit_record(record)) for key, record in records.items()}

    def build_request(self, facts: Facts, model: str) -> ModelRequest:
        """Build the complete request to a model."""
        user = f"{fence_record(facts.record)}\n\n{self.question}"
        return ModelRequest(model, self.system, user, self.max_output_tokens)


@cache
def functions() -> Mapping[str, AiFunction]:
    """All AI functions by name. Raises ValueError for a file that is not one, which is a defect of the file."""
    files = {name: prompts.read(name) for name in prompts.names()}
    return {name: _parse_function(name, file) for name, file in files.items() if file.meta.get("kind") == KIND}


def fit_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Cut a record to the caps: long texts first, then half of the largest value until it fits."""
    kept = {name: _shorten_value(value) for name, value in record.items()}
    while len(_to_json(kept).encode()) > MOST_FACTS_BYTES:
        largest = max(kept, key=lambda name: len(_to_json(kept[name])))
        value = kept[largest]
        if value is None:
            del kept[largest]
        else:
            kept[largest] = value[: len(value) // 2] if isinstance(value, str | list) and len(value) > 1 else None
    return kept


def fence_record(record: Mapping[str, Any]) -> str:
    """Write a record for a prompt: JSON in a fenced block that no value in it can close."""
    return f"```json\n{_to_json(record)}\n```"


def price(input_price: str | float, output_price: str | float) -> Price:
    """The price for US dollars per million tokens, rounded up to whole nano-dollars per token."""
    return Price(*(_to_nanos(dollars) for dollars in (input_price, output_price)))


def _to_nanos(dollars: str | float) -> int:
    return int((Decimal(str(dollars)) * _NANOS_PER_TOKEN).to_integral_value(ROUND_CEILING))


def _to_json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _MARKS.sub(lambda found: f"\\u{ord(found[0]):04x}", text.encode("utf-8", "replace").decode())


def _shorten_value(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case str():
            return value if len(value) <= MOST_VALUE_CHARS else f"{value[:MOST_VALUE_CHARS]}…"
        case list():
            return [_shorten_value(item) for item in value[:MOST_DETAILS]]
        case dict():
            return {str(name): _shorten_value(item) for name, item in value.items()}
    return value


def _parse_function(name: str, file: prompts.Prompt) -> AiFunction:
    meta = file.meta
    _, *parts = _HEADING.split(file.text)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    statements = {title: found[1] for title, text in sections.items() if (found := _STATEMENT.search(text))}
    instruction, _, question = sections.get("template", "").partition("\n:facts\n")
    missing = sorted((_NEEDED - set(meta)) | ({*FINDING, "facts"} - set(statements)))
    if missing or not question.strip():
        raise ValueError(f"prompts/{name}.md lacks {', '.join(missing) or 'a template with a line `:facts`'}.")
    system = f"{instruction.strip()}\n\n{prompts.read('facts_are_data').text}"
    shown = json.dumps([system, question.strip(), meta["max_output_tokens"]])
    priced = "input_price" in meta and "output_price" in meta
    return AiFunction(
        name=name,
        description=meta["description"],
        key=meta["key"],
        by_name=meta["name"],
        arguments={meta["name"]: meta["name_is"], meta["key"]: meta["key_is"]},
        key_pattern=re.compile(meta["key_pattern"], re.ASCII),
        model=meta["model"],
        price=price(meta["input_price"], meta["output_price"]) if priced else None,
        max_output_tokens=int(meta["max_output_tokens"]),
        statements=statements,
        tables=frozenset(name.strip().lower() for name in meta["tables"].split(",")),
        system=system,
        question=question.strip(),
        version=hashlib.sha256(shown.encode()).hexdigest()[:16],
    )
