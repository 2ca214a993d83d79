"""Class-incremental learning over clients that keep their images, after MFCL (Babakniya et al., NeurIPS 2023).

In come labelled images, whose classes arrive in tasks, and a ``FederatedConfig``; out come a classifier and a report
that tells how much of the former tasks it has kept. What a server and its clients do are plain functions:
``client_update``, ``aggregate``, ``fit_generator``, ``evaluate_tasks``; ``federate`` runs them in this process, and
another engine may call them where its clients are. Recipes call this room.
"""

from synthdata.federated.client import Assignment, ClientData, ClientUpdate, client_update
from synthdata.federated.config import FederatedConfig
from synthdata.federated.federate import federate, summarise
from synthdata.federated.memory import Memory
from synthdata.federated.model import grow_head
from synthdata.federated.scores import evaluate_tasks, forgetting
from synthdata.federated.server import aggregate, fit_generator
from synthdata.federated.tasks import TaskPlan, partition

__all__ = [
    "Assignment",
    "ClientData",
    "ClientUpdate",
    "FederatedConfig",
    "Memory",
    "TaskPlan",
    "aggregate",
    "client_update",
    "evaluate_tasks",
    "federate",
    "fit_generator",
    "forgetting",
    "grow_head",
    "partition",
    "summarise",
]
