"""Ranges of configuration values, written where the value is declared: ``steps: PositiveInt = 1000``.

A range is part of a field's type, so ``--help`` shows it, the type checker ignores it, and one function checks it for
every configuration: ``configuration.parse`` for what is read, ``check_ranges`` for what a program builds.
"""

import dataclasses
import itertools
import math
import types
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from synthdata.errors import MisuseError
from synthdata.paths import PathRule, user_path


@dataclass(frozen=True, repr=False)
class Range:
    """Finite numbers from ``low`` to ``high``, without the ends that are open; None for no bound."""

    low: float
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = self.high is None or (value < self.high if self.open_high else value <= self.high)
        return above and below and math.isfinite(value)

    def __repr__(self) -> str:
        low = f"{'more than' if self.open_low else 'at least'} {self.low}"
        if self.high is None:
            return low
        return f"{low} and {'less than' if self.open_high else 'at most'} {self.high}"


@dataclass(frozen=True, repr=False)
class Increasing:
    """Sequences whose values do not fall, and with ``strictly`` rise."""

    strictly: bool = False

    def __contains__(self, values: Any) -> bool:
        pairs = itertools.pairwise(values)
        return all(first < second or (first == second and not self.strictly) for first, second in pairs)

    def __repr__(self) -> str:
        return "increasing" if self.strictly else "in increasing order"


PositiveInt = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, open_low=True)]
NonNegativeFloat = Annotated[float, Range(0)]
UnitInterval = Annotated[float, Range(0, 1)]
"""A probability, a quantile, or a share that may be the whole."""
PartialShare = Annotated[float, Range(0, 1, open_high=True)]
"""A share that leaves something for the rest."""
Cosine = Annotated[float, Range(-1, 1)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
"""What every library's random generator takes."""


def check_ranges(config: Any, prefix: str = "", config_class: Any = None) -> None:
    """Check every value of a configuration, nested ones included, against the range in its field's type.

    Args:
        config: a dataclass, or an object with the attributes of one.
        prefix: of the names in messages, such as ``data.``.
        config_class: the dataclass that declares the fields; that of ``config`` if not given.

    Raises:
        MisuseError: naming the first value that is out of its range, and the range.
    """
    config_class = config_class or type(config)
    hints = get_type_hints(config_class, include_extras=True)
    for field in dataclasses.fields(config_class):
        _check(f"{prefix}{field.name}", hints[field.name], getattr(config, field.name))


def _check(name: str, hint: Any, value: Any) -> None:
    if value is None:
        if hint is not Any and type(None) not in get_args(hint):
            raise MisuseError(f"{name} is null: give it a value, or leave it out")
        return
    if dataclasses.is_dataclass(hint):
        check_ranges(value, f"{name}.", hint)
    elif get_origin(hint) is Annotated:
        inner, *ranges = get_args(hint)
        _check(name, inner, value)
        for allowed in ranges:
            if isinstance(allowed, PathRule):
                user_path(value, name)
            if isinstance(allowed, Range | Increasing) and value not in allowed:
                shown = list(value) if isinstance(value, tuple) else value
                infinite = isinstance(value, float) and not math.isfinite(value)
                raise MisuseError(f"{name} is {shown}: it must be {'finite' if infinite else repr(allowed)}")
    elif get_origin(hint) in (Union, types.UnionType):
        for option in get_args(hint):
            if option is not type(None):
                _check(name, option, value)
    elif get_origin(hint) in (list, tuple):
        hints = get_args(hint)
        for position, element in enumerate(value):
            _check(f"{name}[{position}]", hints[min(position, len(hints) - 1)], element)
