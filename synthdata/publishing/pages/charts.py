"""Charts as SVG that works without a script, each with the table of its values.

Colours are classes, ``s1`` to ``s6``, which the style sheet gives a colour for light and for dark.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380, 220
"""Of a chart, in units that are CSS pixels on a phone."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 12, 38
_MOST_POINTS = 120
_COLOURS = 6

Point = tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A drawing and what stands behind it.

    Attributes:
        title: what is drawn.
        svg: the drawing.
        header: titles of the table's columns.
        rows: its cells.
        legend: class and name of what is drawn.
        note: what else has to be known to read it.
        column: of the rows that a brush over the chart chooses from; empty for no brush.
        span: the lowest and the highest value that can be brushed.
    """

    title: str
    svg: Markup
    header: list[str]
    rows: list[list[str]]
    legend: list[tuple[str, str]] = field(default_factory=list)
    note: str = ""
    column: str = ""
    span: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` at places from ``start`` to ``end``, possibly by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The place of ``value``."""
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)

    def ticks(self, most: int = 5) -> list[float]:
        """At most about ``most`` round values within the axis."""
        step = _round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(times * step, 10) for times in range(first, last + 1)]


def line_chart(
    title: str,
    series: Mapping[str, Sequence[Point]],
    labels: tuple[str, str],
    *,
    marks: Sequence[tuple[float, str]] = (),
    spread: Mapping[str, Sequence[float]] | None = None,
    log_x: bool = False,
) -> Chart:
    """Curves of one unit; long ones are thinned to means of neighbouring points.

    Args:
        series: points by name, rising in x.
        labels: of the horizontal and of the vertical axis.
        marks: places on the horizontal axis where something begins, with its name.
        spread: by name, half the length of an error bar at each point.
        log_x: whether the horizontal axis is logarithmic; its ticks are then the points.
    """
    thinned = {name: thin(points) for name, points in series.items()}
    every_x, every_y = _values(thinned, spread or {})
    across = _axis(every_x, _LEFT, WIDTH - _RIGHT, log=log_x, padded=log_x)
    up = _axis(every_y, HEIGHT - _BOTTOM, _TOP, padded=True)
    ticks = sorted(set(every_x)) if log_x else across.ticks()
    parts = _axes(across, up, labels, ticks)
    for position, (x, name) in enumerate((x, name) for x, name in marks if across.low < x < across.high):
        place, anchor = across.at(x), "end" if across.at(x) > WIDTH * 0.75 else "start"
        parts.append(tag("line", class_="mark", x1=place, x2=place, y1=_TOP, y2=HEIGHT - _BOTTOM))
        shifted = {"x": place + (3 if anchor == "start" else -3), "y": _TOP + 8 + 13 * (position % 3)}
        parts.append(tag("text", escape(name), class_="mark", text_anchor=anchor, **shifted))
    for position, (name, points) in enumerate(thinned.items()):
        parts += _curve(_colour(position), name, points, across, up, (spread or {}).get(name))
    known = {name: dict(points) for name, points in thinned.items()}
    rows = [
        [number(x), *(number(known[name][x]) if x in known[name] else "" for name in thinned)]
        for x in sorted(set(every_x))
    ]
    shortened = any(len(thinned[name]) < len(points) for name, points in series.items())
    return Chart(
        title,
        _svg(title, parts, "lines"),
        [labels[0], *thinned],
        rows,
        [(_colour(position), name) for position, name in enumerate(thinned)] if len(thinned) > 1 else [],
        "Each point is a mean over neighbouring logged values." if shortened else "",
    )


def histogram(
    title: str,
    label: str,
    edges: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    band: tuple[float | None, float | None] | None = None,
    column: str = "",
) -> Chart:
    """Shares of values per bin: the first of ``counts`` filled, the others as outlines.

    Args:
        counts: by name, in the bins between ``edges``.
        band: lowest and highest value that was kept; None for no such end.
        column: what a brush chooses by; empty for none.
    """
    shares = {name: [100 * count / max(sum(each), 1) for count in each] for name, each in counts.items()}
    across = Axis(edges[0], edges[-1], _LEFT, WIDTH - _RIGHT)
    top = max((share for each in shares.values() for share in each), default=0) or 1
    up = Axis(0, top * 1.05, HEIGHT - _BOTTOM, _TOP)
    parts = _band(band, across) if band else []
    parts += _axes(across, up, (label, "share, %"), across.ticks())
    for position, (name, each) in enumerate(shares.items()):
        if position:
            parts.append(_outline(each, edges, across, up, _colour(position)))
            continue
        for low, high, share, count in zip(edges, edges[1:], each, counts[name], strict=False):
            told = f"{number(low)} to {number(high)}: {count:,} {name} ({share:.1f} %)"
            left, width = across.at(low), across.at(high) - across.at(low)
            box = {"x": left, "width": round(width, 2), "y": up.at(share), "height": round(up.at(0) - up.at(share), 2)}
            parts.append(tag("rect", tag("title", escape(told)), class_=f"bar {_colour(0)}", **box))
    if column:
        brush = {"x": _LEFT, "y": _TOP, "height": HEIGHT - _BOTTOM - _TOP}
        parts.append(tag("rect", class_="brushed", width=0, **brush))
        parts.append(tag("rect", class_="brush", width=WIDTH - _LEFT - _RIGHT, **brush))
    rows = [
        [f"{number(low)} to {number(high)}", *(f"{each[position]:,}" for each in counts.values())]
        for position, (low, high) in enumerate(itertools.pairwise(edges))
    ]
    legend = [(_colour(position), f"{name} ({sum(each):,})") for position, (name, each) in enumerate(counts.items())]
    if band and parts[0]:
        legend.append(("band", "kept"))
    return Chart(
        title,
        _svg(title, parts, "histogram", across),
        [label, *counts],
        rows,
        legend,
        column=column,
        span=(edges[0], edges[-1]),
    )


