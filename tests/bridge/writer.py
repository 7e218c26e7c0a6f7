"""A process that writes until it is killed: `python -m tests.bridge.writer`. Says what is kept, line by line."""

from __future__ import annotations

from bridge.settings import load_settings
from bridge.store import Message, open_store


def main() -> None:
    store = open_store(load_settings())
    conversation = store.start("ann", "Killed in the middle")
    operation, _ = store.begin(conversation, {"question": "Which?"})
    operation = store.save(operation.running({"stage": "planning"}))
    print(conversation.id, operation.id, flush=True)
    number = 0
    while True:
        question, answer = Message("user", f"question {number}"), Message("assistant", f"answer {number}")
        store.append(conversation, [question, answer], after=2 * number)
        print(number, flush=True)
        number += 1


if __name__ == "__main__":
    main()
