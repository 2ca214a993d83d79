import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthdata.data import DataConfig, load_images
from synthdata.data.decode import decode
from synthdata.errors import MisuseError

FILES = [f"{'ab'[number % 2]}/{number:02}.png" for number in range(40)]


def load(folder: Path, **options):
    return load_images(DataConfig(f"imagefolder:{folder}", **({"image_size": 8} | options)))


def test_limit_takes_the_first_training_images_and_nothing_else(make_folder):
    folder = make_folder(FILES)
    whole, limited = load(folder), load(folder, limit=5)
    assert torch.equal(limited.train.pixels, whole.train.pixels[:5])
    assert torch.equal(limited.labelled.pixels, whole.train.pixels)
    assert torch.equal(limited.test.pixels, whole.test.pixels)
    assert len(load(folder, limit=10**6).train) == len(whole.train)


def test_limit_decodes_what_is_used_and_chooses_as_without(make_folder, monkeypatch):
    folder = make_folder(FILES)
    whole = load(folder)
    decoded = []
    monkeypatch.setattr("synthdata.data.images.decode", lambda *image: decoded.append(image[0]) or decode(*image))
    limited = load(folder, limit=5)
    assert len(decoded) == 5
    assert torch.equal(limited.train.source_indices, whole.train.source_indices[:5])
    assert torch.equal(limited.validation.source_indices, whole.validation.source_indices)
    assert len(decoded) == 5 + len(whole.validation)


def test_a_limit_is_met_where_images_are_damaged(make_folder, caplog):
    folder = make_folder(FILES)
    first = load(folder).train.source_indices[:3].tolist()
    (folder / sorted(FILES)[first[1]]).write_bytes(b"")
    limited = load(folder, limit=5)
    assert len(limited.train) == 5
    assert limited.skipped == 1
    assert limited.train.source_indices[:2].tolist() == [first[0], first[2]]


def test_sizes_that_no_memory_holds_say_how_much_they_would_take(make_folder, monkeypatch):
    folder = make_folder(FILES)
    with pytest.raises(MisuseError, match=r"one image of 1,000,000 x 1,000,000 px would take 2,794.0 GiB"):
        load(folder, image_size=1_000_000)
    monkeypatch.setattr("synthdata.memory.memory_bytes", lambda: 40 * 3 * 64**2 - 1)
    with pytest.raises(MisuseError, match=r"40 decoded images would take .* lower --data\.resident_gib"):
        load(folder, image_size=64)
    assert len(load(folder, image_size=64, resident_gib=0).train) == 32


def test_mixed_sizes_end_in_one_shape(tmp_path: Path):
    for number, size in enumerate([(1, 1), (8, 8), (50, 20), (20, 50), (20_000, 8), (7, 9)] * 2):
        Image.new("RGB", size, (number, 0, 0)).save(tmp_path / f"{number:02}.png")
    data = load(tmp_path)
    assert data.train.pixels.shape == (10, 3, 8, 8)
    for pixels, row in zip(data.train.pixels, data.train.source_indices, strict=True):
        assert (pixels[0] == row).all()


@pytest.mark.parametrize(("last", "channels"), [("L", 1), ("I;16", 1), ("RGB", 3)])
def test_one_channel_only_when_every_image_is_greyscale(make_folder, last: str, channels: int):
    folder = make_folder(FILES, mode="L")
    Image.new(last, (8, 8)).save(folder / "b" / "last.png")
    data = load(folder)
    assert data.channels == data.train.channels == channels
    assert data.train[0].shape == (channels, 8, 8)


@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGB", 1)])
def test_images_are_converted_to_the_channels_asked_for(make_folder, mode: str, channels: int):
    folder = make_folder(FILES, mode=mode)
    data = load(folder, channels=channels)
    assert (data.channels, data.train[0].shape[0]) == (channels, channels)
    file = folder / sorted(FILES)[int(data.train.source_indices[0])]
    with Image.open(file) as image:
        converted = np.asarray(image.convert("L" if channels == 1 else "RGB").resize((8, 8), Image.Resampling.BICUBIC))
    found = data.train[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - converted.reshape(8, 8, channels)).max() <= 1


