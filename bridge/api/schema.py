"""Request and response models. They define the OpenAPI document, whose texts are the docstrings below."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from lakehouse.escaping import repair_text

MAX_QUESTION_CHARS = 4_000
MAX_SQL_CHARS = 32_768
MAX_TITLE_CHARS = 120

RequestKind = Literal["question", "sql"]
OperationState = Literal["pending", "running", "done", "failed", "interrupted"]
REPAIRED = BeforeValidator(lambda text: repair_text(text) if isinstance(text, str) else text)
"""For text of a client: one that cuts it within an emoji sends half of a surrogate pair, and nothing stores that."""
Seconds = Annotated[float, Field(description="seconds since 1970")]


class Problem(BaseModel):
    """An error (RFC 9457). `detail` says what failed, why, and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Visitor(BaseModel):
    """A new visitor. Whoever has the token is that visitor, so keep it as a password."""

    token: str


class Example(BaseModel):
    """Something to begin with."""

    kind: RequestKind
    text: str


class About(BaseModel):
    """What this program is. Where `model` is null, only SQL is answered."""

    name: str
    version: str
    model: str | None
    keep_days: float
    question_chars: int
    examples: list[Example]


class NewConversation(BaseModel):
    """A conversation to begin."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TITLE_CHARS), REPAIRED] = ""


class Conversation(BaseModel):
    """A conversation without what was said in it."""

    id: str
    title: str
    created: Seconds
    expires: Seconds


class Conversations(BaseModel):
    """The visitor's, newest first."""

    conversations: list[Conversation]


class Ask(BaseModel):
    """A question in plain language, or a statement for which no model is asked."""

    model_config = ConfigDict(extra="forbid")

    kind: RequestKind
    text: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_SQL_CHARS), REPAIRED]

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if self.kind == "question" and len(self.text) > MAX_QUESTION_CHARS:
            raise ValueError(f"a question may have {MAX_QUESTION_CHARS:,} characters, and this has {len(self.text):,}")
        return self


class ColumnView(BaseModel):
    """A column of a result; `type` is Spark's."""

    name: str
    type: str


class TableView(BaseModel):
    """The rows of a statement. `truncated` says that there are more."""

    columns: list[ColumnView]
    rows: list[list[Any]]
    truncated: bool
    warnings: list[str]
    engine: str
    query_id: str


class ToolCallView(BaseModel):
    """A tool call. `text` is the reason where it failed; `table` is null where it has none or a huge one."""

    tool: str
    reasoning: str | None
    sql: str | None
    state: Literal["running", "done", "failed"]
    text: str | None
    stage: str | None
    rows: int | None
    seconds: float | None
    model_usd: Annotated[float, Field(description="of the model's call that asked for it; of several, at the first")]
    ai_usd: float
    table: TableView | None


class StageView(BaseModel):
    """How far an answer is: `text` is what the model has written of it."""

    doing: str
    text: str
    steps: list[ToolCallView]


class Result(BaseModel):
    """How a request ended. Costs are in US dollars: the model that planned, and AI functions in statements.

    Of an answered question, `basis` says whether it rests on rows; `unfounded` are its numbers that no result has, as
    written; `shown` is the number of the step whose rows it is about.
    """

    outcome: Literal["answered", "declined", "failed", "stopped", "cancelled", "refused"]
    answer: str
    steps: list[ToolCallView]
    seconds: float
    model_usd: float
    ai_usd: float
    tokens_read: int
    tokens_written: int
    basis: Literal["rows", "failed", "none"] | None = None
    unfounded: list[str] = []
    shown: int | None = None


class RequestView(BaseModel):
    """What an operation answers."""

    kind: RequestKind
    text: str


class Operation(BaseModel):
    """A request being answered. `result` is null while it is pending or running, and where it was interrupted."""

    id: str
    conversation: str
    state: OperationState
    created: Seconds
    request: RequestView
    stage: StageView
    result: Result | None


class Message(BaseModel):
    """What was said. A user's has the `operation` that answers it, an assistant's the `result`: how it was found."""

    role: Literal["user", "assistant"]
    text: str
    kind: RequestKind
    at: Seconds
    operation: str | None
    result: Result | None


class Whole(Conversation):
    """A conversation with all that was said, and the operation of its last question where that has no answer yet."""

    messages: list[Message]
    operation: Operation | None
