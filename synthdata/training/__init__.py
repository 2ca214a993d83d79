"""The joint loop: where models, views, data and objectives meet."""

from synthdata.training.config import JointConfig
from synthdata.training.loop import Interrupted
from synthdata.training.train import train_joint

__all__ = ["Interrupted", "JointConfig", "train_joint"]
