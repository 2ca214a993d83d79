from dataclasses import dataclass, field
from typing import Annotated

import pytest

from synthdata.configuration import parse
from synthdata.errors import MisuseError
from synthdata.ranges import (
    Cosine,
    Increasing,
    NonNegativeFloat,
    PartialShare,
    PositiveFloat,
    PositiveInt,
    Range,
    Seed,
    UnitInterval,
    check_ranges,
)


@dataclass
class Inner:
    rate: PositiveFloat = 0.1
    bounds: Annotated[tuple[UnitInterval, UnitInterval], Increasing()] = (0.2, 0.8)


@dataclass
class Outer:
    steps: PositiveInt = 10
    rest: PositiveInt | None = None
    weight: NonNegativeFloat = 0.0
    share: PartialShare = 0.5
    target: Cosine = -1.0
    seed: Seed = 0
    budgets: list[PositiveInt] = field(default_factory=lambda: [1])
    strict: Annotated[tuple[float, float], Increasing(strictly=True)] = (0.0, 1.0)
    inner: Inner = field(default_factory=Inner)
    optional: Inner | None = None


OUT_OF_RANGE = [
    ("steps", 0, "steps is 0: it must be at least 1"),
    ("rest", -3, "rest is -3: it must be at least 1"),
    ("weight", -0.1, r"weight is -0\.1: it must be at least 0"),
    ("weight", float("nan"), "weight is nan"),
    ("weight", float("inf"), "weight is inf: it must be finite"),
    ("share", 1.0, r"share is 1\.0: it must be at least 0 and less than 1"),
    ("target", 1.1, r"target is 1\.1: it must be at least -1 and at most 1"),
    ("seed", 2**32, "seed is 4294967296"),
    ("budgets", [5, 0], r"budgets\[1\] is 0: it must be at least 1"),
    ("strict", (0.5, 0.5), r"strict is \[0\.5, 0\.5\]: it must be increasing"),
]


@pytest.mark.parametrize(("name", "value", "words"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_named_with_what_fits(name: str, value: object, words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        check_ranges(Outer(**{name: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (Inner(rate=0), r"inner\.rate is 0: it must be more than 0"),
        (Inner(bounds=(0.5, 1.5)), r"inner\.bounds\[1\] is 1\.5"),
        (Inner(bounds=(0.5, 0.4)), r"inner\.bounds is \[0\.5, 0\.4\]: it must be in increasing order"),
    ],
)
def test_values_of_nested_configurations_are_named_in_full(inner: Inner, words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        check_ranges(Outer(inner=inner))
    with pytest.raises(MisuseError, match=words.replace("inner", "optional", 1)):
        check_ranges(Outer(optional=inner))


def test_the_ends_of_closed_ranges_and_missing_values_pass() -> None:
    check_ranges(Outer(steps=1, share=0.0, target=1.0, seed=2**32 - 1, inner=Inner(bounds=(0.0, 0.0))))
    check_ranges(Outer(rest=None, optional=None))


def test_a_prefix_comes_before_every_name() -> None:
    with pytest.raises(MisuseError, match=r"^data\.rate is -1"):
        check_ranges(Inner(rate=-1), "data.")


def test_parsed_values_are_checked_under_their_full_names() -> None:
    with pytest.raises(MisuseError, match=r"^inner\.bounds is \[0\.9, 0\.1\]"):
        parse(Outer, "", ["--inner.bounds=[0.9, 0.1]"])
    with pytest.raises(MisuseError, match=r"^optional\.rate is -1"):
        parse(Outer, "", ["--optional.rate=-1"])
    assert parse(Outer, "", ["--inner.bounds=[0.1, 0.9]"]).inner.bounds == (0.1, 0.9)


def test_help_tells_the_range_of_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Outer, "", ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(type: int, at least 1, default: 10)" in shown
    assert "Annotated" not in shown


def test_open_ends_do_not_belong_to_a_range() -> None:
    allowed = Range(0, 1, open_low=True, open_high=True)
    assert [value in allowed for value in (0, 0.5, 1)] == [False, True, False]
