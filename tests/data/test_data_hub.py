import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from synthdata.data import DataConfig, load_images
from synthdata.data.hub import open_hf, open_parquet
from synthdata.errors import FailureError, MisuseError

CONFIG = DataConfig(image_size=8)
CLASSES = datasets.ClassLabel(names=["cat", "dog"])


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))


def write_parquet(path: Path, columns: dict[str, list], features: dict | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if features is None:
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    else:
        datasets.Dataset.from_dict(columns, features=datasets.Features(features)).to_parquet(path)
    return path


def as_images(contents: list[bytes]) -> list[dict]:
    return [{"bytes": content, "path": None} for content in contents]


@pytest.fixture
def labelled_folder(tmp_path: Path, encode_image) -> Path:
    """20 training and 6 test images in the Hub's layout."""
    for split, count in {"train": 20, "test": 6}.items():
        columns = {
            "number": list(range(count)),
            "img": as_images([encode_image(n) for n in range(count)]),
            "kind": [n % 2 for n in range(count)],
        }
        features = {"number": datasets.Value("int64"), "img": datasets.Image(), "kind": CLASSES}
        write_parquet(tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet", columns, features)
    return tmp_path / "set"


@pytest.mark.parametrize("prefix", ["parquet", "hf"])
def test_columns_are_found_by_type_and_splits_by_name(labelled_folder: Path, prefix: str):
    data = load_images(DataConfig(f"{prefix}:{labelled_folder}", image_size=8))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [18, 2, 6]
    assert data.classes == ["cat", "dog"]
    assert data.train.labels.tolist() == [row % 2 for row in data.train.source_indices]
    assert data.test.source_indices.tolist() == list(range(6))


def test_rows_hold_the_files_bytes(labelled_folder: Path, encode_image):
    split = open_parquet(str(labelled_folder), CONFIG).splits["train"]
    assert split.rows.read(7) == encode_image(7)


def test_a_named_configuration_is_read(tmp_path: Path, encode_image):
    for name, count in {"hard": 3, "easy": 5}.items():
        columns = {"image": as_images([encode_image(n) for n in range(count)])}
        write_parquet(tmp_path / "two" / f"{name}.parquet", columns, {"image": datasets.Image()})
    header = "---\nconfigs:\n" + "".join(
        f"- config_name: {name}\n  data_files: {name}.parquet\n" for name in ("hard", "easy")
    )
    (tmp_path / "two" / "README.md").write_text(header + "---\n")
    assert len(open_hf(f"{tmp_path / 'two'}:easy", CONFIG).splits["train"].rows) == 5
    with pytest.raises(MisuseError, match=r"hard.*easy|easy.*hard"):
        open_hf(str(tmp_path / "two"), CONFIG)


@pytest.mark.parametrize("structured", [False, True])
def test_image_bytes_without_metadata_are_found(tmp_path: Path, encode_image, structured: bool):
    contents = [encode_image(n) for n in range(4)]
    columns = {"picture": as_images(contents) if structured else contents, "label": ["b", "a", "b", "a"]}
    source = open_parquet(str(write_parquet(tmp_path / "plain.parquet", columns)), CONFIG)
    assert [source.splits["train"].rows.read(row) for row in range(4)] == contents
    assert source.classes == ["a", "b"]
    assert source.splits["train"].labels.tolist() == [1, 0, 1, 0]


def test_numbers_that_are_no_classes_are_not_taken_for_labels(tmp_path: Path, encode_image):
    columns = {"image": [encode_image(n) for n in range(4)], "label": [0.1, 0.2, 0.3, 0.4]}
    path = str(write_parquet(tmp_path / "scores.parquet", columns))
    assert open_parquet(path, CONFIG).classes is None
    with pytest.raises(MisuseError, match="not labels"):
        open_parquet(path, DataConfig(label_column="label"))


@pytest.fixture
def pairs(tmp_path: Path, encode_image) -> str:
    columns = {"image_a": as_images([encode_image(1)] * 10), "image_b": as_images([encode_image(2)] * 10)}
    features = dict.fromkeys(columns, datasets.Image())
    return str(write_parquet(tmp_path / "pairs.parquet", columns, features))


def test_two_image_columns_are_named_to_choose_from(pairs: str, encode_image):
    with pytest.raises(MisuseError, match=r"image_a, image_b with data\.image_column"):
        open_parquet(pairs, CONFIG)
    chosen = open_parquet(pairs, DataConfig(image_column="image_b"))
    assert chosen.splits["train"].rows.read(0) == encode_image(2)


def test_a_misspelt_column_is_told_with_the_nearest(pairs: str):
    with pytest.raises(MisuseError, match="did you mean image_a"):
        open_parquet(pairs, DataConfig(image_column="imagea"))


def test_no_image_column_is_told(tmp_path: Path):
    with pytest.raises(MisuseError, match="no image column among x"):
        open_parquet(str(write_parquet(tmp_path / "numbers.parquet", {"x": [1, 2]})), CONFIG)


@pytest.mark.parametrize("opener", [open_parquet, open_hf])
def test_a_missing_path_is_named(opener):
    with pytest.raises(MisuseError, match="/no/such/path does not exist"):
        opener("/no/such/path", CONFIG)


def test_a_folder_without_data_is_named(tmp_path: Path):
    with pytest.raises(MisuseError, match=r"holds no \.parquet file"):
        open_parquet(str(tmp_path), CONFIG)
    with pytest.raises(MisuseError, match=str(tmp_path)):
        open_hf(str(tmp_path), CONFIG)


def test_a_damaged_parquet_file_is_named(tmp_path: Path, encode_image):
    path = write_parquet(tmp_path / "cut.parquet", {"image": [encode_image(0)] * 10})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises((FailureError, MisuseError), match=r"cut\.parquet"):
        open_parquet(str(path), CONFIG)


class NotFound(BaseHTTPRequestHandler):
    """Answers as the Hub does for a repository that does not exist."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 (the base class's name)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def empty_hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), NotFound)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_repository_that_does_not_exist_ends_in_one_line(empty_hub: str, tmp_path: Path):
    program = (
        "from synthdata.data import DataConfig, load_images\n"
        "from synthdata.errors import one_line_errors\n"
        "with one_line_errors():\n    load_images(DataConfig('hf:nobody/nothing'))\n"
    )
    environment = os.environ | {"HF_ENDPOINT": empty_hub, "HF_HOME": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: hf:nobody/nothing is neither a local folder nor a dataset")
    assert "Traceback" not in ended.stderr
