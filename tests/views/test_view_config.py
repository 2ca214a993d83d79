from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from synthdata.errors import MisuseError
from synthdata.views import ViewConfig


def test_defaults_are_the_simclr_preset() -> None:
    assert ViewConfig() == ViewConfig.simclr()


def test_weak_preset_crops_less_and_jitters_less_often() -> None:
    strong, weak = ViewConfig.simclr(), ViewConfig.weak()
    assert weak.crop_scale[0] > strong.crop_scale[0]
    assert weak.jitter_probability < strong.jitter_probability


def test_yaml_and_dotted_overrides_reach_every_kind_of_field(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("views:\n  crop_scale: [0.5, 0.9]\n  hue: 0.2\n")
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_argument("--views", type=ViewConfig, default=ViewConfig())
    arguments = ["--config", str(config), "--views.hue", "0.3", "--views.blur_sigma", "[0.5, 1]"]
    parsed = parser.parse_args(arguments).views
    assert ViewConfig(**vars(parsed)) == ViewConfig(crop_scale=(0.5, 0.9), hue=0.3, blur_sigma=(0.5, 1.0))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flip_probability", 1.5),
        ("jitter_probability", -0.1),
        ("brightness", 2.0),
        ("hue", 0.6),
        ("crop_scale", (0.0, 1.0)),
        ("crop_scale", (0.5, 1.5)),
        ("crop_ratio", (2.0, 1.0)),
        ("blur_sigma", (0.0, 1.0)),
        ("noise_probability", 1.1),
        ("noise_sigma", (0.0, 0.3)),
    ],
)
def test_setting_outside_its_range_is_named(name: str, value: float | tuple[float, float]) -> None:
    with pytest.raises(MisuseError, match=name):
        ViewConfig(**{name: value})  # type: ignore[arg-type]
