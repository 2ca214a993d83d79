"""The same rounds on Flower, whose clients are other processes or machines: an adapter on its Message API.

Client and server programs are given the same settings, which are flags of ``recipes/federate.py``. A client reads
``data.source`` on its own machine, and takes the part of it that its node's ``partition-id`` names. What crosses the
network are weights, statistics, where in the run they belong, and numbers of images; no image does.
"""

import shlex
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from synthdata.configuration import parse
from synthdata.data import load_images
from synthdata.errors import FailureError, MisuseError
from synthdata.federated.client import Assignment, ClientUpdate
from synthdata.federated.config import FederatedConfig
from synthdata.federated.federate import Engine, federate, summarise
from synthdata.federated.federation import Federation
from synthdata.federated.memory import Memory
from synthdata.federated.model import new_model, with_weights
from synthdata.federated.rounds import Answer, Clients, answer
from synthdata.federated.server import restored_memory
from synthdata.models import LinearClassifier

try:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
except ImportError as error:
    raise MisuseError(f"Flower cannot be loaded ({error}): install it with pip install -e '.[federated]'") from error

CONNECT_SECONDS = 300.0
QUERY_SECONDS = 60.0
ROUND_SECONDS = 3600.0
"""A client that has not answered after so long is left out of a round, as it is with Flower's own strategies."""


def settings_of(run_config: Mapping[str, Any]) -> tuple[str, ...]:
    """Flower's run configuration as flags.

    Args:
        run_config: its keys are those of ``FederatedConfig`` with dots; and ``flags``, more of them as one text, since
            Flower lets a run change only what the app names.
    """
    named = [f"--{key}={value}" for key, value in sorted(run_config.items()) if key != "flags"]
    return (*named, *shlex.split(str(run_config.get("flags", ""))))


def server_app(settings: Sequence[str] = ()) -> ServerApp:
    """A Flower program that runs a federation and leaves its run directory.

    Args:
        settings: flags, after which those of Flower's run configuration are read.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        config = parse(FederatedConfig, "", [*settings, *settings_of(context.run_config)])
        report = federate(config, engine=grid_clients(grid))
        print(summarise(report, Path(config.output_dir)))

    return app


def client_app(settings: Sequence[str] = ()) -> ClientApp:
    """A Flower program that trains what a server app sends it; ``settings`` as for that."""
    app = ClientApp()

    @app.query()
    def number(message: Message, context: Context) -> Message:
        here = ConfigRecord({"client": int(context.node_config["partition-id"])})
        return Message(RecordDict({"client": here}), reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        federation = _federation((*settings, *settings_of(context.run_config)))
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        assignment, model, memory = _received(message.content, federation, device)
        return Message(_written(answer(federation, assignment, model, memory, device)), reply_to=message)

    return app


def grid_clients(grid: Grid) -> Engine:
    """Clients that are nodes of a grid; one that fails, or does not answer in time, is left out."""

    def engine(federation: Federation, device: torch.device) -> Clients:
        nodes = _connected(grid, federation.config.clients)

        def train(assignments: Sequence[Assignment], model: LinearClassifier, memory: Memory | None) -> list[Answer]:
            nodes.update(_newly_connected(grid, nodes))
            content = _sent(model, memory)
            messages = []
            for each in assignments:
                part = RecordDict({**content, "assignment": ConfigRecord(vars(each))})
                messages.append(Message(part, nodes[each.client], MessageType.TRAIN))
            replied = grid.send_and_receive(messages, timeout=ROUND_SECONDS)
            replies = {reply.metadata.src_node_id: reply for reply in replied}
            return [_read(replies.get(nodes[each.client]), device) for each in assignments]

        return train

    return engine


def _connected(grid: Grid, clients: int) -> dict[int, int]:
    """Of every client, the node that it is.

    Raises:
        FailureError: if they do not all connect in time.
    """
    nodes: dict[int, int] = {}
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        nodes |= _newly_connected(grid, nodes)
        if nodes.keys() >= set(range(clients)):
            return nodes
        if time.monotonic() > deadline:
            missing = sorted(set(range(clients)) - nodes.keys())
            raise FailureError(
                f"{len(missing)} of {clients} clients did not connect within {CONNECT_SECONDS:.0f} s, the first is that"
                f" with partition-id {missing[0]}: start their nodes, or lower clients"
            )
        time.sleep(0.5)


def _newly_connected(grid: Grid, nodes: Mapping[int, int]) -> dict[int, int]:
    """Of clients whose node is not among ``nodes``, the node: one that was started anew has another number there."""
    new = set(grid.get_node_ids()) - set(nodes.values())
    questions = [Message(RecordDict(), node, MessageType.QUERY) for node in new]
    replies = grid.send_and_receive(questions, timeout=QUERY_SECONDS) if questions else []
    return {
        cast("int", reply.content["client"]["client"]): reply.metadata.src_node_id
        for reply in replies
        if not reply.has_error()
    }


def _sent(model: LinearClassifier, memory: Memory | None) -> dict[str, ArrayRecord]:
    parts = {"model": model.state_dict()}
    if memory:
        parts["teacher"] = memory.teacher.state_dict()
        if memory.generator:
            parts["generator"] = memory.generator.members.state_dict()
    return {name: _record(weights) for name, weights in parts.items()}


def _received(
    content: RecordDict, federation: Federation, device: torch.device
) -> tuple[Assignment, LinearClassifier, Memory | None]:
    images, config = federation.train, federation.config
    like = new_model(config, images.image_size, images.channels, federation.plan.ends[0]).to(device)
    model, memory = with_weights(like, _tensors(content.array_records["model"])), None
    if "teacher" in content:
        generator = _tensors(content.array_records["generator"]) if "generator" in content else None
        memory = restored_memory(like, _tensors(content.array_records["teacher"]), generator, config)
    return Assignment(**content["assignment"]), model, memory


def _written(given: Answer) -> RecordDict:
    if isinstance(given, str):
        return RecordDict({"failure": ConfigRecord({"reason": given})})
    metrics = MetricRecord({"num-examples": given.images, "loss": given.loss})
    return RecordDict({"model": _record(given.weights), "metrics": metrics})


def _read(reply: Message | None, device: torch.device) -> Answer:
    if reply is None:
        return f"it did not answer within {ROUND_SECONDS:.0f} s"
    if reply.has_error():
        return f"Flower tells error {reply.error.code} of it: {reply.error.reason}"
    if "failure" in reply.content:
        return str(reply.content["failure"]["reason"])
    metrics = reply.content.metric_records["metrics"]
    weights = {name: value.to(device) for name, value in _tensors(reply.content.array_records["model"]).items()}
    return ClientUpdate(weights, cast("int", metrics["num-examples"]), cast("float", metrics["loss"]))


def _record(weights: Mapping[str, Tensor]) -> ArrayRecord:
    return ArrayRecord({name: value.detach().cpu() for name, value in weights.items()})


def _tensors(record: ArrayRecord) -> dict[str, Tensor]:
    return dict(record.to_torch_state_dict())


@lru_cache(maxsize=2)
def _federation(settings: tuple[str, ...]) -> Federation:
    config = parse(FederatedConfig, "", list(settings))
    return Federation(config, load_images(config.data))
