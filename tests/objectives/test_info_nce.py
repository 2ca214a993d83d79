import math

import pytest
import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from processes import TwoProcesses
from torch import Tensor

from synthdata.objectives import batch_info_nce, queue_info_nce
from synthdata.rng import generator_at


def embeddings(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.double, generator=generator_at("info nce", *shape)), dim=-1)


def test_queue_info_nce_is_that_of_lightlys_memory_bank() -> None:
    queries, keys = embeddings(2, 7, 6).float()
    theirs = NTXentLoss(temperature=0.2, memory_bank_size=(16, 6))
    queue = theirs.memory_bank.bank.clone()
    assert queue_info_nce(queries, keys, queue, 0.2).item() == pytest.approx(theirs(queries, keys).item(), abs=1e-5)


def test_batch_info_nce_is_the_mean_surprise_at_each_querys_key() -> None:
    queries, keys = embeddings(2, 5, 6)
    loss = 0.0
    for i, query in enumerate(queries.tolist()):
        weights = [math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / 0.3) for key in keys.tolist()]
        loss -= math.log(weights[i] / sum(weights)) / 5
    assert batch_info_nce(queries, keys, 0.3).item() == pytest.approx(loss, rel=1e-9)


def half_batch_loss(rank: int, whole: Tensor) -> Tensor:
    queries, keys = (half.chunk(2)[rank] for half in whole)
    return batch_info_nce(queries, keys, 0.2)


def test_two_processes_share_their_keys(two_processes: TwoProcesses) -> None:
    whole = embeddings(2, 12, 6)
    halves = two_processes.run(half_batch_loss, whole)
    torch.testing.assert_close(sum(halves) / 2, batch_info_nce(*whole, 0.2))
