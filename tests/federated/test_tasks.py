import pytest
import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.federated import TaskPlan, partition

LABELS = torch.arange(120) % 3


def counts(owned: list[Tensor]) -> list[list[int]]:
    return [LABELS[rows].bincount(minlength=3).tolist() for rows in owned]


def test_classes_arrive_in_an_order_of_the_seed_and_every_class_once() -> None:
    plan = TaskPlan.draw(10, 3, seed=1)
    assert plan.ends == (4, 7, 10)
    assert sorted(plan.order) == list(range(10))
    assert [list(plan.classes(task)) for task in range(3)] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert plan == TaskPlan.draw(10, 3, seed=1)
    assert plan.order != TaskPlan.draw(10, 3, seed=2).order


def test_labels_become_the_place_of_their_class_in_that_order() -> None:
    plan = TaskPlan(order=(2, 0, 1), ends=(1, 3))
    assert plan.arrivals(torch.tensor([0, 1, 2, -1])).tolist() == [1, 2, 0, -1]


@pytest.mark.parametrize("kind", ["equal", "dirichlet"])
def test_every_image_has_one_owner_and_every_client_equally_many(kind: str) -> None:
    owned = partition(LABELS, 7, kind, 0.5, (3, "partition", 0))
    assert sorted(torch.cat(owned).tolist()) == list(range(120))
    assert {len(rows) for rows in owned} == {17, 18}
    again = partition(LABELS, 7, kind, 0.5, (3, "partition", 0))
    assert all(torch.equal(first, second) for first, second in zip(owned, again, strict=True))
    other = partition(LABELS, 7, kind, 0.5, (4, "partition", 0))
    assert not all(torch.equal(first, second) for first, second in zip(owned, other, strict=True))


def test_equal_clients_have_the_same_share_of_every_class() -> None:
    assert counts(partition(LABELS, 4, "equal", 1.0, (0,))) == [[10, 10, 10]] * 4


def test_the_smaller_alpha_the_fewer_classes_a_client_has() -> None:
    def largest_share(alpha: float) -> float:
        shares = [max(own) / sum(own) for own in counts(partition(LABELS, 10, "dirichlet", alpha, (0,)))]
        return sum(shares) / len(shares)

    assert largest_share(0.05) > 0.85
    assert largest_share(1000) < 0.6


def test_more_tasks_than_classes_and_clients_without_images_are_misuse() -> None:
    with pytest.raises(MisuseError, match="tasks is 4 and there are 3 classes"):
        TaskPlan.draw(3, 4, seed=0)
    with pytest.raises(MisuseError, match="120 images for 121 clients: a client would be without images"):
        partition(LABELS, 121, "equal", 1.0, (0,))
