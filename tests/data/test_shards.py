import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import webdataset
from PIL import Image

from synthdata.data import DataConfig, load_images
from synthdata.data.decode import UnreadableImageError
from synthdata.data.shards import open_shards, read_samples
from synthdata.errors import FailureError, MisuseError

CONFIG = DataConfig(image_size=8)


def write_shards(folder: Path, samples: list[dict]) -> str:
    """Two shards, written by webdataset itself."""
    with webdataset.ShardWriter(f"{folder}/part-%02d.tar", maxcount=(len(samples) + 1) // 2, verbose=0) as writer:
        for number, sample in enumerate(samples):
            writer.write({"__key__": f"{number:04}"} | sample)
    return f"{folder}/part-*.tar"


def test_images_and_cls_labels_come_back_in_order(tmp_path: Path, encode_image):
    images = [encode_image(number) for number in range(20)]
    pattern = write_shards(tmp_path, [{"png": image, "cls": n % 3} for n, image in enumerate(images)])
    split = open_shards(pattern, CONFIG).splits["train"]
    assert [split.rows.read(row) for row in range(20)] == images
    assert split.labels.tolist() == [n % 3 for n in range(20)]


def test_splits_read_the_right_pixels(tmp_path: Path, encode_image):
    images = [encode_image(number) for number in range(20)]
    data = load_images(DataConfig(f"wds:{write_shards(tmp_path, [{'png': image} for image in images])}", image_size=8))
    assert data.classes is None
    assert data.train.labels is None
    for pixels, row in zip(data.train.pixels, data.train.source_indices, strict=True):
        expected = np.asarray(Image.open(io.BytesIO(images[row]))).transpose(2, 0, 1)
        assert np.array_equal(pixels.numpy(), expected)


def test_labels_come_from_json(tmp_path: Path, encode_image):
    samples = [{"png": encode_image(n), "json": {"label": ["b", "a"][n % 2], "fine": n % 5}} for n in range(10)]
    pattern = write_shards(tmp_path, samples)
    source = open_shards(pattern, CONFIG)
    assert source.classes == ["a", "b"]
    assert source.splits["train"].labels.tolist() == [1, 0] * 5
    fine = open_shards(pattern, DataConfig(label_column="fine"))
    assert fine.splits["train"].labels.tolist() == [0, 1, 2, 3, 4] * 2


def test_the_first_image_of_a_pair_is_taken_unless_one_is_named(tmp_path: Path, encode_image):
    pattern = write_shards(tmp_path, [{"b.png": encode_image(2), "a.png": encode_image(1), "txt": "pair"}] * 2)
    assert open_shards(pattern, CONFIG).splits["train"].rows.read(0) == encode_image(1)
    named = open_shards(pattern, DataConfig(image_column="b.png"))
    assert named.splits["train"].rows.read(0) == encode_image(2)


def test_a_shard_that_vanishes_makes_its_images_unreadable(tmp_path: Path, encode_image):
    pattern = write_shards(tmp_path, [{"png": encode_image(number)} for number in range(20)])
    rows = open_shards(pattern, CONFIG).splits["train"].rows
    (tmp_path / "part-00.tar").unlink()
    with pytest.raises(UnreadableImageError, match=r"part-00\.tar"):
        rows.read(0)
    assert rows.read(19) == encode_image(19)


def test_no_matching_file_is_told(tmp_path: Path):
    with pytest.raises(MisuseError, match="matches no file"):
        open_shards(f"{tmp_path}/*.tar", CONFIG)


def test_shards_without_images_name_what_they_hold(tmp_path: Path):
    with pytest.raises(MisuseError, match="only json, txt"):
        open_shards(write_shards(tmp_path, [{"txt": "a", "json": {}}] * 2), CONFIG)


def test_an_address_of_an_unknown_scheme_is_refused():
    with pytest.raises(MisuseError, match="https:// is no scheme that is known here: give a path, or one of s3"):
        open_shards("https://example.com/a.tar", CONFIG)


def test_a_shard_that_is_cut_off_is_named(tmp_path: Path, encode_image):
    shard = tmp_path / "cut.tar"
    with tarfile.open(shard, "w") as archive:
        for number in range(4):
            image = encode_image(number, size=(40, 40))
            info = tarfile.TarInfo(f"{number}.png")
            info.size = len(image)
            archive.addfile(info, io.BytesIO(image))
    shard.write_bytes(shard.read_bytes()[:11_000])
    with pytest.raises(FailureError, match=r"cut\.tar"):
        open_shards(str(shard), CONFIG)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b compressed"])
def test_a_file_that_is_no_tar_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises((FailureError, MisuseError), match=r"bad\.tar"):
        open_shards(str(tmp_path / "bad.tar"), CONFIG)


def pack(shard: Path, members: dict[str, bytes], **options) -> bytes:
    with tarfile.open(shard, "w", **options) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return shard.read_bytes()


def test_a_shard_cut_at_any_header_is_cut_off(tmp_path: Path, encode_image):
    shard = tmp_path / "cut.tar"
    content = pack(shard, {f"{number}.png": encode_image(number) for number in range(6)})
    headers = [index_of.members["png"].offset - 512 for index_of in read_samples(0, str(shard))]
    for cut in [*headers, *(header + 100 for header in headers), headers[-1] + 1024]:
        shard.write_bytes(content[:cut])
        with pytest.raises(FailureError, match=r"cut\.tar.* (is cut off|cannot be read)"):
            open_shards(str(shard), CONFIG)
    assert content[headers[-1] + 1024 :].strip(b"\0") == b""


def test_a_flipped_bit_in_a_header_is_damage_and_not_the_end(tmp_path: Path, encode_image):
    shard = tmp_path / "flipped.tar"
    content = bytearray(pack(shard, {f"{number}.png": encode_image(number) for number in range(6)}))
    content[next(sample for sample in read_samples(0, str(shard))).members["png"].offset + 512 + 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(FailureError, match=r"flipped\.tar is damaged at byte 1,024"):
        open_shards(str(shard), CONFIG)


def test_two_archives_in_one_file_are_not_read_as_the_first_alone(tmp_path: Path, encode_image):
    shard = tmp_path / "two.tar"
    shard.write_bytes(2 * pack(shard, {"0.png": encode_image(0)}))
    with pytest.raises(FailureError, match=r"two\.tar is damaged"):
        open_shards(str(shard), CONFIG)


def test_skip_takes_the_whole_samples_before_the_damage_and_tells(tmp_path: Path, encode_image, caplog):
    shard = tmp_path / "cut.tar"
    members = {name: content for n in range(6) for name, content in ((f"{n}.png", encode_image(n)), (f"{n}.cls", b"7"))}
    content = pack(shard, members)
    last = [sample.members["cls"].offset for sample in read_samples(0, str(shard))][3]
    shard.write_bytes(content[: last - 100])
    with pytest.raises(FailureError, match=r"--data\.on_corrupt skip"):
        open_shards(str(shard), CONFIG)
    split = open_shards(str(shard), DataConfig(on_corrupt="skip")).splits["train"]
    assert [split.rows.read(row) for row in range(3)] == [encode_image(number) for number in range(3)]
    assert len(split.rows) == 3
    assert "what follows its first 3 samples is left out" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"size": "9" * 5000},
        {"size": "-1"},
        {"size": "nonsense"},
        {"size": str(2**70)},
        {"path": "a" * 100_000},
        {"path": "x\0y.png"},
        {"GNU.sparse.map": "1,2,3,nonsense"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
        {"hdrcharset": "BINARY", "path": "\udcff.png"},
        {"mtime": "nan", "uid": "1e999"},
    ],
)
def test_nonsense_in_pax_headers_ends_in_an_error_or_in_images(tmp_path: Path, encode_image, headers: dict[str, str]):
    shard = tmp_path / "pax.tar"
    info = tarfile.TarInfo("0.png")
    info.size, info.pax_headers = len(encode_image(0)), headers
    with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info, io.BytesIO(encode_image(0)))
    try:
        rows = open_shards(str(shard), CONFIG).splits["train"].rows
    except (FailureError, MisuseError):
        return
    assert [rows.read(row) for row in range(len(rows))] == [encode_image(0)]


