"""Which setting is better, by how much, and is it known? Settings are compared seed by seed.

Two runs of one seed begin with the same weights and see the images in the same order: their
difference varies less than either figure, so every statistic here is one of paired differences.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

LEVEL = 0.05  # the share of false "beats" that is accepted
# The sign-flip test goes through all 2^n patterns of signs; beyond 13 seeds, this many at random.
PATTERNS = 2**13


class Difference(NamedTuple):
    """How `n` paired figures differ, a - b, in the unit of the figures.

    `low` and `high` are the ends of Student's 95 % interval of the mean (Student, 1908), `t_p` is
    the p value of his test. `p` is the two-sided p value of the exact sign-flip test (Fisher, The
    design of experiments, 1935, section 21), which assumes nothing but that a - b and b - a are
    equally likely where the two are equal; n seeds can show no less than 2 / 2^n.
    """

    mean: Any
    low: Any
    high: Any
    deviation: Any
    wins: Any
    t_p: Any
    p: Any
    n: int


class Comparison(NamedTuple):
    """The best setting against another one.

    `corrected_p` is Holm's correction of `t_p`; `beats` says whether the difference is known.
    """

    other: str
    difference: Difference
    corrected_p: float
    beats: bool


class Verdict(NamedTuple):
    """What runs say about settings: a sentence, the best by mean, and it against each other one.

    The nearest comes first. `known` says whether the best beats all others.
    """

    sentence: str
    best: str | None
    known: bool
    comparisons: tuple[Comparison, ...] = ()


class McNemar(NamedTuple):
    """Images that only one of two models classifies right, and the p value of their difference."""

    only_a: int
    only_b: int
    p: float


def describe(values: Sequence[float]) -> dict[str, float]:
    """Mean, sample standard deviation, extremes, and half the 95 % interval of the mean.

    The interval is Student's (1908), with n - 1 degrees of freedom; NaN for a single value.
    """
    from scipy.stats import t

    count = len(values)
    deviation = float(np.std(values, ddof=1)) if count > 1 else math.nan
    return {
        "mean": float(np.mean(values)),
        "std": deviation,
        "min": float(np.min(values)),
        "max": float(np.max(values)),
        "ci95": float(t.ppf(0.975, max(count - 1, 1))) * deviation / math.sqrt(count),
    }


def difference(a: Float[Any, "*#many n"], b: Float[Any, "*#many n"]) -> Difference:
    """How figures of the same n >= 2 seeds differ, for many pairs of settings at once.

    Raises:
        ValueError: where there are fewer than two pairs.
    """
    from scipy.stats import permutation_test, t

    d = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    if (n := d.shape[-1]) < 2:
        raise ValueError(f"{n} pairs: at least two are needed to compare settings")
    mean, deviation = d.mean(-1), d.std(-1, ddof=1)
    error = deviation / math.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(mean == 0, 0.0, np.abs(mean) / error)
    half = t.ppf(1 - LEVEL / 2, n - 1) * error
    flipped = permutation_test(
        (d,),
        lambda x, axis: x.mean(axis),
        permutation_type="samples",
        vectorized=True,
        axis=-1,
        n_resamples=PATTERNS,
        batch=4096,
        rng=0,
    )
    p, wins = np.minimum(flipped.pvalue, 1.0), (d > 0).sum(-1)
    t_p = 2 * t.sf(ratio, n - 1)
    return Difference(mean, mean - half, mean + half, deviation, wins, t_p, p, n)


def holm(p: Sequence[float], family: int | None = None) -> Float[np.ndarray, " tests"]:
    """P values corrected for being several (Holm, A simple sequentially rejective test, 1979).

    Args:
        p: of the tests that are looked at.
        family: how many tests they were chosen from; by default as many as there are.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    factors = (len(values) if family is None else family) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * values[order]))
    return corrected


def known(found: Difference, corrected_p: Any) -> Any:
    """Whether a difference is known: by Student's test, and by the signs as far as n can show.

    Few seeds cannot bring the sign-flip test below 5 %: then all of them have to agree.
    """
    least = 2.0 ** (1 - found.n)
    return (corrected_p <= LEVEL) & (found.p <= max(LEVEL, least * 1.0001))


def seeds_needed(
    deviation: float, effect: float, power: float = 0.8, level: float = LEVEL
) -> int | None:
    """The seeds with which Student's paired test finds a difference of `effect`, 4 times in 5.

    By its power from the noncentral t distribution (Cohen, Statistical power analysis, 1988,
    section 2.3). `None`: more than 100,000.

    Args:
        deviation: the standard deviation of paired differences.
        effect: the true mean difference, in the same unit.
        power: how often it is to be found.
        level: how often a difference is to be seen where there is none.
    """
    from scipy.stats import nct, t

    counts = np.unique(np.geomspace(2, 100_000, 600).astype(int))
    if deviation == 0 or effect == 0:
        return 2 if effect else None
    shift = abs(effect) / deviation * np.sqrt(counts)
    # Past 30 the normal distribution is the noncentral t's to three digits, and does not overflow.
    powers = np.where(
        shift > 30, 1.0, nct.sf(t.ppf(1 - level / 2, counts - 1), counts - 1, np.minimum(shift, 30))
    )
    enough = counts[powers >= power]
    return int(enough[0]) if len(enough) else None


