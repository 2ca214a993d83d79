"""Pure functions of tensors: no state, no I/O, no Accelerate.

In come embeddings or logits; out comes a loss or a score, differentiable, with its formula's source in the docstring.
One concept has one file: NT-Xent is in ``contrastive``, the hardness of a sample in ``hardness``. Anyone may call it;
it imports no other room.
"""

from synthdata.objectives.anchored import alignment_loss, nt_xent_with_variants
from synthdata.objectives.contrastive import multi_positive_nt_xent, nt_xent
from synthdata.objectives.cross_correlation import barlow_twins, cross_correlation, log_distillation
from synthdata.objectives.data_free import (
    batch_statistics_loss,
    channel_moments,
    confidence_loss,
    information_entropy_loss,
    smoothness_loss,
)
from synthdata.objectives.gather import all_gather_with_gradient
from synthdata.objectives.hard_negatives import Related, debiased_nt_xent, hard_negative_nt_xent, hasa_nt_xent
from synthdata.objectives.hardness import bounded_hardness, hardness
from synthdata.objectives.incremental import (
    head_cross_entropy,
    importance_weighted_distillation,
    logit_distillation,
    proximal_term,
    split_cross_entropy,
)
from synthdata.objectives.info_nce import batch_info_nce, queue_info_nce
from synthdata.objectives.realism import discriminator_loss, generator_loss, r1_penalty
from synthdata.objectives.similarity import pair_similarity, similarity_loss, similarity_target
from synthdata.objectives.unlearning import alignment_calibration, contrastive_unlearning

__all__ = [
    "Related",
    "alignment_calibration",
    "alignment_loss",
    "all_gather_with_gradient",
    "barlow_twins",
    "batch_info_nce",
    "batch_statistics_loss",
    "bounded_hardness",
    "channel_moments",
    "confidence_loss",
    "contrastive_unlearning",
    "cross_correlation",
    "debiased_nt_xent",
    "discriminator_loss",
    "generator_loss",
    "hard_negative_nt_xent",
    "hardness",
    "hasa_nt_xent",
    "head_cross_entropy",
    "importance_weighted_distillation",
    "information_entropy_loss",
    "log_distillation",
    "logit_distillation",
    "multi_positive_nt_xent",
    "nt_xent",
    "nt_xent_with_variants",
    "pair_similarity",
    "proximal_term",
    "queue_info_nce",
    "r1_penalty",
    "similarity_loss",
    "similarity_target",
    "smoothness_loss",
    "split_cross_entropy",
]
