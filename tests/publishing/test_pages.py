"""Pages as files: what is in them, how large they are, and what they refuse."""

import base64
import hashlib
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
from emission.conftest import write_run
from PIL import Image

from synthdata.data import DataConfig, load_images
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.complete import complete_dataset
from synthdata.publishing.pages import write_dataset_page, write_page

from .made import images_of, text_of, write_comparison, write_dataset, write_headline

LARGEST_PAGE = 8_000_000


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hard samples and pairs of a generator that was not trained, after 200 digits, as WebDataset."""
    folder = tmp_path_factory.mktemp("emitted")
    run = write_run(folder / "run")
    emit(EmissionConfig(run=str(run), output=str(folder / "tar"), hard=20, pairs=12, shard_size=8, license="cc-by-4.0"))
    complete_dataset(folder / "tar")
    return folder / "tar"


def rows_of(page: Path) -> list[dict[str, Any]]:
    return [json.loads(html.unescape(each)) for each in re.findall(r"data-row='([^']*)'", page.read_text())]


def test_a_page_of_100_000_rows_shows_every_250th_and_stays_small(tmp_path: Path) -> None:
    page = write_page(write_dataset(tmp_path / "large", "hard", rows=100_000, size=32, channels=3))
    assert page == tmp_path / "large" / "index.html"
    assert page.stat().st_size < LARGEST_PAGE
    assert sorted(row["index"] for row in rows_of(page)) == list(range(0, 100_000, 250))
    hardness = [row["hardness"] for row in rows_of(page)]
    assert hardness == sorted(hardness, reverse=True)
    assert "One row in 250, from the first on: 400 of 100,000, hardest first." in text_of(page)


def test_large_images_leave_room_for_fewer_rows_which_is_told(tmp_path: Path) -> None:
    page = write_page(write_dataset(tmp_path / "rgb", "pairs", rows=900, size=128, channels=3))
    rows = sorted(row["index"] for row in rows_of(page))
    every = rows[1]
    assert page.stat().st_size < LARGEST_PAGE
    assert every > 3
    assert rows == list(range(0, 900, every))
    assert f"One row in {every}, from the first on: {len(rows)} of 900, least similar first." in text_of(page)


def test_images_larger_than_a_page_needs_are_scaled_down(tmp_path: Path) -> None:
    page = write_page(write_dataset(tmp_path / "huge", "hard", rows=3, size=300, channels=3))
    assert {image.size for image in images_of(page)} == {(128, 128)}


def test_the_images_of_a_page_are_those_of_the_rows_without_loss(emitted: Path) -> None:
    from datasets import load_dataset

    page = write_page(emitted)
    rows = load_dataset(str(emitted), "hard", split="train", streaming=True)
    expected = {row["json"]["index"]: row["png"].tobytes() for row in rows}
    shown = [row["index"] for row in rows_of(page) if "hardness" in row]
    assert len(shown) == 20
    assert [image.convert("L").tobytes() for image in images_of(page)[:20]] == [expected[each] for each in shown]


def test_a_page_says_how_the_rows_were_chosen_and_where_they_come_from(emitted: Path) -> None:
    manifest, text = json.loads((emitted / "manifest.json").read_text()), text_of(write_page(emitted))
    for kind in ("hard", "pairs"):
        summary = manifest["kinds"][kind]
        assert f"rows ({summary['rows']})" in text
        assert f"candidates ({summary['candidates']:,})" in text
        for reason, count in summary["dropped"].items():
            assert reason in ("memorised", "unrealistic") or f" {100 * count / summary['candidates']:.1f} %" in text
    for words in (
        'hard = load_dataset("./tar", "hard", split="train")',
        manifest["made_with"]["command"],
        "synthdata verify tar",
        "cc-by-4.0",
        "200 training images",
        manifest["run"]["source"]["sha256"][:12],
        "Real images are not shown",
    ):
        assert words in text


def test_a_page_of_replay_says_that_no_image_was_seen_and_that_there_are_labels(tmp_path: Path) -> None:
    text = text_of(write_page(write_dataset(tmp_path / "made", "replay", rows=5)))
    assert "5 labelled images that a generator made after a classifier alone" in text
    assert "All rows, least sure first." in text
    for false in ("No labels", "generated after", "Real images are not shown"):
        assert false not in text


def test_the_same_dataset_gives_the_same_page(emitted: Path) -> None:
    assert write_page(emitted).read_bytes() == write_page(emitted).read_bytes()


def test_a_kind_that_is_not_known_has_a_page(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "other", "hard", rows=5)
    (folder / "data" / "hard").rename(folder / "data" / "masks")
    for shard in (folder / "data" / "masks").iterdir():
        shard.rename(shard.with_name(shard.name.replace("hard", "masks")))
    told = (folder / "manifest.json").read_text().replace("hardness", "age")
    told = told.replace('"hard"', '"masks"').replace("data/hard/hard-", "data/masks/masks-")
    (folder / "manifest.json").write_text(told)
    other = write_page(folder)
    assert "Masks" in text_of(other)
    assert [row["index"] for row in rows_of(other)] == [0, 1, 2, 3, 4]
    assert len(images_of(other)) == 5


def test_columns_that_json_has_no_word_for_are_told(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "made", "hard", rows=2)
    (shard,) = folder.glob("data/hard/*")
    table = pq.read_table(shard).drop_columns(["hardness", "seed"])
    table = table.append_column("hardness", pa.array([float("nan"), 1.0])).append_column("seed", pa.array([b"12", b""]))
    pq.write_table(table.append_column("partners", pa.array([[1, 2], [3]])), shard)
    last, first = rows_of(write_page(folder))[::-1]
    assert (first["hardness"], first["seed"], first["partners"]) == (1.0, "0 bytes", [3])
    assert (last["hardness"], last["seed"], last["partners"]) == (None, "2 bytes", [1, 2])


def test_a_page_of_a_dataset_that_supersedes_another_says_so(tmp_path: Path) -> None:
    page = write_page(write_dataset(tmp_path / "new", "hard", rows=2, supersedes={"name": "out/old"}))
    assert "Supersedes old" in text_of(page)


def test_names_with_markup_are_shown_and_not_run(tmp_path: Path) -> None:
    name = "<script>injected = true<"
    folder = write_dataset(tmp_path / name, "hard", rows=2)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["run"]["source"]["data"] = "imagefolder:<img src=x onerror=alert(1)>"
    manifest["made_with"]["command"] = "</script><script>alert(1)</script>"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    page = write_page(folder)
    assert len(re.findall("<script", page.read_text())) == 1
    assert "<img src=x" not in page.read_text()
    assert name in html.unescape(page.read_text())


def test_the_policy_of_a_page_lets_its_own_style_and_script_run_and_nothing_else(emitted: Path) -> None:
    content = write_page(emitted).read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', content)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for kind in ("style", "script"):
        (inline,) = re.findall(rf"<{kind}>(.*?)</{kind}>", content, re.S)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert not re.findall(r' (?:style|on\w+)="', content)


def test_the_nearest_real_image_is_shown_beside_a_row_when_it_is_asked_for(emitted: Path) -> None:
    page = write_dataset_page(emitted, show_real=True)
    content = page.read_text()
    shown = re.findall(r'class="real" src="data:image/\w+;base64,([^"]*)"', content)
    nearest = [int(row["nearest_real"]) for row in rows_of(page)]
    assert len(shown) == len(nearest) == 32
    images = load_images(DataConfig("digits", limit=200)).train
    places = images.source_indices.tolist()
    for encoded, row in zip(shown, nearest, strict=True):
        pixels = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L").tobytes()
        assert pixels == images[places.index(row)].numpy().tobytes()
    write_page(emitted)
    assert 'class="real"' not in page.read_text()


def test_real_images_other_than_those_of_the_run_are_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "made", "hard", rows=2)
    with pytest.raises(MisuseError, match="digits holds other images than the dataset was made from"):
        write_dataset_page(folder, show_real=True)
    assert not (folder / "index.html").exists()


def test_a_missing_and_a_damaged_shard_are_told_by_name(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "made", "hard", rows=2)
    (shard,) = folder.glob("data/hard/*")
    shard.write_bytes(b"nothing")
    with pytest.raises(FailureError, match=r"hard-00000-of-00001\.parquet cannot be read .*synthdata verify"):
        write_page(folder)
    shard.unlink()
    with pytest.raises(FailureError, match=r"hard-00000-of-00001\.parquet cannot be read"):
        write_page(folder)
    assert not list(folder.glob("*.html*"))


@pytest.mark.parametrize("content", [b"GIF89a", b"%!PS-Adobe-3.0 EPSF-3.0", b"\x89PNG\r\n"])
def test_what_is_no_image_is_told_and_never_opened_by_another_decoder(tmp_path: Path, content: bytes) -> None:
    folder = write_dataset(tmp_path / "made", "hard", rows=1)
    (shard,) = folder.glob("data/hard/*")
    table = pq.read_table(shard)
    image = pa.array([{"bytes": content, "path": None}], table.schema.field("image").type)
    pq.write_table(table.set_column(table.schema.get_field_index("image"), table.schema.field("image"), image), shard)
    with pytest.raises(FailureError, match="is no readable image"):
        write_page(folder)


def test_a_folder_without_anything_to_show_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="is no dataset, run or comparison"):
        write_page(tmp_path)
    with pytest.raises(MisuseError, match="is no dataset, run or comparison"):
        write_page(tmp_path / "absent")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(MisuseError, match="is not of a comparison"):
        write_page(tmp_path)


def test_a_comparison_has_paired_differences_with_their_intervals(tmp_path: Path) -> None:
    page = write_page(write_comparison(tmp_path / "compare", {"real": 0.0, "real + <b>hard</b>": 2.0}, seeds=5))
    runs = json.loads((tmp_path / "compare" / "report.json").read_text())["runs"]
    at = {(run["way"], run["real_images"], run["seed"]): run["scores"]["linear_top1"] for run in runs}
    differences = [at["real + <b>hard</b>", 1000, seed] - at["real", 1000, seed] for seed in range(5)]
    interval = scipy.stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    half, mean = (interval.high - interval.low) / 2, sum(differences) / 5
    assert f"{mean:.3f} ± {half:.3f}" in text_of(page)
    assert "real + <b>hard</b>" in html.unescape(page.read_text())
    assert "<b>" not in page.read_text()
    assert "1.50 ×" in text_of(page)


def test_few_seeds_are_called_few(tmp_path: Path) -> None:
    few = write_page(write_comparison(tmp_path / "few", {"real": 0.0, "more": 1.0}, seeds=1))
    assert "rest on one seed alone: too few to tell a small difference from chance" in text_of(few)
    many = write_page(write_comparison(tmp_path / "many", {"real": 0.0, "more": 1.0}, seeds=5))
    assert "too few" not in text_of(many)


def test_a_headline_table_has_a_page_before_it_is_complete(tmp_path: Path) -> None:
    page = write_page(write_headline(tmp_path / "headline", finished=4, left=2))
    assert "4 of 6 trainings are finished" in text_of(page)
    empty = write_page(write_headline(tmp_path / "empty", finished=0, left=6))
    assert "No training has finished yet." in text_of(empty)
