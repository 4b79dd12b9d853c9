"""The settings of a sweep: values that are listed, evenly spaced, or drawn."""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, get_origin

import numpy as np

from digits_jax.config import Config

MOST = 1_000_000  # runs of a sweep
FIELDS = {
    field.name: field.type
    for field in dataclasses.fields(Config)
    if field.name not in ("seed", "shards")
}
# By the name of a range: whether its values are evenly spaced, and whether as logarithms.
RANGES = {
    "grid": (True, False),
    "loggrid": (True, True),
    "random": (False, False),
    "lograndom": (False, True),
    "uniform": (False, False),  # as in earlier versions
    "log": (False, True),
}


class Varied(NamedTuple):
    """The settings of a sweep, each with its value of every varied field.

    `tuned` are the fields of which each setting of the others is to have its own best value.
    """

    names: tuple[str, ...]
    settings: list[dict[str, Any]]
    tuned: tuple[str, ...]


def parse(texts: Sequence[str], seed: int, tune: Sequence[str] = ()) -> Varied:
    """The settings that the flags `--vary` and `--tune` ask for.

    Args:
        texts: as in `learning_rate=0.3,1,3`, `learning_rate=lograndom:0.01:10:20`, or, of one value
            of another field, `learning_rate@adam=loggrid:1e-4:1e-1:7`.
        seed: of the values that are drawn.
        tune: fields that are tuned; those that a range gives the values of are, too.

    Raises:
        ValueError: in one line, where a field is unknown, or a value not of its type.
    """
    general: dict[str, list[Any]] = {}
    special: dict[tuple[str, str], list[Any]] = {}
    tuned = list(tune)
    for number, text in enumerate(texts):
        left, _, values = text.partition("=")
        name, at, condition = left.partition("@")
        if name not in FIELDS or not values:
            known = ", ".join(sorted(FIELDS))
            raise ValueError(f"vary={text}: expected FIELD=VALUES with a field among {known}")
        if (name, condition) in special or (not at and name in general):
            raise ValueError(f"vary={text}: {left} is varied twice")
        try:
            if values.partition(":")[0] in RANGES:
                found = _range(values, np.random.default_rng([seed, number]), FIELDS[name])
                tuned.append(name)
            else:
                apart = ";" if ";" in values else ","
                found = [_value(value, FIELDS[name], apart) for value in values.split(apart)]
        except ValueError as error:
            raise ValueError(f"vary={text}: {error}") from None
        if len(set(found)) < len(found):
            raise ValueError(f"vary={text}: a value is listed twice")
        if at:
            special[name, condition] = found
        else:
            general[name] = found
    settings = _combined(general, special)
    names = tuple(dict.fromkeys([*general, *(name for name, _ in special)]))
    for name in tune:
        if name not in names:
            raise ValueError(f"tune={name}: it is not varied: add its values, as in --vary={name}=")
    return Varied(names, settings, tuple(name for name in names if name in tuned))


def _combined(
    general: dict[str, list[Any]], special: dict[tuple[str, str], list[Any]]
) -> list[dict[str, Any]]:
    """Every combination; values for one value of another field hold in place of the general."""
    known = {text(value) for values in general.values() for value in values}
    for name, condition in special:
        if condition not in known:
            raise ValueError(
                f"vary={name}@{condition}: no varied field has the value {condition}: add it, as "
                f"in --vary=optimizer={condition},..."
            )
    settings: list[dict[str, Any]] = []
    for values in itertools.product(*general.values()):
        setting = dict(zip(general, values, strict=True))
        here = {text(value) for value in values}
        own = {name: found for (name, condition), found in special.items() if condition in here}
        for further in itertools.product(*own.values()):
            each = setting | dict(zip(own, further, strict=True))
            settings.append(each)
    # What a special range replaced is there once for each value that it replaced.
    return list({tuple(setting.items()): setting for setting in settings}.values())


def text(value: Any) -> str:
    """A value as results.csv holds it; several layers are joined as `parse` reads them."""
    if not isinstance(value, tuple):
        return str(value)
    words = list(map(str, value))
    return ("x" if all(word.isdigit() for word in words) else "+").join(words)


def _value(text: str, kind: Any, apart: str) -> Any:
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is not {'an integer' if kind is int else 'a number'}"
            ) from None
    if get_origin(kind) is not tuple:
        return text
    if apart == ";":  # as --hidden takes it
        return tuple(filter(None, text.split(",")))
    # An x also stands in names of layers.
    return tuple(text.split("x") if re.fullmatch(r"\d+(x\d+)*", text) else text.split("+"))


def _range(text: str, rng: np.random.Generator, kind: Any) -> list[Any]:
    """The values of a range; random ones are scrambled Sobol points, without gaps (Owen, 1998)."""
    distribution, *numbers = text.split(":")
    if kind not in (int, float) or len(numbers) != 3:
        raise ValueError(f"expected {distribution}:LOW:HIGH:N, for a field that is a number")
    low, high, count = float(numbers[0]), float(numbers[1]), int(numbers[2])
    even, logarithmic = RANGES[distribution]
    if not (0 < count <= MOST and low < high < np.inf and (low > 0 or not logarithmic)):
        raise ValueError(f"expected LOW below HIGH, N from 1 to {MOST}, and LOW above 0 for log")
    if logarithmic:
        low, high = np.log([low, high])
    if even:
        shares = np.linspace(0, 1, count)
    else:
        from scipy.stats import qmc

        points = qmc.Sobol(1, rng=rng).random_base2(math.ceil(math.log2(count)))
        shares = points[:count, 0]
    found = low + (high - low) * shares
    found = np.exp(found) if logarithmic else found
    # Four digits: enough to be apart, few enough to be read. Whole numbers may coincide.
    return list(dict.fromkeys(kind(float(f"{value:.4g}")) for value in sorted(found)))
