"""The pages in a real browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from synthdata.publishing.pages import write_page

from .browser import CONTRAST, DESK, PHONE, browser, needs_chromium, opened
from .made import write_comparison, write_dataset, write_headline, write_run_files

__all__ = ["browser"]

pytestmark = needs_chromium

SCRIPT = "<script>window.injected = true<"
MADE: dict[str, Callable[[Path], Path]] = {
    "100,000 rows, RGB": lambda folder: write_dataset(folder / "large", "hard", rows=100_000, size=32, channels=3),
    "pairs, RGB, 128 px": lambda folder: write_dataset(folder / "pairs", "pairs", rows=60, size=128, channels=3),
    "greyscale, 16 px": lambda folder: write_dataset(folder / SCRIPT, "hard", rows=30),
    "a run": lambda folder: write_run_files(folder / "run", done=200, of=200),
    "a run that goes on": lambda folder: write_run_files(folder / "going", done=90, of=200),
    "a comparison": lambda folder: write_comparison(folder / "compare", {"real": 0.0, SCRIPT: 2.0, "less": -3.0}),
    "a headline table": lambda folder: write_headline(folder / "headline", finished=4, left=2),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each sort."""
    folder = tmp_path_factory.mktemp("pages")
    return {name: write_page(make(folder)) for name, make in MADE.items()}


def fits(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("name", MADE)
def test_a_page_opens_without_a_complaint_fits_a_phone_and_has_contrast(
    name: str, pages: dict[str, Path], browser: Browser
) -> None:
    for scheme, viewport in (("light", PHONE), ("dark", DESK)):
        with opened(browser, pages[name], viewport=viewport, color_scheme=scheme) as page:
            assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
            assert fits(page)
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate("window.injected") is None
            assert page.evaluate("[...document.images].every((image) => image.alt && image.naturalWidth)")


def test_the_page_of_100_000_rows_opens_within_a_second(pages: dict[str, Path], browser: Browser) -> None:
    seconds = []
    for _ in range(3):
        with opened(browser, pages["100,000 rows, RGB"]) as page:
            timing = "performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"
            page.wait_for_function(f"{timing} > 0")
            seconds.append(page.evaluate(timing))
    assert min(seconds) <= 1


def shown_values(page: Page, column: str) -> list[float]:
    rows = page.eval_on_selector_all(".gallery li", "items => items.map((item) => item.dataset.row)")
    return [json.loads(row)[column] for row in rows]


def test_a_brush_over_a_histogram_chooses_the_samples(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["100,000 rows, RGB"]) as page:
        everything = shown_values(page, "hardness")
        chart = page.locator(".chart[data-column=hardness]")
        box = chart.locator(".brush").bounding_box()
        assert box is not None
        chart.scroll_into_view_if_needed()
        box = chart.locator(".brush").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40, steps=4)
        page.mouse.up()
        low, high = (float(value) for value in chart.locator("input").evaluate_all("all => all.map((i) => i.value)"))
        assert 0.55 < low < 0.65 < high < 0.75
        chosen = shown_values(page, "hardness")
        assert sorted(chosen) == pytest.approx(sorted(value for value in everything if low <= value <= high), abs=1e-3)
        expect(page.locator(".count")).to_have_text(f"{len(chosen)} of 400 shown")
        chart.locator(".clear").click()
        assert len(shown_values(page, "hardness")) == 400


def test_ends_that_are_typed_choose_as_a_brush_does_and_add_up(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["100,000 rows, RGB"]) as page:
        for column, low, high in (("hardness", "0.6", "0.7"), ("realism", "0", "")):
            ends = page.locator(f".chart[data-column={column}] input")
            for end, value in zip(ends.all(), (low, high), strict=True):
                end.fill(value)
                end.press("Enter")
        assert all(0.6 <= value <= 0.7 for value in shown_values(page, "hardness"))
        assert all(value >= 0 for value in shown_values(page, "realism"))
        assert 10 < len(shown_values(page, "realism")) < 100


