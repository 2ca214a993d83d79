"""The tables of ways to take images out, from what was measured of each seed."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from synthdata.comparison import Summary, markdown_table

Result = dict[str, Any]
Value = Callable[[Result, str], float | None]

CLOSE_AUC, CLOSE_POINTS = 0.03, 1.0
"""How near to the reference a way is meant to come: in membership AUC, and in points of test accuracy."""


class TakedownResult(TypedDict):
    """The file of one list of one seed."""

    list: str
    seed: int
    images: int
    power: float
    cpu_seconds: dict[str, float]
    steps: dict[str, int]
    runs: dict[str, dict[str, Any]]


def as_markdown(results: Sequence[Result]) -> str:
    """For each list, the run before, the reference, and every method, over the seeds; then what they are from it.

    The reference of a placebo is the run before, since it never saw the images. Differences are taken within a seed.
    """
    header = ("images", "way", "seeds", *_MEASURED, "steps to relearn", "steps", "CPU time of retraining")
    values, differences = [], []
    for name in dict.fromkeys(result["list"] for result in results):
        of_list = [result for result in results if result["list"] == name]
        for way in dict.fromkeys(way for result in of_list for way in result["runs"]):
            of_way = [result for result in of_list if way in result["runs"]]
            reference = way == _reference(of_list[0])
            told = [_images(name, of_way), f"{way} (reference)" if reference else way, str(len(of_way))]
            values.append([*told, *_values(way, of_way)])
            if not reference:
                differences.append([*told, *_differences(way, of_way)])
    power = Summary.of([result["power"] for result in results if result["list"] == results[0]["list"]])
    less = ("images", "way", "seeds", *_MEASURED, f"AUC within {CLOSE_AUC}", "test accuracy within a point")
    return (
        f"{markdown_table(header, values)}\nPower: AUC of members on the runs before, {_shown(power)}.\n\n"
        f"Less the reference, seed by seed:\n\n{markdown_table(less, differences)}"
    )


def _auc(result: Result, way: str) -> float:
    return float(result["runs"][way]["membership"]["auc"]["value"])


def _accuracy(key: str) -> Value:
    return lambda result, way: result["runs"][way]["accuracy"].get(key)


_MEASURED: dict[str, Value] = {
    "membership AUC": _auc,
    "true positives, %": lambda result, way: 100 * result["runs"][way]["membership"]["true_positive_rate"]["value"],
    "told non-members, %": lambda result, way: 100 * result["runs"][way]["membership"]["told_non_members"],
    "linear, test": _accuracy("linear_test"),
    "linear, forgotten": _accuracy("linear_forgotten"),
    "k-NN, test": _accuracy("knn_test"),
    "k-NN, forgotten": _accuracy("knn_forgotten"),
}


def _images(name: str, results: Sequence[Result]) -> str:
    counts = sorted({result["images"] for result in results})
    return f"{name} ({counts[0]})" if len(counts) == 1 else f"{name} ({counts[0]} to {counts[-1]})"


def _values(way: str, results: Sequence[Result]) -> list[str]:
    taken = [result for result in results if way in result["steps"]]
    return [
        *(_over_seeds([value(result, way) for result in results]) for value in _MEASURED.values()),
        _relearned(way, results),
        _over_seeds([result["steps"][way] for result in taken]),
        _over_seeds([_time(result, way) for result in taken]),
    ]


def _differences(way: str, results: Sequence[Result]) -> list[str]:
    def less(value: Value) -> list[float | None]:
        pairs = [(value(result, way), value(result, _reference(result))) for result in results]
        return [None if own is None or goal is None else own - goal for own, goal in pairs]

    def within(value: Value, limit: float) -> str:
        found = [each for each in less(value) if each is not None]
        near = sum(abs(each) <= limit + 1e-9 for each in found)
        return f"{near} of {len(found)}" if found else ""

    return [
        *(_over_seeds(less(value), signed=True) for value in _MEASURED.values()),
        within(_auc, CLOSE_AUC),
        within(_accuracy("linear_test"), CLOSE_POINTS),
    ]


def _reference(result: Result) -> str:
    return "retrain" if "retrain" in result["runs"] else "before"


def _time(result: Result, way: str) -> float:
    return float(result["cpu_seconds"][way] / result["cpu_seconds"][_reference(result)])


def _relearned(way: str, results: Sequence[Result]) -> str:
    steps = [result["runs"][way].get("relearn_steps") for result in results]
    reached = [step for step in steps if step is not None]
    if not reached:
        return "never" if "relearn_steps" in results[0]["runs"][way] else ""
    never = f", {len(steps) - len(reached)} never" if len(reached) < len(steps) else ""
    return f"{_shown(Summary.of(reached))}{never}"


def _over_seeds(values: Sequence[float | None], signed: bool = False) -> str:
    found = [value for value in values if value is not None]
    return _shown(Summary.of(found), "+" if signed else "") if found and len(found) == len(values) else ""


def _shown(summary: Summary, sign: str = "") -> str:
    digits = 3 if max(map(abs, summary.values)) < 2 else 1
    spread = f" ± {summary.std:.{digits}f}" if len(summary.values) > 1 else ""
    return f"{summary.mean:{sign}.{digits}f}{spread}"
