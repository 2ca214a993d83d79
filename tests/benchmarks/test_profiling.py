"""Where the time of a step goes, on steps of next to nothing."""

import re
import time
from pathlib import Path

import pytest
import torch
from tiny import tiny_flags

from synthdata.benchmarks.profiling import PHASES, PhaseClock, Profile, ProfileConfig, format_profile, profile_joint
from synthdata.configuration import parse


def profile_config(**changes: object) -> ProfileConfig:
    flags = tiny_flags(Path("unused"), **{"rounds": 2, "generator__gan__r1_interval": 2, "data__channels": 1} | changes)
    return parse(ProfileConfig, "", flags)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_joint(profile_config())


def test_every_phase_of_a_joint_step_has_its_time(profile: Profile) -> None:
    assert tuple(profile.phases) == PHASES
    assert all(milliseconds > 0 for milliseconds in profile.phases.values())
    # the phases are those of the same steps, measured at another moment of a busy machine
    assert sum(profile.phases.values()) == pytest.approx(profile.step, rel=0.9)


def test_the_shares_that_are_printed_come_to_the_whole(profile: Profile) -> None:
    shown = format_profile(profile)
    shares = [float(re.search(rf"^{phase} .* ([\d.]+) %$", shown, re.M)[1]) for phase in PHASES]  # type: ignore[index]
    assert sum(shares) == pytest.approx(100, abs=0.5)
    assert f"{1e3 * 16 / profile.step:,.0f} images/s" in shown
    assert f"joint / inflate step {profile.cost:.2f}" in shown


def test_operations_over_time_and_peak_are_told_as_floor_and_share() -> None:
    profile = Profile(dict.fromkeys(PHASES, 5.0), 40.0, 1.5, 512, 4e12, 2048.0, 1000.0, "some device")
    shown = format_profile(profile)
    assert "4.00 ms at 1,000 TFLOP/s, 10.0 % MFU" in shown
    assert "4,000.0 GFLOP, 100.000 TFLOP/s" in shown
    assert "12,800 images/s" in shown


def test_a_step_with_real_images_alone_has_the_operations_of_its_convolutions_and_products() -> None:
    profile = profile_joint(profile_config(arm="real", rounds=1))
    assert profile.phases["discriminator"] == profile.phases["generator"] == 0
    # of a view: (inputs · kernel, outputs, positions) of the layers of resnet8 with width 4 at 16 px
    convolutions = [(9, 4, 256), (36, 4, 256), (36, 4, 256), (36, 8, 64), (72, 8, 64), (4, 8, 64)]
    convolutions += [(72, 16, 16), (144, 16, 16), (8, 16, 16)]
    products = [(16, 16, 1), (16, 8, 1), (8, 32, 1)]
    forward = sum(2 * inputs * outputs * positions for inputs, outputs, positions in convolutions + products)
    first_has_no_gradient_of_its_input = 2 * 9 * 4 * 256
    expected = 32 * (3 * forward - first_has_no_gradient_of_its_input)
    # views are products too: colours, 3 × 3 or 1 × 1 a pixel
    assert expected < profile.flops < 1.1 * expected


def test_a_phase_within_another_is_not_counted_twice() -> None:
    clock = PhaseClock(torch.device("cpu"))
    clock.milliseconds()
    with clock.phase("outer"):
        time.sleep(0.01)
        with clock.phase("inner"):
            time.sleep(0.05)
    spent = clock.milliseconds()
    assert 10 <= spent["outer"] < 50 <= spent["inner"]
    assert spent.keys() == {"outer", "inner", "everything else"}
    assert clock.milliseconds()["inner"] == 0
