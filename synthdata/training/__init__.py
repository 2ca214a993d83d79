"""The joint and the encoder-only training: where models, views, data and objectives meet."""

from synthdata.training.config import JointConfig
from synthdata.training.contrast import train_contrast
from synthdata.training.contrast_config import ContrastConfig
from synthdata.training.execution import summarise
from synthdata.training.loop import GO_ON, Interrupted
from synthdata.training.train import train_joint

__all__ = [
    "GO_ON",
    "ContrastConfig",
    "Interrupted",
    "JointConfig",
    "summarise",
    "train_contrast",
    "train_joint",
]
