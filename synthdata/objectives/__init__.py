"""Pure functions of tensors: no state, no I/O."""

from synthdata.objectives.contrastive import nt_xent
from synthdata.objectives.gather import all_gather_with_gradient
from synthdata.objectives.hardness import bounded_hardness, hardness
from synthdata.objectives.realism import discriminator_loss, generator_loss, r1_penalty
from synthdata.objectives.similarity import pair_similarity, similarity_loss, similarity_target

__all__ = [
    "all_gather_with_gradient",
    "bounded_hardness",
    "discriminator_loss",
    "generator_loss",
    "hardness",
    "nt_xent",
    "pair_similarity",
    "r1_penalty",
    "similarity_loss",
    "similarity_target",
]
