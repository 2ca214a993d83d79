"""Mutated manifests, plans, settings and encoders: sound, or refused in the words of this project."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.samples import write_webdataset
from hypothesis import example, given
from hypothesis import strategies as st

from hostile.mutations import alterations, altered, campaign, changed, mutated
from synthdata.configuration import parse
from synthdata.data import PairsConfig, load_pairs
from synthdata.emission import finish_dataset, read_manifest, verify_dataset
from synthdata.emission.manifest import MANIFEST, PLAN, WORK
from synthdata.models import Encoder
from synthdata.run_files import read_run
from synthdata.training import JointConfig

Survives = Callable[[Callable[[], object]], None]

SETTINGS = {
    "seed": 3,
    "arm": "both",
    "train": {"steps": 7, "batch_size": 32},
    "views": {"crop_scale": [0.5, 1.0]},
    "data": {"source": "digits", "limit": 100},
    "output_dir": "runs/x",
}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(9 * [f'*{before}'])}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def texts(sound: Any, dump: Callable[[Any], bytes] = dumped) -> st.SearchStrategy[bytes]:
    """The file of ``sound`` with other values in it, or other bytes."""
    changes = alterations()
    return st.one_of(changes.map(lambda several: dump(altered(sound, several))), mutated([dump(sound)]))


@pytest.fixture(scope="module")
def dataset(yard: Path) -> Path:
    return write_webdataset(yard / "dataset", rows=2, shards=1)


@campaign(150)
@given(data=st.data())
def test_mutated_manifests(survives: Survives, dataset: Path, yard: Path, data: st.DataObject) -> None:
    sound = json.loads((dataset / MANIFEST).read_text())
    copy = yard / "copy"
    shutil.copytree(dataset, copy, dirs_exist_ok=True)
    (copy / MANIFEST).write_bytes(data.draw(texts(sound)))
    for reading in (read_manifest, verify_dataset, finish_dataset):
        survives(lambda reading=reading: reading(copy))
    survives(lambda: load_pairs(PairsConfig(str(copy))))


@campaign(100)
@given(data=st.data())
def test_mutated_plans(survives: Survives, dataset: Path, yard: Path, data: st.DataObject) -> None:
    manifest = json.loads((dataset / MANIFEST).read_text())
    copy = yard / "begun"
    shutil.copytree(dataset, copy, dirs_exist_ok=True)
    (copy / MANIFEST).unlink(missing_ok=True)
    (copy / WORK).mkdir(exist_ok=True)
    (copy / WORK / PLAN).write_bytes(data.draw(texts(manifest)))
    survives(lambda: finish_dataset(copy))


@campaign(30)
@given(content=texts(SETTINGS, lambda tree: yaml.safe_dump(tree).encode(errors="surrogateescape")))
@example(content=BOMB.encode())
@example(content=b"train:\n")
@example(content=b"data: null\n")
@example(content="seed: 3\n".encode("utf-16"))
@example(content=b"[" * 10_000)
@example(content=b"a: &a [*a]\n")
@example(content=b"seed: !!python/object/apply:os.system [touch x]\n")
@example(content=b"seed: 1\nseed: 2\n")
def test_mutated_settings(survives: Survives, yard: Path, content: bytes) -> None:
    (yard / "config.yaml").write_bytes(content)
    survives(lambda: read_run(yard))
    survives(lambda: parse(JointConfig, "", ["--config", str(yard / "config.yaml")]))


@pytest.fixture(scope="module")
def encoder(yard: Path) -> Path:
    Encoder("resnet8", image_size=8, channels=1, width=2, hidden_dim=4, projection_dim=4).save_pretrained(
        yard / "encoder"
    )
    return yard / "encoder"


@campaign(150)
@given(data=st.data())
def test_mutated_encoders(survives: Survives, encoder: Path, yard: Path, data: st.DataObject) -> None:
    copy = yard / "other"
    shutil.copytree(encoder, copy, dirs_exist_ok=True)
    if data.draw(st.booleans()):
        (copy / "config.json").write_bytes(data.draw(texts(json.loads((encoder / "config.json").read_text()))))
    else:
        weights = (encoder / "model.safetensors").read_bytes()
        (copy / "model.safetensors").write_bytes(data.draw(mutated([weights, changed(weights, [("cut", 900, b"")])])))
    survives(lambda: Encoder.from_pretrained(copy))