def mcnemar(a: Bool[np.ndarray, " images"], b: Bool[np.ndarray, " images"]) -> McNemar:
    """Compares two models on the same images, by which of them each classifies right.

    The exact binomial test of the images on which they disagree (McNemar, Note on the sampling
    error of the difference between correlated proportions, 1947). It says whether these two models
    differ on such images, not whether their settings do: other seeds give other models.
    """
    from scipy.stats import binomtest

    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def verdict(
    *settings: Mapping[str, Any],
    names: Sequence[str] | None = None,
    column: str = "test_accuracy",
) -> Verdict:
    """Says which of several settings is best, by how much, and whether that is known.

    The best is the one of the highest mean. As it is chosen by the same runs, a difference from it
    is corrected (Holm) for all pairs of settings that it could have been: corrected only for the
    comparisons made, 20 equal settings would have a winner too often.

    Args:
        settings: columns by name, `seed` and `column` among them, as `load_runs` gives them.
        names: what the settings are called in the sentence; by default a, b, ...
        column: the figure that is compared, a share such as an accuracy: more is better.

    Raises:
        ValueError: where a setting holds a seed twice, or two have fewer than two seeds in common.
    """
    names = list(names or (chr(ord("a") + index) for index in range(len(settings))))
    scores = [_by_seed(*pair, column) for pair in zip(names, settings, strict=True)]
    if len(scores) < 2:
        there = "there is one setting to compare" if scores else "there is no setting to compare"
        return Verdict(f"nothing is compared: {there}", None, known=False)
    means = [float(np.mean(list(by_seed.values()))) for by_seed in scores]
    best = int(np.argmax(means))
    if min(len(by_seed) for by_seed in scores) < 2:
        told = f"{names[best]} is ahead with {_points(means[best])} %"
        told += ", and with one seed nothing is known: --seeds=5 would tell more"
        return Verdict(told, names[best], known=False)
    others = [index for index in range(len(scores)) if index != best]
    found = [_paired(names[best], scores[best], names[i], scores[i]) for i in others]
    pairs = len(scores) * (len(scores) - 1) // 2
    corrected = holm([float(each.t_p) for each in found], pairs)
    compared = [
        Comparison(names[index], each, float(p), bool(known(each, p)))
        for index, each, p in zip(others, found, corrected, strict=True)
    ]
    compared.sort(key=lambda one: (one.beats, float(one.difference.mean)))
    every = all(one.beats for one in compared)
    return Verdict(_sentence(names[best], compared, pairs), names[best], every, tuple(compared))


def _by_seed(name: str, columns: Mapping[str, Any], column: str) -> dict[int, float]:
    seeds = [int(seed) for seed in columns["seed"]]
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise ValueError(f"{name}: seed {twice} is there twice: each run counts once")
    return dict(zip(seeds, map(float, columns[column]), strict=True))


def _paired(a: str, of_a: Mapping[int, float], b: str, of_b: Mapping[int, float]) -> Difference:
    common = sorted(of_a.keys() & of_b.keys())
    if len(common) < 2:
        raise ValueError(
            f"{a} and {b} have {len(common)} seeds in common: runs are compared seed by seed, so "
            "train both with the same two seeds or more"
        )
    return difference(*(np.array([of[seed] for seed in common]) for of in (of_a, of_b)))


def _sentence(best: str, compared: Sequence[Comparison], pairs: int) -> str:
    """What is known about the best setting, and what is not; `compared` as in `Verdict`."""
    nearest, beaten = compared[0], [one for one in compared if one.beats]
    told = figures(nearest.difference)
    if pairs > 1:
        told += f" and {nearest.corrected_p:.2g} after correction for {pairs} pairs"
    if nearest.beats:
        rest = f"beats {nearest.other}" if pairs == 1 else f"beats all {len(compared)} others: "
        return f"{best} {rest}{'' if pairs == 1 else nearest.other} by {told}"
    unknown = [one.other for one in compared if not one.beats]
    mean, deviation = abs(float(nearest.difference.mean)), float(nearest.difference.deviation)
    if mean == deviation == 0:
        told = f"nothing is known: {best} and {nearest.other} gave the same figures"
    else:
        told = f"nothing is known about {best} and {nearest.other}: {best} is ahead by {told}"
        if needed := seeds_needed(deviation, mean, level=LEVEL / pairs):
            told += (
                f"; about {max(needed, nearest.difference.n + 1):,} seeds in all would settle it"
            )
    if unknown[1:]:
        told += f"; nor is it known whether {best} beats {_listed(unknown[1:])}"
    if beaten:
        told += f"; {best} beats {_listed([one.other for one in beaten])}"
    return told


def figures(found: Difference) -> str:
    """A difference of shares as a person reads it, in points of a per cent."""
    least = 2.0 ** (1 - found.n)
    remark = f" (the least that {found.n} seeds can show)" if found.p <= least * 1.0001 else ""
    low, high = _points(found.low), _points(found.high)
    return (
        f"{_points(found.mean)} points [{low}, {high}], {int(found.wins)} of {found.n} seeds, "
        f"p = {float(found.p):.2g}{remark}"
    )


def _points(share: Any) -> str:
    return f"{100 * float(share):.2f}"


def _listed(names: Iterable[str], most: int = 3) -> str:
    named = list(names)
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more