def test_samples_are_sorted_by_any_column(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["100,000 rows, RGB"]) as page:
        page.locator(".sort").select_option("realism")
        assert shown_values(page, "realism") == sorted(shown_values(page, "realism"), reverse=True)
        page.locator(".descending").uncheck()
        assert shown_values(page, "realism") == sorted(shown_values(page, "realism"))


def test_the_gallery_and_the_enlarged_image_are_walked_through_by_keys(
    pages: dict[str, Path], browser: Browser
) -> None:
    with opened(browser, pages["pairs, RGB, 128 px"]) as page:
        indices = shown_values(page, "index")
        page.locator(".gallery button").first.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Enter"):
            page.keyboard.press(key)
        dialog = page.locator("#lightbox")
        expect(dialog).to_be_visible()
        expect(dialog.locator("h2")).to_have_text(f"Row {indices[1]}")
        assert dialog.locator(".images img").count() == 2
        assert {"similarity", "realism", "nearest_real"} <= set(dialog.locator("th").all_text_contents())
        page.keyboard.press("ArrowRight")
        expect(dialog.locator("h2")).to_have_text(f"Row {indices[2]}")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        focused = "JSON.parse(document.activeElement.parentElement.dataset.row).index"
        assert page.evaluate(focused) == indices[2]


def test_tab_reaches_every_control_once_and_the_gallery_as_one(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["greyscale, 16 px"]) as page:
        assert page.locator(".gallery button[tabindex='0']").count() == 1
        controls = page.locator("input:visible, select:visible, button:visible").all()
        for control in controls:
            named = "element => Boolean(element.labels?.length || element.ariaLabel || element.textContent.trim())"
            assert control.evaluate(named)


def test_a_slider_goes_through_the_sample_grids(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["a run"]) as page:
        assert page.locator(".grids li:visible").get_attribute("data-step") == "step 100"
        page.locator(".time input").focus()
        page.keyboard.press("Home")
        assert page.locator(".grids li:visible").get_attribute("data-step") == "step 0"
        expect(page.locator(".time output")).to_have_text("step 0")


def test_curves_are_read_off_under_the_pointer(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["a run"]) as page:
        chart = page.locator(".chart", has_text="Hardness of synthetic")
        chart.locator("svg").hover()
        reading = chart.locator(".reading").text_content() or ""
        assert re.fullmatch(r"\d+: hardness [\d.]+, real hardness [\d.]+", reading)


def test_a_table_is_sorted_by_one_click(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["a comparison"]) as page:
        head = page.locator("thead button", has_text="k-NN")
        values = "rows => rows.map((row) => Number(row.cells[5].dataset.value))"
        for falling in (True, False):
            head.click()
            shown = page.locator("table.sortable tbody tr").evaluate_all(values)
            assert shown == sorted(shown, reverse=falling)


def test_without_script_everything_is_there_but_what_is_interactive(pages: dict[str, Path], browser: Browser) -> None:
    for name in ("greyscale, 16 px", "a run", "a comparison"):
        with opened(browser, pages[name], java_script_enabled=False) as page:
            assert page.locator(".chart svg").first.is_visible()
            assert not page.locator(".copy, .range, .toolbar, .time label").filter(visible=True).count()
    with opened(browser, pages["a run"], java_script_enabled=False) as page:
        assert page.locator(".grids img:visible").count() == 2


def test_a_code_block_is_copied(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["greyscale, 16 px"], permissions=["clipboard-read", "clipboard-write"]) as page:
        page.locator(".copy").first.click()
        expect(page.locator(".copy").first).to_have_text("Copied")
        assert "from datasets import load_dataset" in page.evaluate("navigator.clipboard.readText()")


def test_a_printed_page_has_its_charts_and_no_controls(pages: dict[str, Path], browser: Browser) -> None:
    with opened(browser, pages["a run"]) as page:
        page.emulate_media(media="print")
        assert page.locator(".chart svg").first.is_visible()
        assert page.locator(".grids img:visible").count() == 2
        assert not page.locator("nav, .copy").filter(visible=True).count()
        assert page.pdf().startswith(b"%PDF")
