"""Emitted datasets read back: the rows, their order, and what is done about damage."""

import hashlib
import io
import json
import tarfile
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hub.samples import write_parquet, write_webdataset
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from synthdata.data import Pairs, PairsConfig, ShuffledRows, load_pairs, shuffled_indices, stream_pairs
from synthdata.errors import FailureError, MisuseError

ROWS, SHARDS = 12, 3
STREAMING = 0.0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 hard samples and 12 pairs of 8 px, in three shards each; no test may change it."""
    return write_webdataset(tmp_path_factory.mktemp("pairs") / "tar", ROWS, SHARDS)


def keyed_images(folder: Path) -> dict[bytes, str]:
    """The name of every image, by its pixels, read without the code under test; no two are alike."""
    names: dict[bytes, str] = {}
    for path in sorted((folder / "data").rglob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".png"):
                    content = tar.extractfile(member)
                    assert content is not None
                    pixels = np.array(Image.open(io.BytesIO(content.read()))).tobytes()
                    assert pixels not in names
                    names[pixels] = f"{path.parent.name}/{member.name.removesuffix('.png')}"
    return names


def name_of(image: Tensor, names: dict[bytes, str]) -> str:
    return names[image.numpy().tobytes()]


def rows_of(pairs: Pairs) -> list[tuple[Tensor, Tensor]]:
    return [pairs[row] for row in range(len(pairs))]


def assert_same_rows(found: Pairs, expected: Pairs) -> None:
    assert len(found) == len(expected)
    for ours, theirs in zip(rows_of(found), rows_of(expected), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("resident_gib", [4.0, STREAMING])
def test_a_pair_has_its_two_images_and_a_hard_sample_its_image_twice(dataset: Path, resident_gib: float):
    names = keyed_images(dataset)
    pairs = load_pairs(PairsConfig(str(dataset), resident_gib=resident_gib))
    assert (pairs.resident is None) == (resident_gib == STREAMING)
    assert (len(pairs), pairs.channels, pairs.image_size) == (2 * ROWS, 1, 8)
    found = [tuple(name_of(image, names) for image in row) for row in rows_of(pairs)]
    # The shards deal the rows out in turn: the first has rows 0, 3, 6, 9.
    order = [row for shard in range(SHARDS) for row in range(shard, ROWS, SHARDS)]
    hard = [(f"hard/{row:08d}",) * 2 for row in order]
    assert found == hard + [(f"pairs/{row:08d}.a", f"pairs/{row:08d}.b") for row in order]


@pytest.mark.parametrize("resident_gib", [4.0, STREAMING])
@pytest.mark.parametrize("kinds", ["hard", "pairs"])
def test_one_config_can_be_read_alone(dataset: Path, kinds: str, resident_gib: float):
    names = keyed_images(dataset)
    pairs = load_pairs(PairsConfig(str(dataset), kinds, resident_gib=resident_gib))  # type: ignore[arg-type]
    assert {name_of(image, names).partition("/")[0] for row in rows_of(pairs) for image in row} == {kinds}
    assert len(pairs) == ROWS


@pytest.mark.parametrize("resident_gib", [4.0, STREAMING])
def test_parquet_holds_the_rows_of_tar_shards(tmp_path: Path, resident_gib: float):
    write_webdataset(tmp_path / "tar", rows=4, shards=1)
    write_parquet(tmp_path / "parquet", rows=4)
    tar, parquet = (
        load_pairs(PairsConfig(str(tmp_path / kind), resident_gib=resident_gib)) for kind in ("tar", "parquet")
    )
    assert len(tar) == len(parquet) == 8
    for row in range(4):
        assert torch.equal(tar[row][0], parquet[row][0])
        assert torch.equal(*parquet[row])
        assert not torch.equal(*parquet[4 + row])


@pytest.mark.parametrize("resident_gib", [4.0, STREAMING])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_row_is_read_once_by_all_ranks_and_workers_together(
    dataset: Path, ranks: int, workers: int, resident_gib: float
):
    names = keyed_images(dataset)
    pairs = load_pairs(PairsConfig(str(dataset), resident_gib=resident_gib))
    seen: Counter[str] = Counter()
    for rank in range(ranks):
        rows = ShuffledRows(pairs, seed=3, epoch=1, rank=rank, world_size=ranks)
        for first, second in DataLoader(pairs, batch_size=5, sampler=rows, num_workers=workers):
            for image_a, image_b in zip(first, second, strict=True):
                seen[f"{name_of(image_a, names)} {name_of(image_b, names)}"] += 1
    hard = {f"hard/{row:08d} hard/{row:08d}" for row in range(ROWS)}
    assert seen == dict.fromkeys(hard | {f"pairs/{row:08d}.a pairs/{row:08d}.b" for row in range(ROWS)}, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_taken_up_in_its_middle(dataset: Path, workers: int):
    pairs = load_pairs(PairsConfig(str(dataset)))
    whole = [first for first, _ in DataLoader(pairs, batch_size=4, sampler=ShuffledRows(pairs, seed=1, epoch=2))]
    later = ShuffledRows(pairs, seed=1, epoch=2, start=3 * 4)
    rest = [first for first, _ in DataLoader(pairs, batch_size=4, sampler=later, num_workers=workers)]
    assert len(rest) == len(whole) - 3
    assert all(torch.equal(one, other) for one, other in zip(rest, whole[3:], strict=True))


def test_epochs_and_seeds_have_orders_of_their_own(dataset: Path):
    pairs = load_pairs(PairsConfig(str(dataset)))
    orders = {tuple(ShuffledRows(pairs, seed, epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))}
    assert len(orders) == 3
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(2 * ROWS))}


def test_batches_for_training_are_the_same_from_memory_and_from_shards(dataset: Path):
    batches = []
    for resident_gib in (4.0, STREAMING):
        pairs = load_pairs(PairsConfig(str(dataset), resident_gib=resident_gib))
        order = shuffled_indices(pairs.shard_rows, 6, seed=0, start=2)
        batches.append(list(islice(stream_pairs(pairs, order, "cpu", workers=0), 5)))
    for resident, streamed in zip(*batches, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(resident, streamed, strict=True))


def spoil(path: Path) -> None:
    """Flip one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


