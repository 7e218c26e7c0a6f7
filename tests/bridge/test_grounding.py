"""Which numbers of an answer are marked, and which result it is shown with."""

from __future__ import annotations

import time

import pytest

from imdb_lakehouse.bridge.grounding import choose_result, find_unfounded_numbers

ROWS = "titleType:string\tfilms:bigint\tmean:double\nmovie\t1120\t6.3461\nshort\t98765\t0.0934\n"


@pytest.mark.parametrize(
    "answer",
    [
        "There are 1,120 films, 6.35 on average.",
        "Es sind 1.120 Filme, im Mittel 6,3.",
        "Il y a 98 765 courts métrages.",
        "About 99,000 shorts, that is 9.3 % of all (9 percent).",
        "In 1994 and 2020 the top 10 and the first 3 were the same.",
        "1. Night\n2. Glass\n32. Ash",
        "tt0111161 was seen on 2020-11-30 at 12:45.",
        "Some 0.1 million shorts.",
        "You asked for those with 50,000 votes: there are none.",
        "Together they are 99,885.",
        "",
    ],
)
def test_numbers_that_results_have_are_not_marked_however_they_are_written(answer: str) -> None:
    assert find_unfounded_numbers(answer, [ROWS, "SELECT … WHERE numVotes >= 50000"]) == []


@pytest.mark.parametrize(
    ("answer", "marked"),
    [
        ("There are 987,654 films.", ["987,654"]),
        ("It made $1,046,721 at the box office.", ["1,046,721"]),
        ("The mean is 7.8, not 6.35.", ["7.8"]),
        ("That is 45 % of them.", ["45 %"]),
        ("It had 2.3 million votes, and 2.3 million it is.", ["2.3 million"]),
    ],
)
def test_numbers_that_no_result_has_are_marked_once(answer: str, marked: list[str]) -> None:
    assert find_unfounded_numbers(answer, [ROWS]) == marked


def test_an_answer_is_shown_with_the_result_that_it_tells_of() -> None:
    films, count = [["The Godfather", 9.2], ["The Godfather Part II", 9.0]], [[1120]]
    assert choose_result("The Godfather (9.2), then The Godfather Part II.", [films, count]) == 0
    assert choose_result("There are 1120 of them.", [films, count]) == 1
    assert choose_result("Nothing of it.", [films, count]) == 1
    assert choose_result("Nothing.", []) is None


def test_long_texts_take_little_time() -> None:
    began = time.process_time()
    for part in ("1", "1,111", "1 ", "1.", "- 1\n", "1,1"):
        find_unfounded_numbers(part * 20_000, [part * 20_000])
    assert time.process_time() - began < 5