def parts_of_a_whole(title: str, unit: str, counts: Mapping[str, int]) -> Chart:
    """One bar, divided in proportion to ``counts``."""
    total = max(sum(counts.values()), 1)
    height, place = 40, 0.0
    parts = []
    for position, (name, count) in enumerate(counts.items()):
        width = WIDTH * count / total
        told = f"{name}: {count:,} {unit} ({100 * count / total:.1f} %)"
        box = {"x": round(place, 2), "width": round(width, 2), "y": 0, "height": height}
        parts.append(tag("rect", tag("title", escape(told)), class_=f"part {_colour(position)}", **box))
        place += width
    rows = [[name, f"{count:,}", f"{100 * count / total:.1f} %"] for name, count in counts.items()]
    legend = [
        (_colour(position), f"{name} {100 * count / total:.1f} %")
        for position, (name, count) in enumerate(counts.items())
    ]
    return Chart(title, _svg(title, parts, "whole", height=height), ["", unit, "share"], rows, legend)


@dataclass(frozen=True)
class Dots:
    """One line of a dot chart.

    Attributes:
        name: of the line.
        values: one for each seed, with the seed's name.
        mean: of the values.
        half: half the length of the interval around the mean; None for no interval.
    """

    name: str
    values: list[tuple[str, float]]
    mean: float
    half: float | None


def dot_chart(title: str, label: str, lines: Sequence[Dots], zero: bool = False) -> Chart:
    """Means with their intervals, and each value as a small dot.

    Args:
        label: of the values.
        zero: whether the axis holds 0, which is then marked.
    """
    step, top = 38, 6
    height = top + step * len(lines) + _BOTTOM
    ends = [value for line in lines for _, value in line.values]
    ends += [line.mean + sign * line.half for line in lines if line.half is not None for sign in (-1, 1)]
    across = _axis([*ends, *([0.0] if zero else [])], 14, WIDTH - 14, padded=True)
    parts = _across(across, label, across.ticks(), top, height)
    if zero:
        parts.append(tag("line", class_="zero", x1=across.at(0), x2=across.at(0), y1=top, y2=height - _BOTTOM))
    for position, line in enumerate(lines):
        y = top + step * position + 27
        parts.append(tag("text", escape(_short(line.name, 52)), class_="name", x=0, y=y - 14))
        if line.half is not None:
            ends_at = [across.at(line.mean + sign * line.half) for sign in (-1, 1)]
            parts.append(tag("line", class_="interval", x1=ends_at[0], x2=ends_at[1], y1=y, y2=y))
        for seed, value in line.values:
            told = tag("title", escape(f"{line.name}, {seed}: {number(value)}"))
            parts.append(tag("circle", told, class_="seed", cx=across.at(value), cy=y, r=3))
        told = tag("title", escape(f"{line.name}: {_interval(line)}"))
        place = across.at(line.mean)
        diamond = f"M{place} {y - 6}l6 6l-6 6l-6 -6z"
        parts.append(tag("path", told, class_=f"mean {_colour(0)}", d=diamond))
    rows = [[line.name, _interval(line), ", ".join(number(value) for _, value in line.values)] for line in lines]
    return Chart(title, _svg(title, parts, "dots", height=height), ["", label, "each seed"], rows)


