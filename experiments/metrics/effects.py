"""Effects of hyper-parameters on criteria: Shapley values over a table of results.

python experiments/metrics/effects.py TABLE --factors COLUMN .. [--criteria COLUMN ..] [--method exact|catboost]

TABLE is a CSV file with one configuration per row. The method "exact" needs a full factorial and numpy alone. The
method "catboost" computes SHAP values of a CatBoost regressor; it takes any table and needs the extra `effects`.
"""

from __future__ import annotations

import argparse
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
        factors: Names of the hyper-parameters.
        settings: Values of the hyper-parameters (n, k).
        criteria: For each criterion its values (n,).
    """

    factors: tuple[str, ...]
    settings: Array
    criteria: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Effect:
    """Effect of the hyper-parameters on one criterion.

    Attributes:
        mean: Mean of the criterion over the table.
        importance: For each factor the mean absolute Shapley value, in the unit of the criterion.
        levels: For each factor and each of its values the mean Shapley value; above 0, the value raises the criterion.
    """

    mean: float
    importance: Mapping[str, float]
    levels: Mapping[str, Mapping[float, float]]


def read_table(path: Path, factors: Sequence[str], criteria: Sequence[str] = ()) -> Table:
    """Read a CSV file with a header.

    Args:
        path: The file.
        factors: The columns that are hyper-parameters.
        criteria: The columns that are criteria; none means all other columns.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A column is missing or appears twice, there are no rows, or a cell is not a finite number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected a table of results at {path}, found no file: check the path")
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
        raise ValueError(
            f"{path}: expected finite numbers for {name!r}, found others: leave the criterion or the row out"
        )
    return np.array(values)


def measure_effects(table: Table, method: Method = "exact") -> dict[str, Effect]:
    """Measure the effect of every factor on every criterion.

    Raises:
        ValueError: The method is "exact" and the table is not a full factorial.
        ModuleNotFoundError: The method is "catboost" and the extra `effects` is not installed.
    """
    explain = shapley_values if method == "exact" else catboost_values
    return {
        name: _effect(table, float(outcome.mean()), explain(table.settings, outcome))
        for name, outcome in table.criteria.items()
    }


def _effect(table: Table, mean: float, values: Array) -> Effect:
    importance, levels = {}, {}
    for i, name in enumerate(table.factors):
        importance[name] = float(np.abs(values[:, i]).mean())
        levels[name] = {
            float(level): float(values[table.settings[:, i] == level, i].mean())
            for level in np.unique(table.settings[:, i])
        }
    return Effect(mean, importance, levels)


def shapley_values(settings: Array, outcome: Array) -> Array:
    """Return exact Shapley values: for each row, the share of each setting in its outcome above the mean.

    The worth v(S) of a set S of factors, at a row x, is the mean outcome of all rows that agree with x on S. Then
    phi_i = sum over S without i of |S|! (k - |S| - 1)! / k! (v(S + i) - v(S)). In a full factorial this is the
    definition of SHAP for a model that knows the mean of every cell: the factors are independent.

    Args:
        settings: Values of the factors (n, k); every combination appears equally often.
        outcome: Outcomes (n,).

    Returns:
        Values (n, k); a row adds up to the mean outcome of its cell minus the mean of all outcomes.

    Raises:
        ValueError: The table is not a full factorial.

    Reference: L. S. Shapley, "A value for n-person games" (1953); Lundberg and Lee, arXiv 1705.07874, equation 8.
    """
    check_factorial(settings)
    k = settings.shape[1]
    worth = {subset: _worth(settings, outcome, subset) for subset in _subsets(range(k))}
    values = np.zeros(settings.shape)
    for i in range(k):
        for subset in _subsets([j for j in range(k) if j != i]):
            weight = math.factorial(len(subset)) * math.factorial(k - len(subset) - 1) / math.factorial(k)
            values[:, i] += weight * (worth[tuple(sorted((*subset, i)))] - worth[subset])
    return values


def _subsets(members: Sequence[int]) -> list[tuple[int, ...]]:
    return [subset for size in range(len(members) + 1) for subset in itertools.combinations(members, size)]


def _worth(settings: Array, outcome: Array, factors: tuple[int, ...]) -> Array:
    """Return, for each row, the mean outcome (n,) of the rows that agree with it on some factors."""
    agrees = (settings[:, None, list(factors)] == settings[None, :, list(factors)]).all(2)
    worth: Array = agrees @ outcome / agrees.sum(1)
    return worth


def check_factorial(settings: Array) -> None:
    """Raise ValueError unless every combination of the values of the factors appears equally often."""
    cells, counts = np.unique(settings, axis=0, return_counts=True)
    expected = math.prod(len(np.unique(column)) for column in settings.T)
    if len(cells) < expected or len(set(counts.tolist())) > 1:
        raise ValueError(
            f"expected a full factorial: {expected} combinations, equally often; found {len(cells)}, between "
            f"{counts.min()} and {counts.max()} times: add the missing configurations, or use catboost"
        )


def catboost_values(settings: Array, outcome: Array, *, seed: int = 0) -> Array:
    """Return SHAP values (n, k) of a CatBoost regressor with 300 trees and a learning rate of 0.1.

    Raises:
        ModuleNotFoundError: The extra `effects` is not installed.

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
    """Return a Markdown table: per criterion, the importance of each factor and the effect of its extreme values."""
    factors = list(next(iter(effects.values())).importance)
    lines = [f"| criterion | mean | {' | '.join(factors)} |", "|---|---|" + "---|" * len(factors)]
    for name, effect in effects.items():
        cells = [_cell(effect.importance[factor], list(effect.levels[factor].values())) for factor in factors]
        lines.append(f"| {name} | {effect.mean:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(importance: float, levels: Sequence[float]) -> str:
    return f"{importance:.3f} ({levels[0]:+.3f} .. {levels[-1]:+.3f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of effects; end with a message on a wrong table."""
    parser = argparse.ArgumentParser(description="Measure the effect of hyper-parameters on criteria.")
    parser.add_argument("table", type=Path, help="CSV file, one configuration per row")
    parser.add_argument("--factors", nargs="+", required=True, metavar="COLUMN", help="the hyper-parameters")
    parser.add_argument("--criteria", nargs="+", default=[], metavar="COLUMN", help="default: all other columns")
    parser.add_argument("--method", choices=["exact", "catboost"], default="exact", help="exact needs a full factorial")
    options = parser.parse_args(arguments)
    try:
        table = read_table(options.table, options.factors, options.criteria)
        print(effects_table(measure_effects(table, options.method)))
    except (ValueError, OSError, ModuleNotFoundError) as error:
        raise SystemExit(f"effects: {error}") from error


if __name__ == "__main__":
    main()
