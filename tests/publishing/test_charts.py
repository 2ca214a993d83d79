"""Charts, as SVG and as the tables behind them."""

import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from synthdata.publishing.pages.charts import (
    Axis,
    Chart,
    Dots,
    dot_chart,
    histogram,
    line_chart,
    number,
    parts_of_a_whole,
    thin,
    tick_labels,
)


def elements(chart: Chart, name: str, kind: str) -> list[ElementTree.Element]:
    """The elements of a chart of one name and class."""
    root = ElementTree.fromstring(str(chart.svg))
    return [each for each in root.iter(name) if kind in each.get("class", "").split()]


def test_bars_are_as_high_as_their_share_and_the_table_has_the_counts() -> None:
    chart = histogram("Scores", "nats", [0.0, 1.0, 2.0, 3.0], {"rows": [1, 3, 0], "candidates": [5, 5, 10]}, (1.0, 2.0))
    bars = elements(chart, "rect", "bar")
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.05)
    assert heights[2] == 0
    assert [bar[0].text for bar in bars][1] == "1 to 2: 3 rows (75.0 %)"
    assert chart.rows == [["0 to 1", "1", "5"], ["1 to 2", "3", "5"], ["2 to 3", "0", "10"]]
    (band,) = elements(chart, "rect", "band")
    assert (band.get("x"), band.get("width")) == (bars[1].get("x"), bars[1].get("width"))


def test_a_band_without_an_end_reaches_the_edge() -> None:
    chart = histogram("Realism", "score", [0.0, 1.0, 2.0], {"rows": [1, 1]}, (1.0, None))
    (band,) = elements(chart, "rect", "band")
    assert band.get("x") == elements(chart, "rect", "bar")[1].get("x")
    assert band[0].text == "kept: from 1"


def test_a_curve_goes_through_its_points_and_its_table_has_every_value() -> None:
    points = [(0.0, 1.0), (10.0, 3.0), (20.0, 2.0)]
    chart = line_chart("Loss", {"a": points, "b": points[:1]}, ("iteration", "nats"), marks=[(10.0, "joint")])
    assert chart.rows == [["0", "1", "1"], ["10", "3", ""], ["20", "2", ""]]
    dots = elements(chart, "circle", "s1")
    heights = [float(dot.get("cy", "")) for dot in dots]
    assert heights[1] < heights[2] < heights[0]
    assert dots[1][0].text == "10: a 3"
    (mark,) = elements(chart, "line", "mark")
    assert mark.get("x1") == dots[1].get("cx")


def test_long_curves_are_thinned_to_means_and_say_so() -> None:
    points = [(float(x), float(x % 2)) for x in range(1000)]
    thinned = thin(points)
    assert len(thinned) <= 120
    assert all(0.4 < y < 0.6 for _, y in thinned[:-1])
    assert sum(x for x, _ in thinned) / len(thinned) == pytest.approx(499.5, rel=0.02)
    assert "mean" in line_chart("Long", {"a": points}, ("x", "y")).note
    assert line_chart("Short", {"a": points[:10]}, ("x", "y")).note == ""


def test_every_seed_is_a_dot_beside_the_mean_and_its_interval() -> None:
    lines = [Dots("hard", [("seed 0", 1.0), ("seed 1", 3.0)], 2.0, 0.5), Dots("alone", [("seed 0", 4.0)], 4.0, None)]
    chart = dot_chart("Gain", "points", lines, zero=True)
    assert [dot[0].text for dot in elements(chart, "circle", "seed")] == [
        "hard, seed 0: 1",
        "hard, seed 1: 3",
        "alone, seed 0: 4",
    ]
    assert len(elements(chart, "line", "interval")) == 1
    assert len(elements(chart, "line", "zero")) == 1
    assert chart.rows == [["hard", "2 ± 0.500", "1, 3"], ["alone", "4", "4"]]


def test_parts_fill_the_whole_bar() -> None:
    chart = parts_of_a_whole("Candidates", "candidates", {"kept": 1, "dropped": 3, "none": 0})
    widths = [float(part.get("width", "")) for part in elements(chart, "rect", "part")]
    assert widths == [95, 285, 0]
    assert chart.rows[1] == ["dropped", "3", "75.0 %"]


def test_names_are_text_and_never_markup() -> None:
    name = '<script>alert("x")</script>'
    charts = [
        line_chart(name, {name: [(0.0, 1.0), (1.0, 2.0)]}, (name, name), marks=[(0.5, name)]),
        histogram(name, name, [0.0, 1.0], {name: [1]}),
        dot_chart(name, name, [Dots(name, [(name, 1.0)], 1.0, None)]),
        parts_of_a_whole(name, name, {name: 1}),
    ]
    for chart in charts:
        assert isinstance(chart.svg, Markup)
        assert "<script" not in chart.svg
        assert ElementTree.fromstring(str(chart.svg)).get("aria-label") == name


def test_charts_of_nothing_and_of_one_value_are_drawn() -> None:
    for chart in (
        line_chart("One", {"a": [(5.0, 1.0)]}, ("x", "y")),
        line_chart("One, logarithmic", {"a": [(5.0, 1.0)]}, ("x", "y"), log_x=True),
        histogram("Empty", "x", [0.0, 1.0], {"rows": [0]}),
        dot_chart("Nothing", "x", []),
        parts_of_a_whole("Nothing", "rows", {}),
    ):
        assert not re.search("nan|inf", str(chart.svg))


def test_ticks_are_round_and_within_the_axis() -> None:
    ticks = Axis(2.69, 4.15, 0, 100).ticks()
    assert ticks == [3.0, 3.5, 4.0]
    assert tick_labels(ticks) == ["3.0", "3.5", "4.0"]
    assert tick_labels([-0.5, 0.0, 0.5]) == ["−0.5", "0.0", "0.5"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (3.14159, "3.142"),
        (-0.25, "−0.250"),
        (1234.5678, "1,235"),
        (4.2e-5, "4.2e−05"),
    ],
)
def test_numbers_have_as_many_decimals_as_they_need(value: float, told: str) -> None:
    assert number(value) == told
