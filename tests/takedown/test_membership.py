"""Membership inference: the scores, the rates, and the verdict."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from synthdata.data import to_float
from synthdata.emission.run import load_part
from synthdata.models import Encoder
from synthdata.rng import generator_at
from synthdata.takedown.audit_report import verdict
from synthdata.takedown.before import Before
from synthdata.takedown.membership import auc, bootstrapped, told_non_members, true_positive_rate, view_similarity
from synthdata.views import RandomView

CPU = torch.device("cpu")


def test_the_score_is_the_mean_over_all_pairs_of_views(memorised: Before) -> None:
    encoder: Encoder = load_part(memorised.folder, "encoder")
    images, views = memorised.data.test.subset(torch.arange(3)), memorised.config.views
    scores = view_similarity(encoder, images, views, CPU, count=4)
    view = RandomView(views, encoder.image_size, encoder.channels)
    drawn = view.draw(12, generator_at("audit", "membership", 0))
    for place in range(3):
        image = to_float(images[place])[None].expand(4, -1, -1, -1)
        with torch.no_grad():
            features = encoder.eval().features(view.apply(image, drawn[4 * place : 4 * place + 4]))
        pairs = [F.cosine_similarity(features[i], features[j], dim=0) for i in range(4) for j in range(i)]
        assert float(scores[place]) == pytest.approx(float(sum(pairs)) / 6, abs=1e-4)


def test_the_area_is_that_of_scikit_learn_ties_included() -> None:
    members, others = torch.tensor([0.1, 0.5, 0.5, 0.9]), torch.tensor([0.1, 0.2, 0.5])
    expected = roc_auc_score([1] * 4 + [0] * 3, torch.cat([members, others]))
    assert auc(members, others) == pytest.approx(expected)


def test_true_positives_are_those_above_all_but_the_allowed_false_ones() -> None:
    others = torch.arange(200) / 200
    members = torch.tensor([0.5, 0.98, 0.986, 0.999])
    assert true_positive_rate(members, others) == 0.5  # two of the others, 0.99 and 0.995, are allowed


def test_intervals_hold_the_value_and_shrink_with_more_images() -> None:
    def interval(count: int) -> tuple[float, float]:
        generator = generator_at("scores", count)
        members, others = torch.randn(count, generator=generator) + 1, torch.randn(count, generator=generator)
        low, high = bootstrapped(auc, members, others)
        assert low < auc(members, others) < high
        return low, high

    few, many = interval(20), interval(500)
    assert many[1] - many[0] < few[1] - few[0]


def test_a_threshold_that_parts_members_from_others_calls_unknown_images_non_members() -> None:
    retained, others = torch.linspace(0.9, 1, 50), torch.linspace(0.5, 0.8, 50)
    assert told_non_members(torch.tensor([0.6, 0.7, 0.95]), retained, others) == pytest.approx(2 / 3)


def measured(power: float, after: float, reference: float | None = None) -> dict:
    def run(value: float) -> dict:
        return {"membership": {"auc": {"value": value}}}

    runs = {"power": {"auc": {"value": power}}, "before": run(0.8), "after": run(after)}
    return runs | ({} if reference is None else {"reference": run(reference)})


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.55, 0.5, 0.5), "Nothing can be concluded"),
        ((0.8, 0.5), "only a --reference tells"),
        ((0.8, 0.51, 0.5), "forgotten, as far as this attack can tell"),
        ((0.8, 0.6, 0.5), "still known"),
        ((0.8, 0.3, 0.5), "over-forgotten"),
    ],
)
def test_the_verdict_is_no_better_than_the_power_and_the_reference(numbers: tuple[float, ...], words: str) -> None:
    assert words in verdict(measured(*numbers))
