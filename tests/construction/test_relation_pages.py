"""The pages of relations: what they say, the images and the table that they show, and what a browser thinks of them."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser
from publishing.browser import CONTRAST, DESK, PHONE, browser, needs_chromium, opened
from publishing.made import images_of, text_of

from synthdata.construction.config import HardNegativesConfig, PartitionConfig, RegionMaskConfig, SelectPairsConfig
from synthdata.construction.construct import construct
from synthdata.data import DataConfig, load_images
from synthdata.errors import MisuseError
from synthdata.publishing.pages import write_dataset_page, write_page

__all__ = ["browser"]


@pytest.fixture(scope="module")
def made(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with relations of each strategy."""
    folder = tmp_path_factory.mktemp("made")
    encoder = str(sources / "encoder")
    for config in (
        HardNegativesConfig(source="digits", encoder=encoder, output=str(folder / "plain")),
        HardNegativesConfig(source="digits", encoder=encoder, output=str(folder / "copied"), embed_rows=True, k=1),
        RegionMaskConfig(source="digits", output=str(folder / "masks"), embed_rows=True, format="webdataset"),
        SelectPairsConfig(source=str(sources / "responses.jsonl"), output=str(folder / "judged")),
        PartitionConfig(source=str(sources / "trajectories.parquet"), output=str(folder / "windows")),
    ):
        construct(config)
        write_page(folder / config.output)
    return folder


NAMES = ("plain", "copied", "masks", "judged", "windows")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_relations_says_what_they_are_and_not_that_they_were_generated(name: str, made: Path) -> None:
    text, told = text_of(made / name / "index.html"), json.loads((made / name / "manifest.json").read_text())
    made_of = told["construction"]
    for kind, count in made_of["relations"].items():
        assert f"{count:,} of the kind “{kind}”" in text
    for number, value in made_of["audit"].items():
        assert f"{number.replace('_', ' ')} {value:,}" in text
    assert told["run"]["source"]["sha256"][:12] in text
    assert f"between the {made_of['source']['rows']:,} rows of" in text
    for false in ("synthetic", "generated", "No labels", "weights alone"):
        assert false not in text


def test_relations_without_images_are_a_table_of_what_they_tell(made: Path, sources: Path) -> None:
    page = text_of(made / "judged" / "index.html")
    first = json.loads((sources / "responses.jsonl").read_text().splitlines()[0])
    assert "index anchor kind other score why prompt chosen rejected" in page
    assert first["prompt"] in page
    windows = text_of(made / "windows" / "index.html")
    assert "0 0 window 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 0, 20" in windows
    assert not images_of(made / "windows" / "index.html")


def test_copied_images_are_shown_as_anchor_and_other(made: Path) -> None:
    page = made / "copied" / "index.html"
    rows = [json.loads(row) for row in re.findall(r"data-row='([^']*)'", page.read_text())]
    source = load_images(DataConfig("digits")).train.source.rows
    shown = images_of(page)
    assert len(shown) == 2 * len(rows)
    for row, anchor, other in zip(rows, shown[::2], shown[1::2], strict=True):
        assert np.array_equal(np.asarray(anchor.convert("L")), source.read(row["anchor"]))
        assert np.array_equal(np.asarray(other.convert("L")), source.read(row["other"][0]))


def test_a_mask_is_shown_on_its_image(made: Path) -> None:
    page = made / "masks" / "index.html"
    rows = [json.loads(row) for row in re.findall(r"data-row='([^']*)'", page.read_text())]
    for row, masked in zip(rows, images_of(page)[1::2], strict=True):
        pixels = np.asarray(masked.convert("RGB"), int)
        red = pixels[..., 0] > pixels[..., 1]  # the images are grey
        patches = red.reshape(8, pixels.shape[0] // 8, 8, -1).mean((1, 3))
        assert patches.ravel().tolist() == row["mask"]


def test_images_of_a_source_at_hand_are_shown_where_they_are_asked_for(made: Path, sources: Path) -> None:
    page = made / "plain" / "index.html"
    assert "--show_real true" in text_of(page)
    assert not images_of(page)
    write_dataset_page(made / "plain", show_real=True)
    rows = [json.loads(row) for row in re.findall(r"data-row='([^']*)'", page.read_text())]
    source = load_images(DataConfig("digits")).train.source.rows
    assert np.array_equal(np.asarray(images_of(page)[1].convert("L")), source.read(rows[0]["other"][0]))
    write_page(made / "plain")
    with pytest.raises(MisuseError, match=r"does not tell where trajectories\.parquet lies.*--embed_rows"):
        write_dataset_page(made / "windows", show_real=True)


def test_relations_of_images_that_are_others_by_now_show_none(made: Path, tmp_path: Path) -> None:
    told = json.loads((made / "plain" / "manifest.json").read_text())
    told["run"]["source"]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(MisuseError, match="digits holds other images than the relations are between"):
        write_dataset_page(tmp_path, show_real=True)


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_a_page_of_relations_fits_a_phone_has_contrast_and_no_complaint(
    name: str, made: Path, browser: Browser
) -> None:
    for scheme, viewport in (("light", PHONE), ("dark", DESK)):
        with opened(browser, made / name / "index.html", viewport=viewport, color_scheme=scheme) as page:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate(CONTRAST) == []
            assert page.evaluate("[...document.images].every((image) => image.alt && image.naturalWidth)")


@needs_chromium
def test_a_relation_opens_large_with_its_anchor_and_its_other(made: Path, browser: Browser) -> None:
    with opened(browser, made / "copied" / "index.html") as page:
        page.locator(".gallery button").nth(3).click()
        assert page.locator("#lightbox figcaption").all_inner_texts() == ["image anchor", "image other"]
        assert "negative" in page.locator("#lightbox tbody").inner_text()