HARMS = {
    "a flipped bit": spoil,
    "a cut": lambda path: path.write_bytes(path.read_bytes()[:3000]),
    "no content": lambda path: path.write_bytes(b""),
    "no file": Path.unlink,
}


@pytest.fixture(params=HARMS)
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A dataset of three shards of four pairs each, the middle one damaged."""
    folder = write_webdataset(tmp_path / "damaged", ROWS, SHARDS)
    HARMS[request.param](folder / "data/pairs/pairs-00001-of-00003.tar")
    return folder


def test_a_damaged_shard_is_refused_with_its_name_and_the_mend(damaged: Path):
    with pytest.raises(FailureError, match=r"pairs-00001-of-00003\.tar.*--on_corrupt skip"):
        load_pairs(PairsConfig(str(damaged), "pairs"))


def test_a_damaged_shard_is_skipped_and_counted_on_request(damaged: Path, caplog: pytest.LogCaptureFixture):
    pairs = load_pairs(PairsConfig(str(damaged), "pairs", "skip"))
    assert pairs.damaged == {"data/pairs/pairs-00001-of-00003.tar"}
    assert [record.getMessage() for record in caplog.records] == [
        f"shard data/pairs/pairs-00001-of-00003.tar of {damaged} is damaged: it is skipped"
    ]
    intact = write_webdataset(damaged.parent / "intact", ROWS, SHARDS)
    expected = load_pairs(PairsConfig(str(intact), "pairs"))
    kept = [row for row in range(ROWS) if not 4 <= row < 8]
    assert len(pairs) == len(kept)
    for row, original in enumerate(kept):
        assert torch.equal(pairs[row][1], expected[original][1])


def test_rows_of_a_damaged_shard_are_replaced_when_they_are_read_as_needed(tmp_path: Path):
    folder = write_webdataset(tmp_path / "damaged", ROWS, SHARDS)
    spoil(folder / "data/pairs/pairs-00001-of-00003.tar")
    pairs = load_pairs(PairsConfig(str(folder), "pairs", "skip", STREAMING))
    (first, _), *_ = stream_pairs(pairs, [torch.arange(ROWS)], "cpu", workers=1)
    assert torch.equal(first[4:8], first[8:])
    assert pairs.damaged == {"data/pairs/pairs-00001-of-00003.tar"}


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_shard_met_by_a_worker_is_told_in_one_line(tmp_path: Path, workers: int):
    folder = write_webdataset(tmp_path / "damaged", ROWS, SHARDS)
    spoil(folder / "data/pairs/pairs-00001-of-00003.tar")
    pairs = load_pairs(PairsConfig(str(folder), "pairs", resident_gib=STREAMING))
    with pytest.raises(FailureError, match=r"^shard data/pairs/pairs-00001-of-00003\.tar of .* is damaged \(.*skip$"):
        list(stream_pairs(pairs, [torch.arange(ROWS)], "cpu", workers))


def test_a_dataset_without_an_intact_shard_is_told(tmp_path: Path):
    folder = write_webdataset(tmp_path / "damaged", rows=2, shards=1)
    spoil(folder / "data/pairs/pairs-00000-of-00001.tar")
    with pytest.raises(FailureError, match=r"every shard of .*damaged is damaged"):
        load_pairs(PairsConfig(str(folder), "pairs", "skip"))


def test_images_of_another_size_than_asked_are_refused(dataset: Path):
    with pytest.raises(MisuseError, match=r"has images of 8 px, not 16: set --data\.image_size 8"):
        load_pairs(PairsConfig(str(dataset)), image_size=16, channels=1)


def test_an_image_of_another_size_among_the_others_is_refused(tmp_path: Path):
    folder = write_webdataset(tmp_path / "odd", rows=2, shards=1)
    shard = folder / "data/hard/hard-00000-of-00001.tar"
    with tarfile.open(shard, "w") as tar:
        for number, size in enumerate((8, 9)):
            content = io.BytesIO()
            Image.new("L", (size, size)).save(content, "png")
            info = tarfile.TarInfo(f"{number}.png")
            info.size = content.tell()
            content.seek(0)
            tar.addfile(info, content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for record in manifest["shards"]:
        record["sha256"] = hashlib.sha256((folder / record["path"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        MisuseError, match=r"row 1 of shard data/hard/\S+ of .*odd: an image of 9 x 9 px among those of 8"
    ):
        load_pairs(PairsConfig(str(folder), "hard"))


def test_a_config_that_the_dataset_lacks_is_told(tmp_path: Path):
    folder = write_webdataset(tmp_path / "both", rows=2, shards=1)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"] = [shard for shard in manifest["shards"] if shard["kind"] == "hard"]
    del manifest["kinds"]["pairs"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(MisuseError, match="has no config pairs, only hard"):
        load_pairs(PairsConfig(str(folder), "pairs"))


@pytest.mark.parametrize("source", ["absent", "./a/b", "/no/such/folder", "a/b/c", "hf://models/a/b"])
def test_what_is_no_dataset_is_told(source: str):
    with pytest.raises(MisuseError, match=r"is no folder: (give a dataset directory|write hf:)"):
        load_pairs(PairsConfig(source))


def test_a_folder_without_a_manifest_is_told(tmp_path: Path):
    with pytest.raises(MisuseError, match=r"has no manifest\.json: name a finished dataset"):
        load_pairs(PairsConfig(str(tmp_path)))


@pytest.mark.parametrize("content", ["{", "[]", '{"shards": [{"path": "x"}]}'])
def test_a_damaged_manifest_is_told(tmp_path: Path, content: str):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(FailureError, match=r"manifest\.json of .* is damaged"):
        load_pairs(PairsConfig(str(tmp_path)))


def test_greyscale_rows_are_read_in_colour_beside_images_in_colour(dataset: Path):
    grey, colour = load_pairs(PairsConfig(str(dataset))), load_pairs(PairsConfig(str(dataset)), 8, channels=3)
    assert torch.equal(colour[0][0], grey[0][0].expand(3, 8, 8))
