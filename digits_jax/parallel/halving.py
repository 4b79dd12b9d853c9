"""Runs of any settings, some of which are left out before their end: successive halving."""

import dataclasses
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from digits_jax.config import Config
from digits_jax.data.dataset import Splits
from digits_jax.parallel import sweeps
from digits_jax.parallel.sweeps import Outcome


class Trained(NamedTuple):
    """Runs that have ended, by index, their outcomes [runs], and the seconds they took together.

    There may be none: a call of a sweep with halving ends before its runs do.
    """

    runs: list[int]
    outcome: Outcome | None
    seconds: float


def rungs(configs: Sequence[Config], halving: int) -> list[float]:
    """The shares of its epochs after which a setting is judged, the last of them 1.

    From a share of at least one epoch on, each is `halving` times the one before, as long as there
    are settings to leave out (Jamieson and Talwalkar, Non-stochastic best arm identification and
    hyperparameter optimization, 2016).
    """
    if not halving:
        return [1.0]
    settings = len(set(map(setting, configs)))
    most = min(settings, *(config.epochs for config in configs))
    count = int(math.log(most, halving) + 1e-9)
    return [float(halving) ** -cut for cut in range(count, -1, -1)]


def setting(config: Config) -> Config:
    """What runs that differ only in their seed have in common."""
    return dataclasses.replace(config, seed=0)


def epochs_at(config: Config, share: float) -> int:
    """The epochs that a share of a run comes to, at least one."""
    return max(1, round(config.epochs * share))


def accuracy(errors: Any, images: int) -> float:
    """A share classified right as tables hold it, to six digits."""
    return float(f"{1 - int(errors) / images:.6g}")


def survivors(
    configs: Sequence[Config],
    scores: Mapping[int, float],
    ended: Mapping[int, tuple[int, float]],
    share: float,
    halving: int,
) -> set[Config]:
    """The settings that go on after `share` of their epochs, the best by mean score over seeds.

    Args:
        configs: all runs.
        scores: by run, of those that are still trained.
        ended: by run the epochs and the score of the others: such as were left out before, or ran
            to a later epoch before the sweep was interrupted.
        share: of their epochs, that they have trained.
        halving: one in so many settings goes on.
    """
    pool: dict[Config, list[float]] = {}
    for run, config in enumerate(configs):
        here = epochs_at(config, share)
        epochs, score = ended.get(run, (here, scores.get(run, -math.inf)))
        if epochs >= here:
            pool.setdefault(setting(config), []).append(math.inf if epochs > here else score)
    ranked = sorted(pool, key=lambda each: -float(np.mean(pool[each])))
    return set(ranked[: math.ceil(len(ranked) / halving)])


def check(configs: Sequence[Config], halving: int) -> None:
    """Checks that runs can be left out before their end.

    Raises:
        ValueError: with `halving`, where it is less than 2, or runs have patience or no validation
            images.
    """
    if halving and halving < 2:
        raise ValueError(f"halving={halving}: expected 0 for none, or 2 or more, as in --halving=3")
    for config in configs if halving else ():
        if config.patience or not config.validation_size:
            raise ValueError(
                f"halving={halving} leaves out settings by their validation accuracy: it needs "
                "--patience=0 and validation images, as in --validation_size=10000"
            )


def train(
    configs: Sequence[Config],
    load: Callable[[Config], Splits],
    chunk: int | None = None,
    halving: int = 0,
    ended: Mapping[int, tuple[int, float]] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    validation_curves: bool = False,
    gradient_norms: bool = False,
) -> Iterator[Trained]:
    """Trains runs of any settings, in as few programs as they allow.

    With `halving` all settings train for some of their epochs, and the best of them for more, until
    few reach their end. Settings that go on are trained again from their beginning, by the same
    program: no states are kept, a run that reaches its end is the run of a sweep without halving,
    and what is left out depends on the scores of all, not on devices or chunks.

    Args:
        configs: the runs.
        load: gives the data of one.
        chunk, tell, validation_curves, gradient_norms: as in `sweeps.sweep`.
        halving: one in so many settings goes on at each stage; 0: all of them run to their end.
        ended: by run, those that were trained before: their epochs and validation accuracy.

    Raises:
        ValueError: as `check`.
    """
    check(configs, halving)
    options = {"validation_curves": validation_curves, "gradient_norms": gradient_norms}
    ended, spent = dict(ended or {}), dict.fromkeys(range(len(configs)), 0.0)
    for share in rungs(configs, halving):
        scores: dict[int, float] = {}
        outcomes: dict[int, Outcome] = {}
        for indices in sweeps.by_program(configs):
            waiting = [run for run in indices if run not in ended]
            if not waiting:
                continue
            own, splits = [configs[run] for run in waiting], load(configs[waiting[0]])
            until = epochs_at(own[0], share)
            for positions, outcome, seconds in sweeps.sweep(
                own, splits, chunk, until, tell, **options
            ):
                runs = [waiting[position] for position in positions]
                if share == 1:
                    yield Trained(runs, outcome, seconds + sum(spent[run] for run in runs))
                    continue
                for place, run in enumerate(runs):
                    one = operator.itemgetter(slice(place, place + 1))
                    outcomes[run] = jax.tree.map(one, outcome)
                    spent[run] += seconds / len(runs)
                    errors: Any = outcome.validation_errors
                    scores[run] = accuracy(errors[place], len(splits.validation.labels))
                    if not np.isfinite(outcome.train_loss[place]):
                        scores[run] = -math.inf
                yield Trained([], None, seconds)
        kept = survivors(configs, scores, ended, share, halving) if share < 1 else set()
        for run, outcome in outcomes.items():
            if setting(configs[run]) not in kept:
                ended[run] = (epochs_at(configs[run], share), scores[run])
                yield Trained([run], outcome, spent[run])