def thin(points: Sequence[Point]) -> list[Point]:
    """``points``, or means of equally many neighbours if they are more than a chart can show."""
    size = -(-len(points) // _MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [tuple(sum(values) / len(values) for values in zip(*group, strict=True)) for group in groups]  # type: ignore[misc]


def number(value: float) -> str:
    """A number with as many decimals as its size leaves room for."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    decimals = max(0, 3 - max(0, math.floor(math.log10(abs(value)))))
    return f"{value:,.{decimals}f}".replace("-", "−") if abs(value) >= 1e-3 else f"{value:.2g}".replace("-", "−")


def tick_labels(values: Sequence[float]) -> list[str]:
    """The numbers of an axis, with as few decimals as tell them all."""
    exact = (d for d in range(10) if all(math.isclose(round(each, d), each, abs_tol=1e-9) for each in values))
    decimals = next(exact, 10)
    return [f"{value:,.{decimals}f}".replace("-", "−") for value in values]


def tag(name: str, content: str | Markup = "", /, **attributes: Any) -> Markup:
    """An SVG element; a trailing ``_`` of an attribute's name is dropped, the others become ``-``."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{told}>{content}</{name}>" if content else f"<{name}{told}/>")


def _svg(title: str, parts: Iterable[Markup], kind: str, axis: Axis | None = None, height: int = HEIGHT) -> Markup:
    places = {"data_start": axis.start, "data_end": axis.end} if axis else {}
    content = Markup("").join(parts)
    return tag("svg", content, class_=kind, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=title, **places)


def _curve(
    colour: str, name: str, points: Sequence[Point], across: Axis, up: Axis, spread: Sequence[float] | None
) -> list[Markup]:
    places = [(across.at(x), up.at(y)) for x, y in points]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    parts = [tag("path", class_=f"curve {colour}", d=path)]
    for position, ((x, y), (place, height)) in enumerate(zip(points, places, strict=True)):
        told = f"{name} {number(y)}"
        if spread:
            half = spread[position]
            told += f" ± {number(half)}" if half else ""
            parts.append(
                tag("line", class_=f"error {colour}", x1=place, x2=place, y1=up.at(y - half), y2=up.at(y + half))
            )
        title = tag("title", escape(f"{number(x)}: {told}"))
        shown = "" if len(points) > 12 else " shown"
        parts.append(tag("circle", title, class_=f"point {colour}{shown}", cx=place, cy=height, r=4))
    return parts


def _outline(shares: Sequence[float], edges: Sequence[float], across: Axis, up: Axis, colour: str) -> Markup:
    path = f"M{across.at(edges[0])} {up.at(0)}"
    for low, high, share in zip(edges, edges[1:], shares, strict=False):
        path += f"L{across.at(low)} {up.at(share)}L{across.at(high)} {up.at(share)}"
    return tag("path", class_=f"outline {colour}", d=f"{path}L{across.at(edges[-1])} {up.at(0)}")


def _band(band: tuple[float | None, float | None], across: Axis) -> list[Markup]:
    low = across.low if band[0] is None else min(max(band[0], across.low), across.high)
    high = across.high if band[1] is None else min(max(band[1], across.low), across.high)
    told = " to ".join(number(end) for end in band if end is not None)
    told = f"kept: {told}" if None not in band else f"kept: {'from' if band[1] is None else 'up to'} {told}"
    box = {"x": across.at(low), "width": round(across.at(high) - across.at(low), 2)}
    title = tag("title", escape(told))
    return [tag("rect", title, class_="band", y=_TOP, height=HEIGHT - _BOTTOM - _TOP, **box)]


def _axes(across: Axis, up: Axis, labels: tuple[str, str], ticks: Sequence[float]) -> list[Markup]:
    parts, heights = [], up.ticks(4)
    for value, told in zip(heights, tick_labels(heights), strict=True):
        y = up.at(value)
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y))
        parts.append(tag("text", told, class_="tick", x=_LEFT - 6, y=y + 4, text_anchor="end"))
    middle = (HEIGHT - _BOTTOM + _TOP) / 2
    turned = f"rotate(-90 10 {middle})"
    parts.append(tag("text", escape(labels[1]), class_="label", x=10, y=middle, text_anchor="middle", transform=turned))
    return parts + _across(across, labels[0], ticks, None, HEIGHT)


def _across(axis: Axis, label: str, ticks: Sequence[float], top: float | None, height: float) -> list[Markup]:
    base = height - _BOTTOM
    parts = [tag("line", class_="axis", x1=axis.start, x2=axis.end, y1=base, y2=base)]
    for value, told in zip(ticks, tick_labels(ticks), strict=True):
        x = axis.at(value)
        parts.append(tag("line", class_="axis", x1=x, x2=x, y1=base, y2=base + 4))
        if top is not None:
            parts.append(tag("line", class_="grid", x1=x, x2=x, y1=top, y2=base))
        parts.append(tag("text", told, class_="tick", x=x, y=base + 16, text_anchor="middle"))
    middle = (axis.start + axis.end) / 2
    return [*parts, tag("text", escape(label), class_="label", x=middle, y=base + 34, text_anchor="middle")]


def _axis(values: Sequence[float], start: float, end: float, *, log: bool = False, padded: bool = False) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    if padded and log:
        low, high = low / (high / low) ** 0.06, high * (high / low) ** 0.06
    elif padded:
        low, high = low - (high - low) * 0.06, high + (high - low) * 0.06
    return Axis(low, high, start, end, log)


def _values(
    series: Mapping[str, Sequence[Point]], spread: Mapping[str, Sequence[float]]
) -> tuple[list[float], list[float]]:
    every_x = [x for points in series.values() for x, _ in points]
    every_y = [y for points in series.values() for _, y in points]
    for name, halves in spread.items():
        every_y += [y + sign * half for (_, y), half in zip(series[name], halves, strict=True) for sign in (-1, 1)]
    return every_x, every_y


def _interval(line: Dots) -> str:
    return number(line.mean) + (f" ± {number(line.half)}" if line.half is not None else "")


def _round_step(step: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(step))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= step * (1 - 1e-9)), 10 * power)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _colour(position: int) -> str:
    return f"s{position % _COLOURS + 1}"
