import torch
from processes import TwoProcesses
from torch import Tensor

from synthdata.objectives import all_gather_with_gradient
from synthdata.rng import generator_at


def test_in_one_process_the_rows_are_returned() -> None:
    rows = torch.zeros(3, 2)
    assert all_gather_with_gradient(rows) is rows


def gather(rank: int, whole: Tensor, weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    rows = whole.chunk(2)[rank].clone().requires_grad_()
    gathered = all_gather_with_gradient(rows)
    (gathered * weights[rank]).sum().backward()
    assert rows.grad is not None
    return gathered.detach(), rows.grad


def test_every_process_sees_all_rows_and_a_row_gets_the_gradients_of_all_its_uses(two_processes: TwoProcesses) -> None:
    whole, *weights = torch.randn(3, 4, 2, generator=generator_at("rows"))
    results = two_processes.run(gather, whole, weights)
    for rank, (gathered, gradient) in enumerate(results):
        assert torch.equal(gathered, whole)
        torch.testing.assert_close(gradient, (weights[0] + weights[1]).chunk(2)[rank])