def test_a_few_bad_files_are_left_out_with_one_counted_warning(make_folder, encode_image, caplog):
    folder = make_folder(FILES)
    (folder / "a" / "00.png").write_text("text under a picture's name")
    (folder / "b" / "cut.jpg").write_bytes(encode_image(0, size=(64, 64), kind="JPEG")[:2000])
    with caplog.at_level(logging.WARNING, logger="synthdata.data"):
        data = load(folder)
    assert data.skipped == 2
    assert len(data.train) + len(data.validation) + len(data.test) == 39
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "2 of 41 images cannot be read" in warnings[0]
    assert str(folder / "a" / "00.png") in warnings[0]


def test_bad_files_do_not_shift_labels(make_folder):
    folder = make_folder(FILES)
    (folder / "a" / "00.png").write_bytes(b"")
    data = load(folder)
    paths = sorted(FILES)
    assert data.train.labels.tolist() == [paths[row].startswith("b") for row in data.train.source_indices]
    assert 0 not in data.train.source_indices.tolist()


def test_a_bad_file_on_disk_is_replaced_by_its_neighbour(make_folder):
    folder = make_folder(FILES)
    (folder / "a" / "00.png").write_bytes(b"")
    images = load(folder, resident_gib=0).train
    position = images.source_indices.tolist().index(0)
    assert torch.equal(images[position], images[position + 1])


def test_only_bad_files_is_misuse(tmp_path: Path):
    for number in range(5):
        (tmp_path / f"{number}.png").write_text("no picture")
    with pytest.raises(MisuseError, match=r"none of the images .* can be read, first .*0\.png"):
        load(tmp_path)


def test_files_with_good_headers_and_no_content_are_misuse(tmp_path: Path, encode_image):
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(encode_image(number, size=(64, 64), kind="JPEG")[:2000])
    with pytest.raises(MisuseError, match=r"5 of 5 images cannot be read, first .*0\.jpg"):
        load(tmp_path)


def test_too_few_images_is_misuse(make_folder):
    with pytest.raises(MisuseError, match="too few"):
        load(make_folder(FILES[:2]))


def test_decompression_bombs_are_bad_files(make_folder, recwarn):
    folder = make_folder(FILES)
    Image.new("1", (20_000, 5_000)).save(folder / "a" / "00.png")
    data = load(folder)
    assert data.skipped == 1
    assert [str(warning.message) for warning in recwarn] == []


def test_repeated_loads_are_equal(make_folder):
    folder = make_folder(FILES)
    first, second = load(folder), load(folder)
    for name in ("train", "validation", "test"):
        assert np.array_equal(getattr(first, name).pixels, getattr(second, name).pixels)


def test_a_misspelt_source_lists_the_known_ones():
    with pytest.raises(MisuseError, match="did you mean imagefolder") as error:
        load_images(DataConfig("imagefoldr:photos"))
    for known in ("digits", "imagefolder:PATH", "hf:", "parquet:PATH", "wds:GLOB", "torchvision:NAME"):
        assert known in str(error.value)


def test_a_bare_path_is_told_what_to_write(tmp_path: Path):
    with pytest.raises(MisuseError, match=f"did you mean imagefolder:{tmp_path}"):
        load_images(DataConfig(str(tmp_path)))


@pytest.mark.parametrize("wrong", [{"image_size": 0}, {"limit": 0}, {"workers": -1}, {"resident_gib": -1}])
def test_numbers_out_of_range_are_named(wrong: dict):
    with pytest.raises(MisuseError, match=f"data.{next(iter(wrong))} is"):
        load_images(DataConfig(**wrong))
