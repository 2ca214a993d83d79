"""The contrastive methods: the networks that each has beside the encoder, and its loss of two views."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthdata.errors import MisuseError
from synthdata.models import Encoder
from synthdata.objectives import (
    Related,
    all_gather_with_gradient,
    barlow_twins,
    batch_info_nce,
    debiased_nt_xent,
    hard_negative_nt_xent,
    hasa_nt_xent,
    log_distillation,
    multi_positive_nt_xent,
    nt_xent,
    queue_info_nce,
)
from synthdata.training.contrast_config import Method, MethodConfig
from synthdata.training.slimming import SlimBranch, project_quietly

Embeddings = tuple[Tensor, ...]


@dataclass(frozen=True)
class RelatedViews:
    """Views of constructed negatives.

    Attributes:
        views: (N · K, C, H, W) images in [−1, 1]; K negatives of the first anchor, then of the second.
        weights: (N, K) as in ``Related``; likewise ``suspected``.
    """

    views: Tensor
    weights: Tensor
    suspected: Tensor


class ContrastiveMethod(nn.Module, ABC):
    """An encoder, what the method has beside it, and a loss; what it remembers is in its ``state_dict``.

    Args:
        encoder: the network that is trained.
        settings: of all methods.
        temperature: divisor of the cosine similarities, where a method has one.
    """

    takes_related: ClassVar[bool] = False

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__()
        self.encoder, self.settings, self.temperature = encoder, settings, temperature
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        """Entered around the networks, not around the losses, which want float32."""

    def loss(
        self, view_1: Tensor, view_2: Tensor, related: RelatedViews | None = None, groups: Tensor | None = None
    ) -> Tensor:
        """The loss of this process's views: row i of both are a positive pair.

        Args:
            view_1: (N, C, H, W) images in [−1, 1]; likewise ``view_2``.
            related: more negatives, which a method that ``takes_related`` reads.
            groups: (N,) as in ``multi_positive_nt_xent``: more positives, which simclr reads.

        Returns:
            Scalar; the mean over processes is the loss of the whole batch.
        """
        with self.autocast():
            embeddings = self.embed(view_1, view_2)
        return self.objective(*(embedding.float() for embedding in embeddings))

    @abstractmethod
    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        """What the networks make of the views."""

    @abstractmethod
    def objective(self, *embeddings: Tensor) -> Tensor:
        """The loss of what ``embed`` returns."""

    def after_step(self, progress: float) -> None:
        """Follow a step of the optimiser, with the share of the training that is then done."""

    def measured(self) -> dict[str, Tensor]:
        """What there is to log, beside the loss, of the step that ``after_step`` followed."""
        return {}

    def encoders(self) -> dict[str, Encoder]:
        """What a run saves and scores, by the name of its folder."""
        return {"encoder": self.encoder}


class SimCLR(ContrastiveMethod):
    """Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations" (ICML 2020)."""

    takes_related = True

    def loss(
        self, view_1: Tensor, view_2: Tensor, related: RelatedViews | None = None, groups: Tensor | None = None
    ) -> Tensor:
        if groups is not None:
            with self.autocast():
                first, second = self.embed(view_1, view_2)
            return multi_positive_nt_xent(first.float(), second.float(), groups, self.temperature)
        if related is None:
            return super().loss(view_1, view_2)
        with self.autocast():
            embeddings = self.encoder(torch.cat([view_1, view_2, related.views])).float()
        first, second, others = embeddings.split([len(view_1), len(view_2), len(related.views)])
        others = others.unflatten(0, related.weights.shape)
        return self.related_objective(first, second, Related(others, related.weights, related.suspected))

    def related_objective(self, view_1: Tensor, view_2: Tensor, related: Related) -> Tensor:
        """The loss with negatives beside those of the batch."""
        return debiased_nt_xent(view_1, view_2, self.temperature, 0.0, related)

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        return self.encoder(torch.cat([view_1, view_2])).chunk(2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        view_1, view_2 = embeddings
        return nt_xent(view_1, view_2, self.temperature)


class Debiased(SimCLR):
    """SimCLR with the loss of Chuang et al., "Debiased Contrastive Learning" (NeurIPS 2020)."""

    def objective(self, *embeddings: Tensor) -> Tensor:
        view_1, view_2 = embeddings
        return debiased_nt_xent(view_1, view_2, self.temperature, self.settings.class_prior)

    def related_objective(self, view_1: Tensor, view_2: Tensor, related: Related) -> Tensor:
        return debiased_nt_xent(view_1, view_2, self.temperature, self.settings.class_prior, related)


class HardNegative(SimCLR):
    """SimCLR with the loss of Robinson et al., "Contrastive Learning with Hard Negative Samples" (ICLR 2021)."""

    def objective(self, *embeddings: Tensor) -> Tensor:
        (view_1, view_2), settings = embeddings, self.settings
        return hard_negative_nt_xent(view_1, view_2, self.temperature, settings.class_prior, settings.concentration)

    def related_objective(self, view_1: Tensor, view_2: Tensor, related: Related) -> Tensor:
        settings = self.settings
        return hard_negative_nt_xent(
            view_1, view_2, self.temperature, settings.class_prior, settings.concentration, related
        )


class HaSa(HardNegative):
    """SimCLR with the loss of Zhang et al., "HaSa" (WWW 2024): constructed negatives tell which may be false."""

    def related_objective(self, view_1: Tensor, view_2: Tensor, related: Related) -> Tensor:
        settings = self.settings
        return hasa_nt_xent(view_1, view_2, self.temperature, settings.class_prior, settings.concentration, related)


class _Queued(ContrastiveMethod):
    """Methods that remember embeddings of earlier batches.

    Lightly's memory bank is no part of its module's state, which a resumed run needs; hence a queue of our own.
    """

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        dimension = _projection_dim(encoder)
        self.register_buffer("queue", F.normalize(torch.randn(settings.queue_size, dimension), dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self.queue: Tensor
        self.oldest: Tensor

    def remember(self, embeddings: Tensor) -> None:
        """Put the (N, D) embeddings of all processes into the places of the oldest."""
        newest = all_gather_with_gradient(embeddings.detach())
        places = (self.oldest + torch.arange(len(newest), device=newest.device)) % len(self.queue)
        self.queue[places] = newest
        self.oldest.add_(len(newest)).remainder_(len(self.queue))


class MoCoV2(_Queued):
    """Chen et al., "Improved Baselines with Momentum Contrastive Learning" (2020)."""

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.momentum_encoder = _momentum_copy(encoder)

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        with torch.no_grad():
            keys = self.momentum_encoder(view_2)
        return self.encoder(view_1), keys

    def objective(self, *embeddings: Tensor) -> Tensor:
        queries, keys = embeddings
        loss = queue_info_nce(queries, keys, self.queue.clone(), self.temperature)
        self.remember(keys)
        return loss

    def after_step(self, progress: float) -> None:
        _follow(self.momentum_encoder, self.encoder, self.settings.momentum)


class MoCoV3(ContrastiveMethod):
    """Chen et al., "An Empirical Study of Training Self-Supervised Vision Transformers" (ICCV 2021)."""

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.predictor = _predictor(encoder, settings)
        self.momentum_encoder = _momentum_copy(encoder)

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        views = torch.cat([view_1, view_2])
        with torch.no_grad():
            keys = self.momentum_encoder(views)
        queries = F.normalize(self.predictor(_project(self.encoder, views)), dim=1)
        return *queries.chunk(2), *keys.chunk(2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        queries_1, queries_2, keys_1, keys_2 = embeddings
        losses = [batch_info_nce(q, k, self.temperature) for q, k in ((queries_1, keys_2), (queries_2, keys_1))]
        return 2 * self.temperature * torch.stack(losses).sum()

    def after_step(self, progress: float) -> None:
        _follow(self.momentum_encoder, self.encoder, _rising(self.settings.momentum, progress))


class NNCLR(_Queued):
    """Dwibedi et al., "With a Little Help from My Friends" (ICCV 2021).

    The positive of a view is what an earlier batch has nearest to the other view: another image, without a generator.
    """

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.predictor = _predictor(encoder, settings)

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        projections = _project(self.encoder, torch.cat([view_1, view_2]))
        predictions = F.normalize(self.predictor(projections), dim=1)
        return *predictions.chunk(2), *F.normalize(projections.detach(), dim=1).chunk(2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        predictions_1, predictions_2, projections_1, projections_2 = embeddings
        losses = [
            batch_info_nce(self._nearest(projections), predictions, self.temperature)
            for projections, predictions in ((projections_1, predictions_2), (projections_2, predictions_1))
        ]
        self.remember(projections_1)
        return torch.stack(losses).mean()

    def _nearest(self, projections: Tensor) -> Tensor:
        return self.queue[(projections @ self.queue.T).argmax(1)]


class BYOL(ContrastiveMethod):
    """Grill et al., "Bootstrap Your Own Latent" (NeurIPS 2020)."""

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.predictor = _predictor(encoder, settings)
        self.momentum_encoder = _momentum_copy(encoder)
        self.criterion = _lightly_loss("NegativeCosineSimilarity")

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        views = torch.cat([view_1, view_2])
        with torch.no_grad():
            targets = self.momentum_encoder(views)
        return *self.predictor(_project(self.encoder, views)).chunk(2), *targets.chunk(2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        predictions_1, predictions_2, targets_1, targets_2 = embeddings
        return (self.criterion(predictions_1, targets_2) + self.criterion(predictions_2, targets_1)) / 2

    def after_step(self, progress: float) -> None:
        _follow(self.momentum_encoder, self.encoder, _rising(self.settings.momentum, progress))


class SimSiam(ContrastiveMethod):
    """Chen & He, "Exploring Simple Siamese Representation Learning" (CVPR 2021)."""

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.predictor = _predictor(encoder, settings)
        self.criterion = _lightly_loss("NegativeCosineSimilarity")

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        projections = _project(self.encoder, torch.cat([view_1, view_2]))
        return *self.predictor(projections).chunk(2), *projections.detach().chunk(2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        predictions_1, predictions_2, targets_1, targets_2 = embeddings
        return (self.criterion(predictions_1, targets_2) + self.criterion(predictions_2, targets_1)) / 2


class _Decorrelating(ContrastiveMethod):
    """Methods whose loss is a function of the statistics of the projections, over the batch of all processes."""

    criterion: Callable[[Tensor, Tensor], Tensor]

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        return _project(self.encoder, torch.cat([view_1, view_2])).chunk(2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        projections_1, projections_2 = (all_gather_with_gradient(rows) for rows in embeddings)
        return self.criterion(projections_1, projections_2)


class BarlowTwins(_Decorrelating):
    """Zbontar et al., "Barlow Twins" (ICML 2021)."""

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.criterion = _lightly_loss("BarlowTwinsLoss")


class VICReg(_Decorrelating):
    """Bardes et al., "VICReg" (ICLR 2022)."""

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.criterion = _lightly_loss("VICRegLoss")


class SACLXD(ContrastiveMethod):
    """Meng et al., "Slimmed Asymmetrical Contrastive Learning and Cross Distillation" (NeurIPS 2023).

    The first view goes to the encoder, the host, and the second to its slim part, which is what the run saves as its
    encoder. Cross-distillation pulls each embedding towards the other network's of the same view.
    """

    def __init__(self, encoder: Encoder, settings: MethodConfig, temperature: float) -> None:
        super().__init__(encoder, settings, temperature)
        self.slim = SlimBranch(encoder, settings)

    def embed(self, view_1: Tensor, view_2: Tensor) -> Embeddings:
        host_1 = _project(self.encoder, view_1)
        if not self.slim.active:
            return host_1, _project(self.encoder, view_2)
        slim_2 = self.slim.project(self.encoder, view_2)
        if not self.settings.distillation:
            return host_1, slim_2
        return host_1, slim_2, self.slim.project_quietly(self.encoder, view_1), project_quietly(self.encoder, view_2)

    def objective(self, *embeddings: Tensor) -> Tensor:
        host_1, slim_2, *targets = embeddings
        contrast = self._base(host_1, slim_2)
        if not targets:
            return contrast
        slim_1, host_2 = targets
        weight, distil = self.settings.distillation, self._distillation
        return (1 - weight) * contrast + weight * (distil(host_1, slim_1) + distil(slim_2, host_2)) / 2

    def after_step(self, progress: float) -> None:
        self.slim.after_step(self.encoder, progress)

    def measured(self) -> dict[str, Tensor]:
        return {} if self.slim.overlap is None else {"slim_overlap": self.slim.overlap}

    def encoders(self) -> dict[str, Encoder]:
        return {"encoder": self.slim.network, "host": self.encoder}

    def _base(self, first: Tensor, second: Tensor) -> Tensor:
        if self.settings.base == "barlow":
            return barlow_twins(all_gather_with_gradient(first), all_gather_with_gradient(second))
        return nt_xent(F.normalize(first, dim=1), F.normalize(second, dim=1), self.temperature)

    def _distillation(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.settings.distillation_loss == "log":
            return log_distillation(all_gather_with_gradient(student), all_gather_with_gradient(teacher))
        return self._base(student, teacher)


METHODS: dict[Method, type[ContrastiveMethod]] = {
    "simclr": SimCLR,
    "mocov2": MoCoV2,
    "mocov3": MoCoV3,
    "nnclr": NNCLR,
    "byol": BYOL,
    "simsiam": SimSiam,
    "barlowtwins": BarlowTwins,
    "vicreg": VICReg,
    "debiased": Debiased,
    "hard_negative": HardNegative,
    "hasa": HaSa,
    "sacl_xd": SACLXD,
}


def build_method(name: Method, encoder: Encoder, settings: MethodConfig, temperature: float) -> ContrastiveMethod:
    """The method of this name around ``encoder``.

    Raises:
        MisuseError: its loss is taken from lightly, which is not installed.
    """
    return METHODS[name](encoder, settings, temperature)


def _project(encoder: Encoder, images: Tensor) -> Tensor:
    """Projections of any norm: (N, P)."""
    return encoder(images, normalise=False)


def _projection_dim(encoder: Encoder) -> int:
    last = encoder.projection_head[-1]
    assert isinstance(last, nn.Linear)
    return last.out_features


def _predictor(encoder: Encoder, settings: MethodConfig) -> nn.Module:
    dimension = _projection_dim(encoder)
    return nn.Sequential(
        nn.Linear(dimension, settings.predictor_dim, bias=False),
        nn.BatchNorm1d(settings.predictor_dim),
        nn.ReLU(inplace=True),
        nn.Linear(settings.predictor_dim, dimension),
    )


def _momentum_copy(encoder: Encoder) -> Encoder:
    return copy.deepcopy(encoder).requires_grad_(False)


@torch.no_grad()
def _follow(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Move the weights of ``follower`` towards those of ``leader``; each has batch statistics of its own."""
    torch._foreach_lerp_(list(follower.parameters()), list(leader.parameters()), 1 - momentum)


def _rising(momentum: float, progress: float) -> float:
    """From ``momentum`` to 1 on half a cosine."""
    return 1 - (1 - momentum) * (1 + math.cos(math.pi * progress)) / 2


def _lightly_loss(name: str) -> nn.Module:
    try:
        import lightly.loss
    except ImportError as error:
        raise MisuseError(
            f"this method's loss is lightly's {name}, and lightly is not installed: pip install 'synthdata[contrast]'"
        ) from error
    return getattr(lightly.loss, name)()
