import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.objectives import bounded_hardness, hardness, nt_xent
from synthdata.rng import generator_at


def unit(purpose: str, count: int) -> Tensor:
    return F.normalize(torch.randn(count, 5, generator=generator_at(purpose), dtype=torch.float64), dim=1)


def surprise(anchor: Tensor, positive: Tensor, negatives: list[Tensor], temperature: float) -> float:
    """−log of the positive's share of the exponentiated similarities."""
    share = math.exp(float(anchor @ positive) / temperature)
    return -math.log(share / (share + sum(math.exp(float(anchor @ row) / temperature) for row in negatives)))


def test_hardness_is_the_surprise_of_both_views_against_the_bank() -> None:
    view_1, view_2, bank = unit("view 1", 4), unit("view 2", 4), unit("bank", 7)
    for i, value in enumerate(hardness(view_1, view_2, bank, 0.4).tolist()):
        expected = [surprise(view_1[i], view_2[i], list(bank), 0.4), surprise(view_2[i], view_1[i], list(bank), 0.4)]
        assert value == pytest.approx(sum(expected) / 2, rel=1e-9)


def test_a_samples_own_rows_of_the_bank_are_no_negatives() -> None:
    view_1, view_2 = unit("view 1", 4), unit("view 2", 4)
    values = hardness(view_1, view_2, view_1, 0.4, own=torch.eye(4, dtype=torch.bool))
    for i, value in enumerate(values.tolist()):
        others = [row for j, row in enumerate(view_1) if j != i]
        expected = [surprise(view_1[i], view_2[i], others, 0.4), surprise(view_2[i], view_1[i], others, 0.4)]
        assert value == pytest.approx(sum(expected) / 2, rel=1e-9)


def test_mean_hardness_over_the_rest_of_a_batch_is_its_contrastive_loss() -> None:
    view_1, view_2 = unit("view 1", 6), unit("view 2", 6)
    bank = torch.cat([view_1, view_2])
    own = torch.eye(6, dtype=torch.bool).repeat(1, 2)
    torch.testing.assert_close(hardness(view_1, view_2, bank, 0.4, own).mean(), nt_xent(view_1, view_2, 0.4))


def test_hardness_of_a_sample_does_not_depend_on_the_other_samples() -> None:
    view_1, view_2, bank = unit("view 1", 4), unit("view 2", 4), unit("bank", 7)
    torch.testing.assert_close(hardness(view_1[2:3], view_2[2:3], bank, 0.4), hardness(view_1, view_2, bank, 0.4)[2:3])


def test_agreeing_views_are_easier_than_disagreeing_ones() -> None:
    view, bank = unit("view 1", 4), unit("bank", 7)
    assert (hardness(view, view, bank, 0.2) < hardness(view, -view, bank, 0.2)).all()


def paid_gradient(value: float, realism: float) -> float:
    """Gradient of what one sample is paid, by its hardness, under a ceiling of 5 nats and a realism floor of 0."""
    sample = torch.tensor([value], requires_grad=True)
    bounded_hardness(sample, torch.tensor([realism]), torch.tensor(5.0), torch.tensor(0.0)).backward()
    assert sample.grad is not None
    return sample.grad.item()


def test_hardness_is_paid_in_full_far_below_the_ceiling_and_no_more_above_it() -> None:
    assert paid_gradient(-5.0, realism=1.0) == pytest.approx(1, abs=1e-3)
    assert paid_gradient(5.0, realism=1.0) == pytest.approx(0.5)
    assert paid_gradient(15.0, realism=1.0) == pytest.approx(0, abs=1e-3)
    paid = bounded_hardness(torch.tensor([50.0]), torch.tensor([1.0]), torch.tensor(5.0), torch.tensor(0.0))
    assert paid.item() == pytest.approx(5)


def test_hardness_is_not_paid_where_a_sample_looks_unreal() -> None:
    assert paid_gradient(1.0, realism=-0.1) == 0
    assert paid_gradient(1.0, realism=0.0) > 0


def test_realism_is_compared_and_not_pursued() -> None:
    realism = torch.tensor([1.0], requires_grad=True)
    paid = bounded_hardness(torch.tensor([1.0], requires_grad=True), realism, torch.tensor(5.0), torch.tensor(0.0))
    paid.backward()
    assert realism.grad is None
