"""What the server does: join its clients' weights, make room for new classes, and learn a generator without images."""

from collections.abc import Sequence

import torch
from accelerate.utils import set_seed
from torch import Tensor
from tqdm import tqdm

from synthdata.errors import FailureError, MisuseError
from synthdata.federated.client import ClientUpdate
from synthdata.federated.config import FederatedConfig
from synthdata.federated.memory import Memory
from synthdata.federated.model import frozen_copy, grow_head, last_layer, new_model, with_weights
from synthdata.federated.tasks import TaskPlan
from synthdata.models import Classifier, DataFree, LinearClassifier
from synthdata.processes import rank
from synthdata.rng import BatchRandom

_MEAN, _VARIANCE = "running_mean", "running_var"


def aggregate(updates: Sequence[ClientUpdate]) -> dict[str, Tensor]:
    """The mean of the clients' weights, by their numbers of images (FedAvg: McMahan et al., AISTATS 2017).

    Running variances are those of all clients' images together: what the clients' means differ by is added. Their mean
    alone would be too small where clients see different classes.

    Raises:
        FailureError: if there is no update.
    """
    if not updates:
        raise FailureError("no client finished the round: lower train.dropout or train.learning_rate")
    counts, device = [update.images for update in updates], next(iter(updates[0].weights.values())).device
    shares = torch.tensor(counts, dtype=torch.float64, device=device)
    shares /= shares.sum()

    def mean(name: str, power: int = 1) -> Tensor:
        parts = [update.weights[name].double() ** power for update in updates]
        return torch.einsum("n,n...->...", shares, torch.stack(parts))

    joined = {}
    for name, like in updates[0].weights.items():
        value = mean(name)
        if name.endswith(_VARIANCE):
            centre = name.removesuffix(_VARIANCE) + _MEAN
            value += (mean(centre, power=2) - mean(centre).square()).clamp(min=0)
        joined[name] = (value if like.is_floating_point() else value.round()).to(like.dtype)
    return joined


def begin_task(
    model: LinearClassifier, memory: Memory | None, config: FederatedConfig, plan: TaskPlan, task: int
) -> Memory | None:
    """What the server does before any task but the first: it makes room for the new classes, in ``model`` itself.

    Args:
        model: after the task before.
        memory: of the task before.

    Returns:
        What clients get of former tasks; None for methods that send nothing.
    """
    teacher = frozen_copy(model)
    grow_head(model, plan.ends[task])
    if config.method not in ("fedlwf", "mfcl"):
        return None
    if config.method == "fedlwf" or config.rehearsal.images == "noise":
        return Memory(teacher)
    source, known = teacher, last_layer(teacher)
    if config.rehearsal.images == "untrained":
        encoder = teacher.encoder
        source = frozen_copy(new_model(config, encoder.image_size, encoder.channels, known.out_features))
        source.to(known.weight.device)
    return Memory(teacher, fit_generator(source, config, task, memory.generator if memory else None))


def restored_memory(
    like: LinearClassifier, teacher: dict[str, Tensor], generator: dict[str, Tensor] | None, config: FederatedConfig
) -> Memory:
    """A memory from its weights: those of the teacher, and of the generator's members where there is one.

    Args:
        like: a classifier of the teacher's shape, whatever its classes.
    """
    known = frozen_copy(with_weights(like, teacher))
    if generator is None:
        return Memory(known)
    images = new_generator(known, config)
    images.members.load_state_dict(generator)
    return Memory(known, images.eval().requires_grad_(False))


def fit_generator(
    teacher: LinearClassifier, config: FederatedConfig, task: int, start: DataFree | None = None
) -> DataFree:
    """Train a generator from a classifier alone.

    Args:
        teacher: the classifier; it stays as it is.
        task: names what is random.
        start: a generator of a former task, to go on from.

    Returns:
        On the classifier's device, in evaluation mode.

    Raises:
        MisuseError: as ``new_generator``.
        FailureError: if its loss becomes infinite or NaN.
    """
    device, rehearsal = last_layer(teacher).weight.device, config.rehearsal
    generator = new_generator(teacher, config)
    if start is not None:
        generator.members.load_state_dict(start.members.state_dict())
    optimizer = torch.optim.Adam(generator.members["a"].parameters(), rehearsal.learning_rate, generator.betas)
    steps = tqdm(range(rehearsal.steps), desc="generator", delay=1, leave=False, disable=True if rank() else None)
    for step in steps:
        random = BatchRandom(config.seed, step, device=device)
        latents = random.latents(f"generator, task {task}", rehearsal.batch_size, generator.latent_shape)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.mixed_precision == "bf16"):
            loss = torch.stack(list(generator.terms(generator.sample(latents)).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    if not loss.isfinite():
        raise FailureError(f"the generator's loss became {loss.item()}: lower rehearsal.learning_rate")
    return generator.eval().requires_grad_(False)


def new_generator(teacher: LinearClassifier, config: FederatedConfig) -> DataFree:
    """A generator that has learned nothing, with the weights of the seed, on the classifier's device.

    Raises:
        MisuseError: if there is none for the classifier's image size, or the classifier has no batch normalisation.
    """
    classifier = Classifier.of_encoder(
        frozen_copy(teacher), [str(row) for row in range(last_layer(teacher).out_features)]
    )
    if not classifier.normalising_layers():
        raise MisuseError(
            f"encoder.backbone {config.encoder.backbone} has no batch normalisation, whose statistics method mfcl"
            " learns a generator from: name one that has, such as resnet8"
        )
    with torch.random.fork_rng():
        set_seed(config.seed)
        return DataFree(config.generator, classifier).to(last_layer(teacher).weight.device)
