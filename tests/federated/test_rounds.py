"""What a client and the server do in a round, on a tiny classifier of digits."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from synthdata.configuration import parse
from synthdata.data import load_images
from synthdata.errors import FailureError
from synthdata.federated import (
    Assignment,
    ClientData,
    ClientUpdate,
    FederatedConfig,
    Memory,
    aggregate,
    client_update,
    evaluate_tasks,
    fit_generator,
    forgetting,
    grow_head,
)
from synthdata.federated.client import exponential_rate
from synthdata.federated.federation import Federation
from synthdata.federated.losses import contrastive_loss, lwf_loss, mfcl_loss
from synthdata.federated.model import last_layer, new_model
from synthdata.federated.rounds import answer, finished
from synthdata.federated.scores import TaskScores
from synthdata.federated.server import begin_task
from synthdata.models import LinearClassifier
from synthdata.rng import generator_at

CPU = torch.device("cpu")
SETTINGS = {
    "data.source": "digits",
    "encoder.width": 4,
    "generator.width": 4,
    "generator.max_width": 8,
    "generator.latent_dim": 8,
    "rehearsal.steps": 3,
    "rehearsal.batch_size": 8,
    "train.epochs": 1,
}


def config_of(**changes: Any) -> FederatedConfig:
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changes.items()}
    return parse(FederatedConfig, "", [f"--{key}={value}" for key, value in settings.items()])


@pytest.fixture(scope="module")
def federation() -> Federation:
    config = config_of()
    return Federation(config, load_images(config.data))


@pytest.fixture(scope="module")
def second_task(federation: Federation) -> tuple[LinearClassifier, Memory]:
    """A classifier that has learned a little of the first task, with rows for the second, and what clients get."""
    config = federation.config
    model = new_model(config, 16, 1, 2)
    for _ in range(2):
        data = federation.client(0, 0, CPU)
        model.load_state_dict(client_update(model, data, None, place(0, 0, 0), config).weights)
    memory = begin_task(model, None, config, federation.plan, 1)
    assert memory is not None
    return model, memory


def place(task: int, round: int, client: int) -> Assignment:
    return Assignment(task, round, client, 0.1, 0)


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("method", ["fedlwf", "mfcl"])
def test_client_training_changes_neither_global_classifier_nor_teacher_nor_generator(
    federation: Federation, second_task: tuple[LinearClassifier, Memory], method: str
) -> None:
    model, memory = second_task
    assert memory.generator is not None
    before = [state(part) for part in (model, memory.teacher, memory.generator)]
    update = client_update(model, federation.client(1, 3, CPU), memory, place(1, 0, 3), config_of(method=method))
    for part, old in zip((model, memory.teacher, memory.generator), before, strict=True):
        assert_equal(state(part), old)
    assert not torch.equal(update.weights["head.weight"], before[0]["head.weight"])


def test_a_client_update_is_a_function_of_its_place(
    federation: Federation, second_task: tuple[LinearClassifier, Memory]
) -> None:
    model, memory = second_task
    data, config = federation.client(1, 3, CPU), federation.config
    first, again = (client_update(model, data, memory, place(1, 0, 3), config) for _ in range(2))
    assert_equal(first.weights, again.weights)
    later = client_update(model, data, memory, place(1, 1, 3), config)
    assert not torch.equal(first.weights["head.weight"], later.weights["head.weight"])


def test_the_terms_of_mfcl_reach_what_they_should_and_nothing_else(
    federation: Federation, second_task: tuple[LinearClassifier, Memory]
) -> None:
    model, memory = copy.deepcopy(second_task[0]).eval(), second_task[1]
    data = federation.client(1, 0, CPU)
    real = (data.pixels / 127.5 - 1, data.labels)
    rehearsed = memory.rehearse(8, generator_at("a test"))
    assert set(rehearsed[1].tolist()) <= {0, 1}

    def gradients(**weights: Any) -> dict[str, Tensor]:
        model.zero_grad()
        config = config_of(**{f"rehearsal__{name}": value for name, value in weights.items()})
        mfcl_loss(model, memory, real, rehearsed, config.rehearsal).backward()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    split = gradients(head_weight=0, distillation_weight=0)
    assert split["head.weight"][:2].abs().sum() == 0
    assert split["head.weight"][2:].abs().sum() > 0
    with_head = gradients(head_weight=1, distillation_weight=0)
    for name, value in split.items():
        assert torch.equal(with_head[name], value) != name.startswith("head"), name
    # The teacher is the classifier itself, so far: nothing is to be distilled.
    distilled = gradients(head_weight=0, distillation_weight=10)
    for name, value in split.items():
        torch.testing.assert_close(distilled[name], value, msg=name)


def test_an_unchanged_network_has_nothing_to_distil_in_fedlwf(
    second_task: tuple[LinearClassifier, Memory], federation: Federation
) -> None:
    model, memory = copy.deepcopy(second_task[0]).eval(), second_task[1]
    data, settings = federation.client(1, 0, CPU), federation.config.rehearsal
    images = data.pixels / 127.5 - 1
    plain = torch.nn.functional.cross_entropy(model(images), data.labels)
    assert lwf_loss(model, memory, images, data.labels, settings).item() == pytest.approx(plain.item(), abs=1e-6)


def test_fedprox_stays_nearer_to_the_global_weights_and_without_its_term_is_fedavg(federation: Federation) -> None:
    model, data = new_model(config_of(), 16, 1, 2), federation.client(0, 0, CPU)
    assignment, two = place(0, 0, 0), {"train__epochs": 2, "train__weight_decay": 0}

    def trained(method: str, weight: float) -> dict[str, Tensor]:
        return client_update(
            model, data, None, assignment, config_of(method=method, proximal_weight=weight, **two)
        ).weights

    assert_equal(trained("fedprox", 0), trained("fedavg", 1))
    start, name = state(model), "head.weight"
    near, far = (float((trained("fedprox", weight)[name] - start[name]).norm()) for weight in (5, 0))
    assert near < far


def test_in_the_first_task_mfcl_is_fedavg_bit_for_bit(federation: Federation) -> None:
    model, data, assignment = (
        new_model(config_of(), 16, 1, 2),
        federation.client(0, 0, CPU),
        place(0, 0, 0),
    )
    mfcl, fedavg = (client_update(model, data, None, assignment, config_of(method=m)) for m in ("mfcl", "fedavg"))
    assert_equal(mfcl.weights, fedavg.weights)


def test_a_client_without_images_or_with_weights_that_explode_fails(federation: Federation) -> None:
    model, data, assignment = (
        new_model(config_of(), 16, 1, 2),
        federation.client(0, 0, CPU),
        place(0, 0, 0),
    )
    nothing = ClientData(data.pixels[:0], data.labels[:0])
    with pytest.raises(FailureError, match="client 0 has no images"):
        client_update(model, nothing, None, assignment, config_of())
    model.head.weight.data.fill_(torch.inf)
    with pytest.raises(FailureError, match="client 0: weights became infinite or NaN"):
        client_update(model, data, None, assignment, config_of())


def update_of(images: int, mean: float, variance: float, weight: float) -> ClientUpdate:
    weights = {
        "bn.running_mean": torch.tensor([mean]),
        "bn.running_var": torch.tensor([variance]),
        "bn.num_batches_tracked": torch.tensor(images),
        "head.weight": torch.tensor([[weight]]),
    }
    return ClientUpdate(weights, images, 0.0)


def test_aggregation_weighs_clients_by_their_images_and_pools_their_statistics() -> None:
    first, second = torch.tensor([0.0, 2.0, 4.0]), torch.tensor([10.0])
    updates = [update_of(3, first.mean(), first.var(correction=0), 1.0), update_of(1, second.mean(), 0.0, 5.0)]
    joined, everything = aggregate(updates), torch.cat([first, second])
    assert joined["head.weight"].item() == 2.0
    assert joined["bn.running_mean"].item() == pytest.approx(everything.mean().item())
    assert joined["bn.running_var"].item() == pytest.approx(everything.var(correction=0).item())
    assert joined["bn.num_batches_tracked"].dtype == torch.int64
    with pytest.raises(FailureError, match="no client finished the round"):
        aggregate([])


def test_a_client_that_fails_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    good = update_of(1, 0.0, 1.0, 2.0)
    assert finished([place(0, 1, 4), place(0, 1, 7)], [good, "the line is dead"]) == [good]
    assert caplog.messages == ["round 2 of task 1 goes on without client 7: the line is dead"]


def test_a_client_that_cannot_read_its_images_or_goes_away_says_why(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: Any) -> ClientData:
        raise OSError("the disk is gone")

    model = new_model(config_of(), 16, 1, 2)
    monkeypatch.setattr(federation, "client", unreadable)
    assert answer(federation, place(0, 0, 0), model, None, CPU) == "the disk is gone"
    monkeypatch.setattr(federation, "config", config_of(train__dropout=0.999))
    assert answer(federation, place(0, 0, 0), model, None, CPU) == "it went away (train.dropout)"


def test_old_classes_are_rehearsed_as_often_as_new_ones_are_seen(
    federation: Federation, second_task: tuple[LinearClassifier, Memory], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = second_task[1]
    counts: list[int] = []
    rehearse = Memory.rehearse

    def counted(self: Memory, count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
        counts.append(count)
        return rehearse(self, count, random)

    monkeypatch.setattr(Memory, "rehearse", counted)
    data = federation.client(1, 3, CPU)
    one = ClientData(data.pixels[:12], data.labels[:12])
    for classes, ratio in ((4, 1.0), (3, 1.0), (3, 0.5)):  # of which two are old
        model = copy.deepcopy(memory.teacher).requires_grad_(True)
        grow_head(model, classes)
        labels = one.labels.clamp(max=classes - 1)
        config = config_of(rehearsal__ratio=ratio)
        client_update(model, ClientData(one.pixels, labels), memory, place(1, 0, 3), config)
    assert counts == [12, 24, 12]


def test_contrastive_rounds_come_first_and_leave_the_last_layer_alone(
    federation: Federation, second_task: tuple[LinearClassifier, Memory]
) -> None:
    model, memory = second_task
    config = config_of(contrastive=True, rounds=4, contrast__share=0.5, train__weight_decay=0)
    data, before = federation.client(1, 3, CPU), state(model)
    pretrained, trained = (client_update(model, data, memory, place(1, round, 3), config).weights for round in (1, 2))
    first = next(name for name in before if name.endswith("weight"))
    assert torch.equal(pretrained["head.weight"], before["head.weight"])
    assert not torch.equal(pretrained[first], before[first])
    assert not torch.equal(trained["head.weight"], before["head.weight"])


def test_the_contrastive_loss_holds_the_features_where_the_old_layer_looks(
    federation: Federation, second_task: tuple[LinearClassifier, Memory]
) -> None:
    memory, config = second_task[1], federation.config
    images = federation.client(1, 3, CPU).pixels / 127.5 - 1
    model = copy.deepcopy(second_task[0]).eval()

    def loss(memory: Memory | None, weight: float) -> float:
        return contrastive_loss(model, memory, images, generator_at("views"), config.contrast, weight).item()

    assert loss(memory, 5.0) == pytest.approx(loss(None, 0.0))  # the network is still that of the teacher
    with torch.no_grad():
        next(model.encoder.parameters()).mul_(1.5)
    assert loss(memory, 5.0) > loss(memory, 0.0) == pytest.approx(loss(None, 0.0))


def test_a_head_that_grows_keeps_its_rows_and_answers(second_task: tuple[LinearClassifier, Memory]) -> None:
    model, memory = second_task
    images = torch.randn(3, 1, 16, 16, generator=generator_at("images"))
    grown = copy.deepcopy(memory.teacher)
    grow_head(grown, 5)
    assert torch.equal(grown.head.weight[:2], memory.teacher.head.weight)
    assert grown.head.weight[2:].abs().sum() == 0
    torch.testing.assert_close(grown(images)[:, :2], memory.teacher(images))
    assert last_layer(model).out_features == 4


def test_the_rate_falls_exponentially_within_a_task() -> None:
    rates = [exponential_rate(round, 100, 0.1, 0.01) for round in (0, 25, 50, 99)]
    assert rates == pytest.approx([0.1, 0.056234, 0.031623, 0.010233], abs=5e-7)


def test_the_generator_goes_on_from_the_one_before_and_learns(second_task: tuple[LinearClassifier, Memory]) -> None:
    teacher, config = second_task[1].teacher, config_of(rehearsal__steps=1, rehearsal__learning_rate=1e-3)
    first = fit_generator(teacher, config, 1)
    second = fit_generator(teacher, config, 2, first)
    fresh = fit_generator(teacher, config, 2)
    name = "a.from_latent.weight"
    before, after, anew = (part.members.state_dict()[name] for part in (first, second, fresh))
    assert 0 < (after - before).abs().max() <= 1.01e-3  # one step of Adam
    assert not torch.equal(after, anew)


def test_forgetting_is_measured_from_the_best_accuracy_of_each_task_but_the_last() -> None:
    scores = [TaskScores(80, [80.0]), TaskScores(70, [90.0, 60.0]), TaskScores(50, [40.0, 65.0, 70.0])]
    assert forgetting(scores) == pytest.approx(((90 - 40) + (60 - 65)) / 2)
    assert forgetting(scores[:1]) == 0


def test_scores_are_over_the_classes_seen_so_far(federation: Federation) -> None:
    model = new_model(federation.config, 16, 1, 4)
    model.head.bias.data[3] = 1  # every image is taken for the fourth class that arrives
    labels = federation.held_out_labels
    scores = evaluate_tasks(model, federation.held_out, labels, federation.plan, 1, CPU)
    share = (labels == 3).sum().item() / (labels < 4).sum().item()
    assert scores.seen == pytest.approx(100 * share)
    assert scores.tasks == pytest.approx(
        [0, 100 * (labels == 3).sum().item() / ((labels == 2) | (labels == 3)).sum().item()]
    )
