"""Who is measured when, and what is made of it; never how fast anything is."""

import time

from experiments.benchmarks.timing import Summary, interleaved, summarise, turn


def test_competitors_take_turns_and_none_always_follows_the_same():
    calls = []
    measures = {name: (lambda name=name: calls.append(name) or len(calls)) for name in "abc"}
    results = interleaved(measures, rounds=4)
    assert "".join(calls) == "abcbcacababc"
    assert results == {"a": [1, 6, 8, 10], "b": [2, 4, 9, 11], "c": [3, 5, 7, 12]}


def test_no_competitors_make_no_results():
    assert interleaved({}, rounds=3) == {}


def test_a_summary_is_median_and_range():
    assert summarise([5.0, 1.0, 2.0, 40.0]) == Summary(3.5, 1.0, 40.0, 4)


def test_a_turn_without_time_to_spend_is_one_call():
    calls = []
    sample = turn(lambda: calls.append(time.sleep(0.02)), seconds=0.0)
    assert len(calls) == 1
    # Asleep, a process spends time by the clock, and none of a core's.
    assert sample.seconds >= 0.02
    assert sample.cpu_seconds < sample.seconds


def test_the_first_call_of_a_longer_turn_does_not_count():
    lengths = iter([0.2, 0.01, 0.01, 0.01])
    sample = turn(lambda: time.sleep(next(lengths)), seconds=0.205)
    assert sample.seconds < 0.1
