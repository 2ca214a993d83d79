"""Whose images are whose, and who trains when: fixed by the seed, and alike for every method."""

import torch
from torch import Tensor

from synthdata.data import Images, RealData
from synthdata.errors import MisuseError
from synthdata.federated.client import Assignment, ClientData, exponential_rate
from synthdata.federated.config import FederatedConfig
from synthdata.federated.tasks import TaskPlan, partition
from synthdata.rng import generator_at


class Federation:
    """The images of all clients, by task.

    Args:
        config: the run.
        data: labelled images.

    Raises:
        MisuseError: if images, tasks, clients or method do not fit together.
    """

    def __init__(self, config: FederatedConfig, data: RealData) -> None:
        if data.classes is None or data.train.labels is None:
            raise MisuseError(f"{data.source} has no labels: classes that arrive in tasks need them")
        if config.train.clients_per_round > config.clients:
            raise MisuseError(
                f"train.clients_per_round is {config.train.clients_per_round} and there are {config.clients} clients:"
                " lower the one or raise the other"
            )
        if config.contrastive and config.method != "mfcl":
            raise MisuseError(f"contrastive is a setting of method mfcl, not of {config.method}: leave it out")
        self.config, self.train, self.classes = config, data.train, data.classes
        self.plan = TaskPlan.draw(len(data.classes), config.tasks, config.seed)
        if config.method == "mfcl" and min(len(self.plan.classes(task)) for task in range(config.tasks)) < 2:
            raise MisuseError(
                f"{len(data.classes)} classes in {config.tasks} tasks leave tasks of one class, which method mfcl"
                " cannot learn from: lower tasks"
            )
        self.held_out = data.test if config.test else data.validation
        self.held_out_labels = self._labels(self.held_out)
        self._owned = [self._deal(task, self._labels(self.train)) for task in range(config.tasks)]

    def client(self, task: int, client: int, device: torch.device) -> ClientData:
        """The images that a client has in a task: those of this one, or with oracle of all so far."""
        tasks = range(task + 1) if self.config.method == "oracle" else [task]
        images = self.train.subset(torch.cat([self._owned[each][client] for each in tasks]))
        return ClientData(images.gather().to(device), self._labels(images).to(device))

    def assignments(self, task: int, round: int) -> list[Assignment]:
        """The parts of the clients that train in a round."""
        config = self.config
        rate = exponential_rate(round, config.rounds, config.train.learning_rate, config.train.final_learning_rate)
        order = torch.randperm(config.clients, generator=generator_at(config.seed, "clients", task, round))
        chosen = order[: config.train.clients_per_round].tolist()
        return [Assignment(task, round, client, rate, config.seed) for client in chosen]

    def _labels(self, images: Images) -> Tensor:
        assert images.labels is not None
        return self.plan.arrivals(images.labels)

    def _deal(self, task: int, labels: Tensor) -> list[Tensor]:
        """Of each client, the positions of its images of a task among the training images."""
        classes, config = self.plan.classes(task), self.config
        for part, found in (("training", labels), ("held-out", self.held_out_labels)):
            for row in classes:
                if not (found == row).any():
                    name = self.classes[self.plan.order[row]]
                    raise MisuseError(f"there is no {part} image of class {name}: add images, or leave it out")
        rows = ((labels >= classes.start) & (labels < classes.stop)).nonzero()[:, 0]
        place = (config.seed, "partition", task)
        return [rows[own] for own in partition(labels[rows], config.clients, config.partition, config.alpha, place)]
