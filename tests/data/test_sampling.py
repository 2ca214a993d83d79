from itertools import islice

import pytest
import torch

from synthdata.data import shuffled_indices
from synthdata.errors import MisuseError


def test_each_epoch_reads_each_image_once():
    batches = list(islice(shuffled_indices(12, 4, seed=0), 6))
    for epoch in (batches[:3], batches[3:]):
        assert torch.cat(epoch).sort().values.tolist() == list(range(12))
    assert batches[0].tolist() != batches[3].tolist()


def test_no_image_is_left_out_when_batches_straddle_epochs():
    entries = torch.cat(list(islice(shuffled_indices(10, 4, seed=0), 5)))
    assert entries[:10].sort().values.tolist() == entries[10:].sort().values.tolist() == list(range(10))


def test_any_step_can_be_reached_directly():
    from_start = list(islice(shuffled_indices(10, 4, seed=3), 20))
    from_step_13 = list(islice(shuffled_indices(10, 4, seed=3, start=13), 7))
    assert all(torch.equal(a, b) for a, b in zip(from_start[13:], from_step_13, strict=True))


@pytest.mark.parametrize("start", [0, 7])
def test_ranks_together_read_the_batch_of_one_process(start: int):
    whole = islice(shuffled_indices(10, 6, seed=1, start=start), 9)
    shares = [shuffled_indices(10, 6, seed=1, start=start, rank=rank, world_size=3) for rank in range(3)]
    for batch in whole:
        assert torch.equal(torch.cat([next(share) for share in shares]), batch)


def test_seeds_differ():
    assert next(shuffled_indices(100, 50, seed=0)).tolist() != next(shuffled_indices(100, 50, seed=1)).tolist()


def test_a_batch_larger_than_the_data_is_told_at_once():
    with pytest.raises(MisuseError, match="batch of 128 is larger than the data, 100 images"):
        shuffled_indices(100, 128, seed=0)


def test_a_batch_that_ranks_cannot_share_is_told_at_once():
    with pytest.raises(MisuseError, match="does not divide into 3 processes"):
        shuffled_indices(100, 64, seed=0, world_size=3)
