"""How much of the classes learned so far a classifier knows, and how much it has forgotten."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synthdata.data import Images
from synthdata.evaluation.features import map_images
from synthdata.federated.tasks import TaskPlan
from synthdata.models import LinearClassifier


@dataclass(frozen=True)
class TaskScores:
    """Top-1 accuracies in percent over all classes seen so far: on the images of all these, and of each task."""

    seen: float
    tasks: list[float]


def evaluate_tasks(
    model: LinearClassifier, images: Images, labels: Tensor, plan: TaskPlan, task: int, device: torch.device
) -> TaskScores:
    """Score a classifier after ``task``, counted from 0, on the images of this task and those before.

    Args:
        images: held-out images of all tasks; those of later ones are left out.
        labels: (N,) int64, of each image its row of the last layer.
    """
    known = (labels >= 0) & (labels < plan.ends[task])
    wanted = labels[known]
    hits = map_images(model, model, images.subset(known.nonzero()[:, 0]), device).argmax(1) == wanted
    parts = [plan.classes(each) for each in range(task + 1)]
    tasks = [_percent(hits[(wanted >= part.start) & (wanted < part.stop)]) for part in parts]
    return TaskScores(_percent(hits), tasks)


def forgetting(scores: Sequence[TaskScores]) -> float:
    """Points of accuracy lost on the tasks before the last, each from its best after any earlier task; their mean.

    Args:
        scores: after each task. With one task nothing can be forgotten, and the value is 0.
    """
    last = len(scores) - 1
    lost = [
        max(scores[after].tasks[task] for after in range(task, last)) - scores[last].tasks[task] for task in range(last)
    ]
    return sum(lost) / len(lost) if lost else 0.0


def _percent(hits: Tensor) -> float:
    return 100 * float(hits.double().mean())
