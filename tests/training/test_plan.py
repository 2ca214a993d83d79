from pathlib import Path
from typing import get_args

import pytest
from tiny import tiny_config

from synthdata.errors import MisuseError
from synthdata.training.config import Arm
from synthdata.training.plan import Plan

RUN = Path("runs/planned")


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_every_arm_spends_the_same_encoder_steps_and_images(world_size: int) -> None:
    settings = {"train__batch_size": 64, "generator__kind": "diffusion"}
    plans = [Plan.of(tiny_config(RUN, arm=arm, **settings), world_size) for arm in get_args(Arm)]
    assert len({(plan.steps, plan.images, plan.batch) for plan in plans}) == 1
    assert plans[0].images == 6 * 64


@pytest.mark.parametrize(
    ("arm", "hard_anchors", "pair_anchors", "pretrain_steps"),
    [
        ("real", 0, 0, 0),
        ("inflate", 16, 0, 4),
        ("hard", 16, 0, 4),
        ("pairs", 0, 16, 4),
        ("both", 8, 8, 4),
        ("anchored", 0, 0, 4),
    ],
)
def test_arms_differ_in_their_synthetic_anchors(
    arm: str, hard_anchors: int, pair_anchors: int, pretrain_steps: int
) -> None:
    settings = {"train__batch_size": 64, "synthetic__share": 0.25, "generator__kind": "diffusion"}
    plan = Plan.of(tiny_config(RUN, arm=arm, **settings), world_size=1)
    assert (plan.hard_anchors, plan.pair_anchors, plan.pretrain_steps) == (hard_anchors, pair_anchors, pretrain_steps)


def test_generators_are_tuned_every_few_steps_of_the_joint_phase() -> None:
    settings = {"train__steps": 20, "synthetic__start": 0.3, "synthetic__generator_every": 4}
    plan = Plan.of(tiny_config(RUN, **settings), world_size=1)
    assert [step for step in range(20) if plan.tunes_generator_at(step)] == [6, 10, 14, 18]
    inflate = Plan.of(tiny_config(RUN, arm="inflate", **settings), world_size=1)
    assert not any(inflate.tunes_generator_at(step) for step in range(20))


@pytest.mark.parametrize("arm", ["inflate", "hard", "both", "anchored"])
@pytest.mark.parametrize("start", [0.0, 0.3])
def test_generator_steps_are_counted_as_they_are_taken(arm: str, start: float) -> None:
    changes = {"generator__kind": "diffusion", "synthetic__tune_variants": str(arm == "anchored").lower()}
    plan = Plan.of(tiny_config(RUN, arm=arm, train__steps=20, synthetic__start=start, **changes), world_size=1)
    assert plan.tunes_generator_at(8 if start == 0 else 6) == (arm != "inflate")
    taken = 0
    for iteration in range(plan.iterations):
        assert plan.generator_steps_before(iteration) == taken
        step = iteration - plan.pretrain_steps
        taken += step < 0 or plan.tunes_generator_at(step)


def test_the_weight_of_hardness_warms_up() -> None:
    settings = {"synthetic__start": 0.2, "synthetic__hardness_warmup": 0.5, "synthetic__hardness_weight": 3.0}
    plan = Plan.of(tiny_config(RUN, train__steps=100, **settings), world_size=1)
    weights = [plan.hardness_weight(step) for step in (20, 40, 60, 99)]
    assert weights == pytest.approx([0, 1.5, 3, 3])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("train.steps", 0),
        ("train.accumulation", 0),
        ("checkpoint.every", 0),
        ("generator.batch_size", 7),
        ("train.batch_size", 15),
        ("synthetic.share", 1.0),
        ("synthetic.start", -0.1),
    ],
)
def test_a_number_out_of_range_is_named(setting: str, value: float) -> None:
    with pytest.raises(MisuseError, match=f"{setting} is {value}"):
        Plan.of(tiny_config(RUN, **{setting.replace(".", "__"): value}), world_size=1)


def test_a_batch_that_does_not_divide_over_the_processes_is_named() -> None:
    with pytest.raises(MisuseError, match=r"train\.batch_size is 18: on 2 processes it must be a multiple of 4"):
        Plan.of(tiny_config(RUN, train__batch_size=18), world_size=2)


@pytest.mark.parametrize(("arm", "pair_anchors"), [("pairs", 16), ("both", 8)])
def test_pairs_of_four_views_share_out_evenly_over_processes(arm: str, pair_anchors: int) -> None:
    settings = {"train__batch_size": 64, "synthetic__share": 0.25, "train__views_per_pair": 4}
    plan = Plan.of(tiny_config(RUN, arm=arm, **settings), world_size=4)
    assert (plan.pair_anchors, plan.synthetic, plan.pair_anchors % 8) == (pair_anchors, 16, 0)


def test_four_views_go_with_nt_xent_alone() -> None:
    with pytest.raises(MisuseError, match="views_per_pair is 4, which sacl_xd cannot use"):
        Plan.of(tiny_config(RUN, train__views_per_pair=4, train__objective="sacl_xd"), 1)


def test_sparing_real_anchors_goes_with_nt_xent_alone() -> None:
    with pytest.raises(MisuseError, match="negatives_of_real is false, which sacl_xd cannot use"):
        Plan.of(tiny_config(RUN, synthetic__negatives_of_real="false", train__objective="sacl_xd"), 1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"arm": "anchored"},
            r"generator.kind is gan.*set generator.kind to diffusion, or arm to pairs",
        ),
        ({"arm": "pairs", "train__views": 3}, "train.views is 3, which is for the arm real, and arm is pairs"),
        ({"arm": "real", "train__views": 3, "train__objective": "sacl_xd"}, "third view has no place in sacl_xd"),
        (
            {"arm": "anchored", "generator__kind": "diffusion", "synthetic__variants__levels": "[]"},
            "synthetic.variants.levels is empty",
        ),
    ],
)
def test_a_third_view_that_cannot_be_had_is_told_before_anything_is_trained(
    changes: dict[str, object], told: str
) -> None:
    with pytest.raises(MisuseError, match=told):
        Plan.of(tiny_config(RUN, **changes), world_size=1)


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ("[0.2,1.0]", r"levels\[1\] is 1.0: .*less than 1"),
        ("[-0.1]", r"levels\[0\] is -0.1"),
        ("[0.5,0.2]", "increasing"),
    ],
)
def test_levels_outside_the_process_and_levels_that_do_not_rise_are_told(levels: str, told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        tiny_config(RUN, synthetic__variants__levels=levels)
