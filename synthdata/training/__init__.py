"""What trains: encoder and generator together, an encoder on emitted datasets, a generator from a classifier alone.

In comes a ``JointConfig``, a ``ContrastConfig`` or a ``DistilConfig``; out comes a run directory, and its report in the
first process. ``joint`` holds the step of the method, ``contrast`` and ``methods`` the encoder-only ones, ``distil``
that of a generator alone, ``loop`` what all run in. ``compare`` lives here, and not among the benchmarks, because it
trains: it plans many contrastive trainings, for a user who asks which dataset to keep, while its tables and plots are
drawn in ``evaluation.comparison``. Recipes and benchmarks call this room; models, objectives, emission and publishing
never do.
"""

from synthdata.training.config import JointConfig
from synthdata.training.contrast import train_contrast
from synthdata.training.contrast_config import ContrastConfig
from synthdata.training.distil import DistilConfig, distil
from synthdata.training.execution import summarise
from synthdata.training.loop import GO_ON, Interrupted
from synthdata.training.train import train_joint

__all__ = [
    "GO_ON",
    "ContrastConfig",
    "DistilConfig",
    "Interrupted",
    "JointConfig",
    "distil",
    "summarise",
    "train_contrast",
    "train_joint",
]
