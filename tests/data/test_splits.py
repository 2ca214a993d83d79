import pytest
import torch

from synthdata.data.splits import divide
from synthdata.errors import MisuseError


def test_every_image_is_in_exactly_one_split():
    division = divide(1000, None, own=(), source="x")
    parts = [division.train, division.validation, division.test]
    assert [len(part) for part in parts] == [800, 100, 100]
    assert torch.cat(parts).sort().values.tolist() == list(range(1000))


def test_validation_is_at_most_5000_images():
    division = divide(100_000, None, own={"test"}, source="x")
    assert len(division.validation) == 5000
    assert division.test is None


def test_a_source_with_its_own_splits_keeps_its_training_images_whole():
    division = divide(50, None, own={"test", "validation"}, source="x")
    assert len(division.train) == 50
    assert division.validation is None


def test_any_prefix_of_a_sorted_source_is_class_balanced_enough():
    labels = torch.arange(10).repeat_interleave(1000)
    division = divide(10_000, labels, own=(), source="x")
    assert labels[division.train[:1000]].bincount(minlength=10).min() > 70


def test_held_out_images_are_labelled_ones():
    labels = torch.cat([torch.full((900,), -1), torch.zeros(100, dtype=torch.long)])
    division = divide(1000, labels, own=(), source="x")
    assert len(division.test) == 10
    assert (labels[division.test] == 0).all()
    assert (labels[division.validation] == 0).all()
    assert len(division.train) == 980


def test_three_images_are_just_enough_for_three_splits():
    division = divide(3, None, own=(), source="x")
    assert [len(part) for part in (division.train, division.validation, division.test)] == [1, 1, 1]
    with pytest.raises(MisuseError, match="x has 2 readable training image"):
        divide(2, None, own=(), source="x")
