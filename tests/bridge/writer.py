"""A process that writes until it is killed: `python -m tests.bridge.writer`. Says what is kept, line by line."""

from __future__ import annotations

from imdb_lakehouse.bridge.settings import load_settings
from imdb_lakehouse.bridge.store import StoredMessage, open_store


def main() -> None:
    store = open_store(load_settings())
    conversation = store.create_conversation("ann", "Killed in the middle")
    operation, _ = store.create_operation(conversation, {"question": "Which?"})
    operation = store.save_operation(operation.as_running({"stage": "planning"}))
    print(conversation.id, operation.id, flush=True)
    number = 0
    while True:
        question, answer = StoredMessage("user", f"question {number}"), StoredMessage("assistant", f"answer {number}")
        store.append_messages(conversation, [question, answer], after=2 * number)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main()
