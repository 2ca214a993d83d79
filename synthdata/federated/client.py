"""What a client does in a round: train the global classifier on its own images, and send the weights back."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.data import to_float
from synthdata.errors import FailureError
from synthdata.federated.config import FederatedConfig
from synthdata.federated.losses import contrastive_loss, lwf_loss, mfcl_loss
from synthdata.federated.memory import Memory
from synthdata.federated.model import last_layer
from synthdata.models import LinearClassifier
from synthdata.objectives import proximal_term
from synthdata.rng import generator_at


@dataclass(frozen=True)
class ClientData:
    """A client's images: (N, C, H, W) uint8 pixels, and (N,) labels as rows of the last layer."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Assignment:
    """A client's part in a round.

    Attributes:
        task: counted from 0.
        round: of the task, counted from 0.
        client: its number.
        learning_rate: of SGD in this round.
        seed: the federation's.
    """

    task: int
    round: int
    client: int
    learning_rate: float
    seed: int

    def random(self, purpose: str, step: int, device: torch.device) -> torch.Generator:
        """What is random in a step of this client: a function of where it is, not of what was drawn before."""
        return generator_at(self.seed, purpose, self.task, self.round, self.client, step, device=device)


@dataclass(frozen=True)
class ClientUpdate:
    """What a client sends back: its weights and statistics by name, how many images it has, and its mean loss."""

    weights: dict[str, Tensor]
    images: int
    loss: float


def client_update(
    model: LinearClassifier, data: ClientData, memory: Memory | None, assignment: Assignment, config: FederatedConfig
) -> ClientUpdate:
    """Train a copy of the global classifier; neither it nor the memory is changed.

    Args:
        model: with a row of the last layer for every class seen so far.
        memory: of former tasks; None in the first task, and for methods without one.

    Raises:
        FailureError: if the client has no images, or its weights become infinite or NaN.
    """
    if not len(data.labels):
        raise FailureError(f"client {assignment.client} has no images")
    trained, train = copy.deepcopy(model).train(), config.train
    anchors = list(model.parameters())
    optimizer = torch.optim.SGD(trained.parameters(), assignment.learning_rate, weight_decay=train.weight_decay)
    losses = []
    for step, rows in enumerate(_batches(len(data.labels), config, assignment)):
        images, labels = to_float(data.pixels[rows]), data.labels[rows]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=train.mixed_precision == "bf16"):
            loss = _loss(trained, memory, (images, labels), step, assignment, config)
        if config.method == "fedprox":
            loss = loss + config.proximal_weight * proximal_term(trained.parameters(), anchors)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    weights = trained.state_dict()
    if not all(value.isfinite().all() for value in weights.values()):
        raise FailureError(f"client {assignment.client}: weights became infinite or NaN; lower train.learning_rate")
    return ClientUpdate(weights, len(data.labels), float(torch.stack(losses).mean()))


def _loss(
    model: LinearClassifier,
    memory: Memory | None,
    real: tuple[Tensor, Tensor],
    step: int,
    assignment: Assignment,
    config: FederatedConfig,
) -> Tensor:
    images, labels = real
    rehearsed = None
    if memory is not None and config.method == "mfcl":
        count = _rehearsed(len(labels), memory, last_layer(model).out_features, config.rehearsal.ratio)
        rehearsed = memory.rehearse(count, assignment.random("rehearsal", step, images.device))
    if config.contrastive and assignment.round < round(config.contrast.share * config.rounds):
        both = images if rehearsed is None else torch.cat([images, rehearsed[0]])
        random = assignment.random("views", step, images.device)
        return contrastive_loss(model, memory, both, random, config.contrast, config.rehearsal.distillation_weight)
    if memory is None:
        return F.cross_entropy(model(images).float(), labels)
    if rehearsed is None:
        return lwf_loss(model, memory, images, labels, config.rehearsal)
    return mfcl_loss(model, memory, real, rehearsed, config.rehearsal)


def _rehearsed(images: int, memory: Memory, classes: int, ratio: float) -> int:
    """How many images of old classes stand beside so many of new ones: as many of each class, times the ratio."""
    return max(1, round(ratio * images * memory.classes / (classes - memory.classes)))


def exponential_rate(done: int, rounds: int, first: float, last: float) -> float:
    """The learning rate after ``done`` of ``rounds`` rounds of a task, which falls from ``first`` towards ``last``."""
    return first * (last / first) ** (done / rounds)


def _batches(images: int, config: FederatedConfig, assignment: Assignment) -> Iterator[Tensor]:
    """Rows of each step: every image once an epoch, the last batch smaller where it does not divide."""
    for epoch in range(config.train.epochs):
        order = torch.randperm(images, generator=assignment.random("order", epoch, torch.device("cpu")))
        yield from order.split(config.train.batch_size)
