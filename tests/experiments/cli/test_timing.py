"""Who is measured when, and what is made of it; never how fast anything is."""

import functools

from experiments.cli.timing import (
    Summary,
    Timing,
    Unavailable,
    interleaved,
    measure,
    summarise,
)


def test_competitors_take_turns_and_none_always_follows_the_same():
    calls = []
    measures = {name: (lambda name=name: calls.append(name) or len(calls)) for name in "abc"}
    results, failures = interleaved(measures, rounds=4)
    assert failures == {}
    assert "".join(calls) == "abcbcacababc"
    assert results == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}


def test_no_competitors_make_no_results():
    assert interleaved({}, rounds=3) == ({}, {})


def test_who_fails_takes_no_further_part_and_the_others_go_on():
    calls = []

    def measure(name):
        calls.append(name)
        if name == "b" and calls.count("b") == 2:
            raise Unavailable("worn out")
        return len(calls)

    measures = {name: functools.partial(measure, name) for name in "ab"}
    results, failures = interleaved(measures, rounds=3)
    assert results == {"a": [1, 4, 5]}
    assert {name: str(failure) for name, failure in failures.items()} == {"b": "worn out"}


def test_a_summary_is_median_and_range():
    assert summarise([5.0, 1.0, 2.0, 40.0]) == Summary(3.5, 1.0, 40.0, 4)


def timed(lengths, seconds, least=1):
    """Calls that take so long each, by a clock of their own."""
    now, calls = 0.0, 0

    def function():
        nonlocal now, calls
        now += lengths[calls]
        calls += 1

    found = measure(function, seconds, least, clock=lambda: now)
    return found, calls


def test_without_time_to_spend_one_call_is_made():
    assert timed([5.0, 1.0], seconds=0.0) == (Timing(5.0, 1), 1)


def test_a_call_that_takes_longer_than_there_is_time_counts():
    assert timed([5.0, 1.0], seconds=3.0) == (Timing(5.0, 1), 1)


def test_the_first_call_of_several_does_not_count():
    assert timed([5.0, 1.0, 4.0, 2.0, 9.0], seconds=11.0) == (Timing(2.0, 3), 4)


def test_the_least_number_of_calls_is_made_unless_it_takes_ten_times_as_long():
    assert timed([5.0] * 9, seconds=3.0, least=4) == (Timing(5.0, 3), 4)
    assert timed([5.0] * 9, seconds=1.0, least=4) == (Timing(5.0, 1), 2)
