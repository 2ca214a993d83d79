"""A federation from its first round to its last: the server's state, the loop, and the report."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from synthdata.data import load_images
from synthdata.federated.config import FederatedConfig
from synthdata.federated.federation import Federation
from synthdata.federated.memory import Memory
from synthdata.federated.model import new_model, with_weights
from synthdata.federated.rounds import Clients, finished, local_clients
from synthdata.federated.scores import TaskScores, evaluate_tasks, forgetting
from synthdata.federated.server import aggregate, begin_task, new_generator, restored_memory
from synthdata.models import Classifier, LinearClassifier
from synthdata.training.execution import execute, finished_report, start_accelerator
from synthdata.training.run_directory import RunDirectory

Engine = Callable[[Federation, torch.device], Clients]


class FederatedTraining:
    """The server's state, and the round that changes it.

    Everything random is a function of the seed, the task, the round and the client, so the state is what
    ``state_dict`` returns.

    Args:
        federation: images and settings.
        model: the classifier before the first task, with rows for its classes.
        device: where the server computes.
        clients: who trains; clients in this process if not given.
    """

    def __init__(
        self, federation: Federation, model: LinearClassifier, device: torch.device, clients: Clients | None = None
    ) -> None:
        self.federation, self.config, self.device = federation, federation.config, device
        self.clients = clients or local_clients(federation, device)
        self.model = model.to(device)
        self.memory: Memory | None = None
        self.scores: list[TaskScores] = []
        self.images_seen = self.left_out = 0
        self.iterations = self.config.tasks * self.config.rounds

    def describe(self, iteration: int) -> dict[str, Any]:
        """The task and the round, counted from 1, and the images that clients have seen."""
        task, round = divmod(iteration, self.config.rounds)
        phase = f"task {task + 1}/{self.config.tasks}"
        return {"phase": phase, "task": task + 1, "round": round + 1, "images": self.images_seen}

    def start_at(self, iteration: int) -> None:
        """Nothing is read in order."""

    def run(self, iteration: int) -> dict[str, Tensor]:
        """One round; before the first of a task the server prepares it, after the last it scores the classifier."""
        task, round = divmod(iteration, self.config.rounds)
        if task and not round:
            self.memory = begin_task(self.model, self.memory, self.config, self.federation.plan, task)
        assignments = self.federation.assignments(task, round)
        updates = finished(assignments, self.clients(assignments, self.model, self.memory))
        self.model.load_state_dict(aggregate(updates))
        self.left_out += len(assignments) - len(updates)
        self.images_seen += self.config.train.epochs * sum(update.images for update in updates)
        terms = {"loss": torch.tensor([update.loss for update in updates]).mean()}
        if round + 1 == self.config.rounds:
            held_out, labels = self.federation.held_out, self.federation.held_out_labels
            scores = evaluate_tasks(self.model, held_out, labels, self.federation.plan, task, self.device)
            self.scores.append(scores)
            terms["accuracy"] = torch.tensor(scores.seen)
        return terms

    def state_dict(self) -> dict[str, Any]:
        """The classifier, what is sent of former tasks, the scores, and what is counted."""
        memory = self.memory
        return {
            "model": self.model.state_dict(),
            "teacher": memory.teacher.state_dict() if memory else None,
            "generator": memory.generator.members.state_dict() if memory and memory.generator else None,
            "scores": [[scores.seen, scores.tasks] for scores in self.scores],
            "images_seen": self.images_seen,
            "left_out": self.left_out,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model = with_weights(self.model, state["model"])
        if state["teacher"] is not None:
            self.memory = restored_memory(self.model, state["teacher"], state["generator"], self.config)
        self.scores = [TaskScores(seen, tasks) for seen, tasks in state["scores"]]
        self.images_seen, self.left_out = state["images_seen"], state["left_out"]


def federate(config: FederatedConfig, engine: Engine = local_clients) -> dict[str, Any]:
    """Learn the tasks one after another, save the classifier, and write the report.

    Args:
        engine: where the clients are; in this process if not given.

    Returns:
        The content of report.json; empty on all but the first process.

    Raises:
        MisuseError: if the images or settings do not fit together, or the run directory does not fit.
        FailureError: if no client finishes a round, a loss is not finite, or the disk fails.
        Interrupted: after SIGTERM or Ctrl-C.
    """
    accelerator = start_accelerator(config)
    if (report := finished_report(config, accelerator)) is not None:
        return report
    training = build_federation(config, accelerator, engine)
    return execute(training, config, accelerator, finish=lambda run: _finish(training, run))


def build_federation(
    config: FederatedConfig, accelerator: Accelerator, engine: Engine = local_clients
) -> FederatedTraining:
    """The state before the first round.

    Raises:
        MisuseError: as ``federate``.
    """
    federation = Federation(config, load_images(config.data))
    images = federation.train
    model = new_model(config, images.image_size, images.channels, federation.plan.ends[0])
    if config.method == "mfcl":
        new_generator(model, config)  # whether there can be one is told before the first round
    return FederatedTraining(federation, model, accelerator.device, engine(federation, accelerator.device))


def summarise(report: dict[str, Any], run: Path) -> str:
    """A short table of a federation's scores, and where things are."""
    rows = {
        "average accuracy": f"{report['average_accuracy']:.2f} %",
        "last accuracy": f"{report['last_accuracy']:.2f} %",
        "forgetting": f"{report['forgetting']:.2f} points",
        "updates left out": report["updates_left_out"],
        "seconds": report["wall_seconds"],
        "classifier": run / "classifier",
        "report": run / "report.json",
    }
    return "\n".join(f"{name:<18} {value}" for name, value in rows.items())


def _finish(training: FederatedTraining, run: RunDirectory) -> dict[str, Any]:
    """Save the classifier, and tell its scores after each task."""
    federation, scores = training.federation, training.scores
    names = [federation.classes[each] for each in federation.plan.order]
    classifier = Classifier.of_encoder(copy.deepcopy(training.model).cpu(), names)
    run.replace_folder(run.path / "classifier", classifier.save_pretrained)
    config = training.config
    return {
        "method": config.method,
        "seed": config.seed,
        "tasks": [[names[row] for row in federation.plan.classes(task)] for task in range(config.tasks)],
        "split": "test" if config.test else "validation",
        "average_accuracy": round(sum(each.seen for each in scores) / len(scores), 4),
        "last_accuracy": round(scores[-1].seen, 4),
        "forgetting": round(forgetting(scores), 4),
        "accuracies": [round(each.seen, 4) for each in scores],
        "task_accuracies": [[round(value, 4) for value in each.tasks] for each in scores],
        "updates_left_out": training.left_out,
        "images_seen": training.images_seen,
    }
