"""Request and response models. They define the OpenAPI document, whose texts are the docstrings below."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints, model_validator

from lakehouse.escaping import repair_text

MAX_QUESTION_CHARS = 4_000
MAX_SQL_CHARS = 32_768
MAX_TITLE_CHARS = 120
MAX_COMMENT_CHARS = 1_000

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
    share_days: Annotated[float, Field(description="how long a link to a copy can be opened; 0: there are no links")]
    question_chars: int
    examples: list[Example]


class NewConversation(BaseModel):
    """A conversation to begin."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_TITLE_CHARS), REPAIRED] = ""


class ConversationChange(BaseModel):
    """What changes of a conversation; the rest stays as it is."""

    model_config = ConfigDict(extra="forbid")

    title: (
        Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_TITLE_CHARS), REPAIRED]
        | None
    ) = None
    pinned: StrictBool | None = None


class Conversation(BaseModel):
    """A conversation without what was said in it. Its `etag` changes with its title and its place in the list."""

    id: str
    title: str
    created: Seconds
    expires: Seconds
    pinned: bool
    etag: str


class Conversations(BaseModel):
    """Some of the visitor's. `next` goes on behind them, as `after`; null at the end."""

    conversations: list[Conversation]
    next: str | None


class Share(BaseModel):
    """A link to a copy of a conversation."""

    created: Seconds
    expires: Seconds


class NewShare(Share):
    """A link that was just made. Nobody can read it again from here, so keep it; whoever has it can open the copy."""

    token: str
    url: str


class Ask(BaseModel):
    """A question in plain language, or a statement for which no model is asked.

    `again` is an operation of this conversation: its question is asked once more, without the answer that it had.
    """

    model_config = ConfigDict(extra="forbid")

    kind: RequestKind
    text: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"\S", max_length=MAX_SQL_CHARS), REPAIRED]

    again: Annotated[str, StringConstraints(max_length=100), REPAIRED] | None = None

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
    written; `shown` is the number of the step whose rows it is about; `follow_ups` are questions to ask next.
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
    follow_ups: list[str] = []


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


class Feedback(BaseModel):
    """What a visitor thinks of an answer."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["up", "down"]
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_COMMENT_CHARS), REPAIRED] = ""


class Message(BaseModel):
    """What was said, and the operation that answers it; of an assistant's, `result` tells how it was found."""

    role: Literal["user", "assistant"]
    text: str
    kind: RequestKind
    at: Seconds
    operation: str | None
    result: Result | None
    feedback: Feedback | None


class Whole(Conversation):
    """A conversation with all that was said, and the operation of its last question where that has no answer yet."""

    messages: list[Message]
    operation: Operation | None
    share: Share | None


class SharedConversation(Share):
    """A copy of a conversation, as it was when its link was made."""

    title: str
    messages: list[Message]


class LakeTable(BaseModel):
    """A table or view. `purpose` says what for, or why it cannot be read; `rows` is null where nobody counted them."""

    name: str
    kind: str
    purpose: str
    rows: int | None
    key: list[str]


class LakeTables(BaseModel):
    """The tables and views of the lake. `truncated` says that there are more."""

    tables: list[LakeTable]
    truncated: bool


class LakeColumn(BaseModel):
    """A column of a table; `type` is Spark's."""

    name: str
    type: str
    comment: str


class LakeColumns(BaseModel):
    """The columns of a table, in order. `truncated` says that there are more."""

    name: str
    columns: list[LakeColumn]
    truncated: bool


class LakeFunctions(BaseModel):
    """The functions that a statement may call, by class."""

    functions: dict[str, list[str]]
