import resource
from pathlib import Path
from typing import Any

import pytest
import torch

from synthdata.errors import FailureError
from synthdata.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint


def state() -> dict[str, Any]:
    return {
        "weights": {"layer.weight": torch.randn(3, 2), "count": torch.tensor(4), "empty": torch.zeros(0)},
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}, 1: {}}, "groups": [{"lr": 1e-3, "betas": [0.0, 0.99]}]},
        "half": torch.tensor([1.5, float("inf")], dtype=torch.bfloat16),
        "recent": {"loss": 0.1, "nothing": None, "flag": True, "name": "tensor"},
    }


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_equal(one, other)
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    else:
        assert found == expected


def test_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = state()
    path = save_checkpoint(tmp_path, 12, saved, keep=2)
    step, loaded = load_checkpoint(path)
    assert step == 12
    assert_equal(loaded, saved)


def test_optimizer_state_comes_back_bit_by_bit(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1, fused=True)
    for _ in range(3):
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    path = save_checkpoint(tmp_path, 1, {"optimizer": optimizer.state_dict()}, keep=1)
    other = torch.optim.AdamW(layer.parameters(), 0.5, fused=True)
    other.load_state_dict(load_checkpoint(path)[1]["optimizer"])
    for parameter in layer.parameters():
        assert_equal(dict(other.state[parameter]), dict(optimizer.state[parameter]))


def test_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "absent") is None
    for step in (5, 10, 15, 20):
        save_checkpoint(tmp_path, step, state(), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000015", "step-000000020"]
    assert latest_checkpoint(tmp_path) == tmp_path / "step-000000020"


def test_an_unfinished_checkpoint_is_not_the_latest(tmp_path: Path) -> None:
    good = save_checkpoint(tmp_path, 5, state(), keep=2)
    (tmp_path / ".step-000000010.partial").mkdir()
    assert latest_checkpoint(tmp_path) == good


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, file: str, harm: str) -> None:
    path = save_checkpoint(tmp_path, 5, state(), keep=2)
    content = (path / file).read_bytes()
    (path / file).unlink()
    if harm == "truncated":
        (path / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(FailureError, match=r"step-000000005 is damaged .*delete it"):
        load_checkpoint(path)


def test_a_disk_without_room_costs_no_earlier_checkpoint(tmp_path: Path) -> None:
    good = save_checkpoint(tmp_path, 5, state(), keep=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(FailureError, match=r"cannot write .*step-000000010: .*make room"):
            save_checkpoint(tmp_path, 10, {"large": torch.zeros(100_000)}, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert latest_checkpoint(tmp_path) == good
    load_checkpoint(good)


def test_a_checkpoint_that_did_not_fit_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(FailureError, match="cannot write"):
            save_checkpoint(tmp_path, 10, {"large": torch.zeros(100_000)}, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
