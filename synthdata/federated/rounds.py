"""What the clients of a round are asked, and what comes back; here, where all clients are in this process."""

import logging
from collections.abc import Callable, Sequence

import torch

from synthdata.errors import FailureError
from synthdata.federated.client import Assignment, ClientUpdate, client_update
from synthdata.federated.federation import Federation
from synthdata.federated.memory import Memory
from synthdata.models import LinearClassifier

_logger = logging.getLogger(__name__)

Answer = ClientUpdate | str
"""Of a client: its update, or why there is none."""
Clients = Callable[[Sequence[Assignment], LinearClassifier, Memory | None], Sequence[Answer]]
"""Hands out the parts of a round with the global classifier and what is sent of former tasks; an answer to each."""


def answer(
    federation: Federation, assignment: Assignment, model: LinearClassifier, memory: Memory | None, device: torch.device
) -> Answer:
    """A client's part in a round; a client that fails says why."""
    random = assignment.random("dropout", 0, torch.device("cpu"))
    if torch.rand((), generator=random) < federation.config.train.dropout:
        return "it went away (train.dropout)"
    try:
        data = federation.client(assignment.task, assignment.client, device)
        return client_update(model, data, memory, assignment, federation.config)
    except (FailureError, OSError) as error:
        return str(error)


def local_clients(federation: Federation, device: torch.device) -> Clients:
    """Clients that train one after another in this process."""

    def train(assignments: Sequence[Assignment], model: LinearClassifier, memory: Memory | None) -> list[Answer]:
        return [answer(federation, each, model, memory, device) for each in assignments]

    return train


def finished(assignments: Sequence[Assignment], answers: Sequence[Answer]) -> list[ClientUpdate]:
    """The updates of the clients that have one; each that has none is told."""
    updates = []
    for assignment, given in zip(assignments, answers, strict=True):
        if isinstance(given, ClientUpdate):
            updates.append(given)
        else:
            place = f"round {assignment.round + 1} of task {assignment.task + 1}"
            _logger.warning("%s goes on without client %d: %s", place, assignment.client, given)
    return updates
