"""Which classes arrive when, and which client has which images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.rng import generator_at


@dataclass(frozen=True)
class TaskPlan:
    """The order in which classes arrive.

    Attributes:
        order: the source's class indices, in order of arrival. The n-th is row n of the classifier's last layer.
        ends: of each task, the number of classes seen after it.
    """

    order: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def draw(cls, classes: int, tasks: int, seed: int) -> "TaskPlan":
        """Classes in an order of ``seed``, divided as evenly as can be; the first tasks get what is left over.

        Raises:
            MisuseError: if there are more tasks than classes.
        """
        if tasks > classes:
            raise MisuseError(f"tasks is {tasks} and there are {classes} classes: every task needs a class of its own")
        order = torch.randperm(classes, generator=generator_at(seed, "class order"))
        sizes = torch.tensor([len(part) for part in order.tensor_split(tasks)])
        return cls(tuple(order.tolist()), tuple(sizes.cumsum(0).tolist()))

    def classes(self, task: int) -> range:
        """The rows of the last layer that ``task``, counted from 0, brings."""
        return range(self.ends[task - 1] if task else 0, self.ends[task])

    def arrivals(self, labels: Tensor) -> Tensor:
        """The source's labels (N,) as rows of the last layer; an image without a label, −1, keeps that."""
        row_of = torch.empty(len(self.order) + 1, dtype=torch.int64)
        row_of[torch.tensor(self.order)] = torch.arange(len(self.order))
        row_of[-1] = -1
        return row_of[labels.clamp(min=-1)]


def partition(
    labels: Tensor, clients: int, kind: Literal["dirichlet", "equal"], alpha: float, place: Sequence[int | str]
) -> list[Tensor]:
    """Deal the images of a task to clients, each of which gets equally many, or one less.

    Args:
        labels: (N,) int64, of the images of the task.
        clients: how many there are.
        kind: "equal" deals every class evenly; with "dirichlet" each client draws shares of the classes.
        alpha: concentration of that draw.
        place: what everything random is a function of.

    Returns:
        Of each client, (M,) int64 positions in ``labels``, in increasing order.

    Raises:
        MisuseError: if a client would be without images.
    """
    if len(labels) < clients:
        raise MisuseError(
            f"a task has {len(labels)} images for {clients} clients: a client would be without images; take fewer"
            " clients or tasks, or more images"
        )
    order = torch.randperm(len(labels), generator=generator_at(*place, "images"))
    if kind == "equal":
        order = order[labels[order].argsort(stable=True)]
        return [order[client::clients].sort().values for client in range(clients)]
    waiting = {int(label): order[labels[order] == label].tolist() for label in labels.unique()}
    random = np.random.default_rng(int(torch.randint(2**62, (), generator=generator_at(*place, "shares"))))
    owned = []
    for client in range(clients):
        shares = random.dirichlet(np.full(len(waiting), alpha))
        rows = [_draw(waiting, shares, random) for _ in range(_quota(len(labels), clients, client))]
        owned.append(torch.tensor(rows, dtype=torch.int64).sort().values)
    return owned


def _quota(images: int, clients: int, client: int) -> int:
    """How many images a client gets; the first ones get what is left over."""
    return images // clients + (client < images % clients)


def _draw(waiting: dict[int, list[int]], shares: np.ndarray, random: np.random.Generator) -> int:
    """Take an image of a class drawn by ``shares`` out of those waiting; classes that are used up have no share."""
    # A tiny share of every class left is what remains where a client's own classes are used up.
    weights = np.where([len(rows) > 0 for rows in waiting.values()], shares + 1e-9, 0)
    label = random.choice(list(waiting), p=weights / weights.sum())
    return waiting[int(label)].pop()