def test_labels_of_thousands_of_digits_are_names(tmp_path: Path, encode_image):
    shard = tmp_path / "digits.tar"
    pack(shard, {"0.png": encode_image(0), "0.cls": b"9" * 5000})
    assert open_shards(str(shard), CONFIG).classes == ["9" * 5000]
    pack(shard, {"0.png": encode_image(0), "0.json": b'{"label": ' + b"9" * 5000 + b"}"})
    with pytest.raises(FailureError, match=r"0\.json is not JSON"):
        open_shards(str(shard), CONFIG)
    pack(shard, {"0.png": encode_image(0), "0.json": b"[" * 100_000})
    with pytest.raises(FailureError, match=r"0\.json is not JSON"):
        open_shards(str(shard), CONFIG)


def test_a_shard_of_two_names_is_read_once_and_told(tmp_path: Path, encode_image, caplog):
    pattern = write_shards(tmp_path, [{"png": encode_image(number)} for number in range(20)])
    (tmp_path / "part-99.tar").symlink_to("part-00.tar")
    assert len(open_shards(pattern, CONFIG).splits["train"].rows) == 20
    assert "part-99.tar is" in caplog.text


def test_a_pattern_that_crosses_folders_follows_no_link_to_a_folder(tmp_path: Path, encode_image):
    write_shards(tmp_path, [{"png": encode_image(number)} for number in range(20)])
    for name in "ab":
        (tmp_path / name).symlink_to(".")
    assert len(open_shards(f"{tmp_path}/**/*.tar", CONFIG).splits["train"].rows) == 20


def test_json_that_is_none_is_told(tmp_path: Path, encode_image):
    shard = tmp_path / "broken.tar"
    with tarfile.open(shard, "w") as archive:
        for name, content in {"0.json": json.dumps({})[:1].encode(), "0.png": encode_image(0)}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with pytest.raises(FailureError, match=r"0\.json is not JSON"):
        open_shards(str(shard), CONFIG)
