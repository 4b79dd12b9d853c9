"""The values of what a sweep varies: listed, evenly spaced, or drawn at random."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any, get_origin

import numpy as np

from digits_jax.config import Config

MOST = 1_000_000  # runs of a sweep


def parse(texts: Sequence[str], seed: int) -> dict[str, list[Any]]:
    """The values of each varied field.

    Args:
        texts: as in `learning_rate=0.3,1,3` or `learning_rate=log:0.01:10:20`.
        seed: of the values drawn for `log` (log-uniform) and `uniform`; `loggrid` and `grid` are
            evenly spaced.

    Raises:
        ValueError: in one line, where a field is unknown, or a value not of its type.
    """
    fields = {field.name: field for field in dataclasses.fields(Config)}
    varied: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if name not in fields or name in ("seed", "shards") or not (equals and values):
            known = ", ".join(sorted(set(fields) - {"seed", "shards"}))
            raise ValueError(f"vary={text}: expected FIELD=VALUES with a field among {known}")
        if name in varied:
            raise ValueError(f"vary={text}: {name} is varied twice")
        kind = fields[name].type
        try:
            if values.startswith(("log:", "uniform:", "loggrid:", "grid:")):
                varied[name] = _draw(values, np.random.default_rng([seed, len(varied)]), kind)
            else:
                varied[name] = [_value(value, kind) for value in values.split(",")]
        except ValueError as error:
            raise ValueError(f"vary={text}: {error}") from None
        if len(set(varied[name])) < len(varied[name]):
            raise ValueError(f"vary={text}: a value stands there twice")
    return varied


def text(value: Any) -> str:
    """A value as results.csv holds it; several layers are joined as `parse` reads them."""
    if not isinstance(value, tuple):
        return str(value)
    words = list(map(str, value))
    return ("x" if all(word.isdigit() for word in words) else "+").join(words)


def _value(text: str, kind: Any) -> Any:
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{text!r} is no {'whole ' * (kind is int)}number") from None
    if get_origin(kind) is tuple:
        # An x also stands in names of layers.
        return tuple(text.split("x") if re.fullmatch(r"\d+(x\d+)*", text) else text.split("+"))
    return text


def _draw(text: str, rng: np.random.Generator, kind: Any) -> list[Any]:
    distribution, *numbers = text.split(":")
    if kind not in (int, float) or len(numbers) != 3:
        raise ValueError(f"expected {distribution}:LOW:HIGH:N, for a field that is a number")
    low, high, count = float(numbers[0]), float(numbers[1]), int(numbers[2])
    logarithmic = distribution.startswith("log")
    if not (0 < count <= MOST and low < high < np.inf and (low > 0 or not logarithmic)):
        raise ValueError(f"expected LOW below HIGH, N from 1 to {MOST}, and LOW above 0 for log")
    if logarithmic:
        low, high = np.log([low, high])
    grid = distribution.endswith("grid")
    drawn = np.linspace(low, high, count) if grid else rng.uniform(low, high, count)
    drawn = np.exp(drawn) if logarithmic else drawn
    # Four digits: enough to be apart, few enough to be read. Whole numbers may coincide.
    return list(dict.fromkeys(kind(float(f"{value:.4g}")) for value in sorted(drawn)))
