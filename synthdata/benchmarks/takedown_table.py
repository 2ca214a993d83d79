"""The table of ways to take images out, from what was measured of each seed."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from synthdata.evaluation.summary import Summary, markdown_table

Result = dict[str, Any]


class TakedownResult(TypedDict):
    """The file of one list of one seed."""

    list: str
    seed: int
    images: int
    power: float
    seconds: dict[str, float]
    steps: dict[str, int]
    runs: dict[str, dict[str, Any]]


_HEADER = (
    "images", "way", "seeds", "membership AUC", "of reference", "told non-members", "linear, test", "linear, forgotten",
    "k-NN, test", "steps to relearn", "steps", "time of retraining",
)  # fmt: skip


def as_markdown(results: Sequence[Result]) -> str:
    """For each list, the run before, the reference, and every method, over the seeds.

    The reference of a placebo is the run before, since it never saw the images.
    """
    parts = []
    for name in dict.fromkeys(result["list"] for result in results):
        of_list = [result for result in results if result["list"] == name]
        ways = dict.fromkeys(way for result in of_list for way in result["runs"])
        parts += [_row(name, way, [result for result in of_list if way in result["runs"]]) for way in ways]
    power = Summary.of([result["power"] for result in results])
    return f"{markdown_table(_HEADER, parts)}\nPower: AUC of members on the runs before, {_shown(power)}.\n"


def _row(name: str, way: str, results: Sequence[Result]) -> list[str]:
    def over_seeds(value: Callable[[Result], float | None]) -> str:
        found = [one for result in results if (one := value(result)) is not None]
        return _shown(Summary.of(found)) if len(found) == len(results) else ""

    def accuracy(key: str) -> Callable[[Result], float | None]:
        return lambda result: result["runs"][way]["accuracy"].get(key)

    return [
        f"{name} ({', '.join(dict.fromkeys(str(result['images']) for result in results))})",
        {"retrain": "retrain (reference)"}.get(way, way),
        str(len(results)),
        over_seeds(lambda result: _auc(result, way)),
        over_seeds(lambda result: abs(_auc(result, way) - _auc(result, _reference(result)))),
        over_seeds(lambda result: 100 * result["runs"][way]["membership"]["told_non_members"]),
        *(over_seeds(accuracy(key)) for key in ("linear_test", "linear_forgotten", "knn_test")),
        _relearned(way, results),
        over_seeds(lambda result: result["steps"].get(way)),
        over_seeds(lambda result: _time(result, way)),
    ]


def _reference(result: Result) -> str:
    return "retrain" if "retrain" in result["runs"] else "before"


def _auc(result: Result, way: str) -> float:
    return result["runs"][way]["membership"]["auc"]["value"]


def _time(result: Result, way: str) -> float | None:
    if way not in result["seconds"]:
        return None
    return result["seconds"][way] / result["seconds"][_reference(result)]


def _relearned(way: str, results: Sequence[Result]) -> str:
    steps = [result["runs"][way].get("relearn_steps") for result in results]
    reached = [step for step in steps if step is not None]
    if not reached:
        return "never" if "relearn_steps" in results[0]["runs"][way] else ""
    never = f", {len(steps) - len(reached)} never" if len(reached) < len(steps) else ""
    return f"{_shown(Summary.of(reached))}{never}"


def _shown(summary: Summary) -> str:
    digits = 3 if abs(summary.mean) < 2 else 1
    spread = f" ± {summary.std:.{digits}f}" if len(summary.values) > 1 else ""
    return f"{summary.mean:.{digits}f}{spread}"
