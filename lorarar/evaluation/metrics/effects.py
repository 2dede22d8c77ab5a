"""What each hyper-parameter does to each criterion: Shapley values over a table of results.

Exactly, from the means of a full factorial, with numpy alone; or by SHAP on a CatBoost regressor, which takes any table
and needs the extra `effects`.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Method = Literal["exact", "catboost"]
ITERATIONS, RATE = 300, 0.1


@dataclass(frozen=True, eq=False)
class Table:
    """Results of several configurations.

    Attributes:
        factors: names of the hyper-parameters; ``settings``: their values (n, k).
        criteria: for each criterion its values (n,).
    """

    factors: tuple[str, ...]
    settings: Array
    criteria: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Effect:
    """What the hyper-parameters do to one criterion.

    Attributes:
        mean: of the criterion over the table.
        importance: for each factor the mean of its Shapley values' sizes, in the criterion's unit.
        levels: for each factor and each of its values the mean Shapley value there: above 0, it raises the criterion.
    """

    mean: float
    importance: Mapping[str, float]
    levels: Mapping[str, Mapping[float, float]]


def read_table(path: Path, factors: Sequence[str], criteria: Sequence[str] = ()) -> Table:
    """Reads a CSV file with a header.

    Args:
        factors: the columns that are hyper-parameters.
        criteria: the columns that are criteria; none means all others.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing or named twice, no rows, or a cell that is no finite number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a table of results at {path}, found none: check the path")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    outcomes = list(criteria) or [name for name in header if name not in factors]
    if missing := sorted({*factors, *outcomes} - set(header)):
        raise ValueError(f"{path}: expected columns {missing}, found {header}")
    if len(set(header)) < len(header) or not body or not factors or not outcomes:
        raise ValueError(f"{path}: expected rows of factors and criteria, each column once, found columns {header}")
    columns = {name: _column(path, name, body, header.index(name)) for name in (*factors, *outcomes)}
    settings = np.stack([columns[name] for name in factors], axis=1)
    return Table(tuple(factors), settings, {name: columns[name] for name in outcomes})


def _column(path: Path, name: str, rows: Sequence[Sequence[str]], index: int) -> Array:
    values = []
    for number, row in enumerate(rows, 2):
        try:
            values.append(float(row[index]))
        except (IndexError, ValueError):
            raise ValueError(f"{path}, line {number}: expected a number for {name!r}, found {row}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: expected finite numbers for {name!r}: leave the criterion or the row out")
    return np.array(values)


def measure_effects(table: Table, method: Method = "exact") -> dict[str, Effect]:
    """The effect of every factor on every criterion.

    Raises:
        ValueError: "exact" and the table is no full factorial.
        ModuleNotFoundError: "catboost" without the extra `effects`.
    """
    explain = shapley_values if method == "exact" else catboost_values
    return {
        name: _effect(table, float(outcome.mean()), explain(table.settings, outcome))
        for name, outcome in table.criteria.items()
    }


def _effect(table: Table, mean: float, values: Array) -> Effect:
    importance = {name: float(np.abs(values[:, i]).mean()) for i, name in enumerate(table.factors)}
    levels = {
        name: {
            float(level): float(values[table.settings[:, i] == level, i].mean())
            for level in np.unique(table.settings[:, i])
        }
        for i, name in enumerate(table.factors)
    }
    return Effect(mean, importance, levels)


def shapley_values(settings: Array, outcome: Array) -> Array:
    """Exact Shapley values of each row: how much of its outcome above the mean each of its settings accounts for.

    The worth of a set S of factors, at a row x, is the mean outcome of all rows that agree with x on S. In a full
    factorial this is what SHAP is defined to be for a model that knows every cell's mean: the factors are independent.

    Args:
        settings: (n, k), every combination of the factors' values equally often.
        outcome: (n,).

    Returns:
        (n, k); a row's values add up to the mean outcome of its cell minus the mean of all.

    Raises:
        ValueError: the table is no full factorial.

    Reference: L. S. Shapley, "A value for n-person games" (1953); Lundberg and Lee, arXiv 1705.07874, equation 8.
    """
    check_factorial(settings)
    k = settings.shape[1]
    worth = {some: _worth(settings, outcome, some) for some in _subsets(range(k))}
    found = np.zeros(settings.shape)
    for i in range(k):
        for some in _subsets([j for j in range(k) if j != i]):
            weight = math.factorial(len(some)) * math.factorial(k - len(some) - 1) / math.factorial(k)
            found[:, i] += weight * (worth[tuple(sorted((*some, i)))] - worth[some])
    return found


def _subsets(members: Sequence[int]) -> list[tuple[int, ...]]:
    return [some for size in range(len(members) + 1) for some in itertools.combinations(members, size)]


def _worth(settings: Array, outcome: Array, factors: tuple[int, ...]) -> Array:
    """For each row the mean outcome of the rows that agree with it on some factors, (n,)."""
    same = (settings[:, None, list(factors)] == settings[None, :, list(factors)]).all(2)
    worth: Array = same @ outcome / same.sum(1)
    return worth


def check_factorial(settings: Array) -> None:
    """Raise ValueError unless every combination of the factors' values is there equally often."""
    cells, counts = np.unique(settings, axis=0, return_counts=True)
    wanted = math.prod(len(np.unique(column)) for column in settings.T)
    if len(cells) < wanted or len(set(counts.tolist())) > 1:
        raise ValueError(
            f"expected a full factorial: {wanted} combinations, equally often; found {len(cells)}, between "
            f"{counts.min()} and {counts.max()} times: add the missing configurations, or use catboost"
        )


def catboost_values(settings: Array, outcome: Array, *, seed: int = 0) -> Array:
    """SHAP values of a CatBoost regressor, 300 trees at a rate of 0.1, (n, k).

    Raises:
        ModuleNotFoundError: the extra `effects` is not installed.

    Reference: Prokhorenkova et al., arXiv 1706.09516; Lundberg et al., "From local explanations to global understanding
    with explainable AI for trees" (2020), for the values; Yeh et al., arXiv 2309.14859, for the settings.
    """
    try:
        from catboost import CatBoostRegressor, Pool
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "expected the extra `effects` (CatBoost), found none: pip install 'lorarar[effects]', or use exact"
        ) from error
    if np.ptp(outcome) == 0:  # CatBoost refuses to learn a constant
        return np.zeros(settings.shape)
    pool = Pool(settings, outcome)
    model = CatBoostRegressor(
        iterations=ITERATIONS,
        learning_rate=RATE,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(pool)
    values = np.asarray(model.get_feature_importance(pool, type="ShapValues"), np.float64)
    return values[:, :-1]  # the last column is the mean


def effects_table(effects: Mapping[str, Effect]) -> str:
    """A table: for each criterion each factor's importance, and the effect of its lowest and its highest value."""
    factors = list(next(iter(effects.values())).importance)
    lines = [f"| criterion | mean | {' | '.join(factors)} |", "|---|---|" + "---|" * len(factors)]
    for name, effect in effects.items():
        cells = [_cell(effect.importance[factor], list(effect.levels[factor].values())) for factor in factors]
        lines.append(f"| {name} | {effect.mean:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(importance: float, levels: Sequence[float]) -> str:
    return f"{importance:.3f} ({levels[0]:+.3f} .. {levels[-1]:+.3f})"
