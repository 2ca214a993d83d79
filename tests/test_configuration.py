from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from synthdata.configuration import parse, positional
from synthdata.errors import MAX_LENGTH, MisuseError
from synthdata.federated import FederatedConfig
from synthdata.training import ContrastConfig, JointConfig
from synthdata.training.compare import CompareConfig


def parsed(*flags: str, default_file: Path | None = None) -> JointConfig:
    return parse(JointConfig, "", flags, default_file)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 3\ntrain:\n  steps: 7\n  batch_size: 32\nviews:\n  crop_scale: [0.5, 1.0]\n")
    return path


def test_without_flags_every_default_is_that_of_the_dataclasses() -> None:
    assert parsed() == JointConfig()


def test_flags_override_a_file_and_a_file_the_defaults(config_file: Path) -> None:
    config = parsed("--config", str(config_file), "--train.steps", "9", "--generator.gan.width=4")
    assert (config.seed, config.train.steps, config.train.batch_size) == (3, 9, 32)
    assert config.views.crop_scale == (0.5, 1.0)
    assert config.generator.gan.width == 4
    assert config.train.temperature == JointConfig().train.temperature


def test_a_default_file_comes_before_everything_else(config_file: Path) -> None:
    assert parsed(default_file=config_file).train.steps == 7
    assert parsed("--train.steps", "9", default_file=config_file).train.steps == 9


@pytest.mark.parametrize(
    ("flag", "unknown", "nearest"),
    [
        ("--train.step", "train.step", "train.steps"),
        ("--train.batchsize", "train.batchsize", "train.batch_size"),
        ("--generator.gan.widht", "generator.gan.widht", "generator.gan.width"),
        ("--outputdir", "outputdir", "output_dir"),
    ],
)
def test_an_unknown_flag_is_told_with_the_nearest_known_one(flag: str, unknown: str, nearest: str) -> None:
    with pytest.raises(MisuseError, match=rf"no setting {unknown}; the nearest is {nearest}"):
        parsed(f"{flag}=1")


@pytest.mark.parametrize(
    ("content", "unknown", "nearest"),
    [
        ("trian:\n  steps: 3\n", "trian.steps", "train.steps"),
        ("train:\n  stepz: 3\n", "stepz", "train.steps"),
        ("views:\n  crop_scales: [0.1, 1]\n", "crop_scales", "views.crop_scale"),
    ],
)
def test_an_unknown_key_of_a_file_is_told_with_the_nearest_known_one(
    tmp_path: Path, content: str, unknown: str, nearest: str
) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(MisuseError, match=rf"{unknown}; the nearest is {nearest}"):
        parsed("--config", str(tmp_path / "config.yaml"))


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--data.sorce", "digits"], "data: there is no setting sorce; the nearest is source (see --help)"),
        (["--data.limit", "few"], "data.limit: expected int or null. Got value: few (see --help)"),
    ],
)
def test_a_wrong_setting_of_a_part_that_may_be_missing_is_told_in_plain_words(flags: list[str], line: str) -> None:
    with pytest.raises(MisuseError) as told:
        parse(ContrastConfig, "", flags)
    assert str(told.value) == line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--arm", "nonsense"], ("arm", "nonsense", "one of 'real', 'inflate'")),
        (["--data.limit", "few"], ("data.limit: expected int or null", "few")),
        (["--train.learning_rate", "-1"], ("train.learning_rate is -1.0", "more than 0")),
        (["--views.crop_scale", "[0.5, 0.2]"], ("views.crop_scale is [0.5, 0.2]", "in increasing order")),
        (["--evaluation.labels", "[10, 0]"], ("evaluation.labels[1] is 0", "at least 1")),
        (["--train.steps", "many"], ("train.steps", "many")),
        (["--views.hue", "2"], ("hue", "2")),
        (["--config", "absent.yaml"], ("absent.yaml",)),
    ],
)
def test_a_value_that_does_not_fit_is_named_in_one_line(flags: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(MisuseError) as caught:
        parsed(*flags)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_print_config_shows_what_can_be_read_again(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed("--config", str(config_file), "--arm", "hard", "--print_config")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["train"]["steps"] == 7
    (tmp_path / "shown.yaml").write_text(shown)
    assert parsed("--config", str(tmp_path / "shown.yaml")) == parsed("--config", str(config_file), "--arm", "hard")


@pytest.mark.parametrize(
    "flags",
    [
        ["--evaluation.labels", "10", "20", "--seed", "5"],
        ["--evaluation.labels=10", "20", "--seed=5"],
        ["--seed", "5", "--evaluation.labels", "[10, 20]"],
        ["--evaluation.labels=[10,20]", "--seed", "5"],
    ],
)
def test_a_list_is_written_with_or_without_brackets(flags: list[str]) -> None:
    config = parsed(*flags)
    assert (config.evaluation.labels, config.seed) == ([10, 20], 5)


def test_texts_of_a_list_stay_texts() -> None:
    config = parse(CompareConfig, "", ["--shards", "1", "null", "a b", "hf://datasets/x/y", "--limits", "100"])
    assert config.shards == ["1", "null", "a b", "hf://datasets/x/y"]
    assert config.limits == [100]


@dataclass
class Target:
    """Where to.

    Attributes:
        folder: from here.
        repo: to there.
        private: out of sight.
    """

    folder: str = positional("DIR")
    repo: str = positional("OWNER/NAME")
    private: bool = False


@pytest.mark.parametrize(
    ("arguments", "private"),
    [
        ("a b", False),
        ("a b --private", True),
        ("--private a b", True),
        ("--private false a b", False),
        ("a --private=true b", True),
    ],
)
def test_a_switch_needs_no_value_wherever_it_stands(arguments: str, private: bool) -> None:
    assert parse(Target, "", arguments.split()) == Target("a", "b", private)


def test_what_is_given_without_a_flag_is_called_by_its_name_in_help_and_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="0"):
        parse(Target, "Copies it:\n\n    put a b", ["--help"], program="put")
    shown = capsys.readouterr().out
    assert shown.startswith("usage: put DIR OWNER/NAME [--SETTING VALUE ...]\n\nCopies it:\n\n")
    with pytest.raises(MisuseError, match=r"^OWNER/NAME must be given"):
        parse(Target, "", ["a"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"train:\n", "train is null: it must be settings with their names and values, or left out"),
        (b"data: null\n", "data is null: it must be settings"),
        (b"views: []\n", "views is a list of 0: it must be settings"),
        (b"data: {source: null}\n", "data.source is null: give it a value, or leave it out"),
        (b"views: {crop_scale: null}\n", "views.crop_scale is null"),
        (b"", "it holds null: it must be settings"),
        (bytes(range(256)), "no UTF-8 text: byte 128 is 0x80"),
        ("seed: 1\n".encode("utf-16"), "no UTF-8 text: byte 0 is 0xff"),
        (b"seed: 1\n" * 1_300_000, "10,400,000 bytes, more than the 1,048,576 that are read"),
        (b"[" * 100_000, "nesting depth"),
        (b"- " * 100_000, "it is nested more than 64 deep"),
        (b"a: &a [1]\nb: [*a, *a]\n", "it has an alias, *a"),
        (b"seed: 1\nseed: 2\n", "seed is in it twice"),
        (b"seed: " + b"1" * 5000, "a number in it has thousands of digits"),
        (b"x" * 5000 + b": 1", "no YAML: mapping values are not allowed"),
    ],
)
def test_a_file_of_something_else_is_told_in_one_line(tmp_path: Path, content: bytes, told: str):
    path = tmp_path / "settings.yaml"
    path.write_bytes(content)
    for arguments in (["--config", str(path)], [f"--config={path}"]):
        with pytest.raises(MisuseError) as error:
            parse(JointConfig, "", arguments)
        assert told in str(error.value)
        assert len(str(error.value)) <= MAX_LENGTH


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", '{"source": null}'], "data.source is null: give it a value, or leave it out"),
        (["--data", "null"], "data is null: it must be settings"),
        (["--views", "[]"], "views is a list of 0: it must be settings"),
        (["--data", "[" * 100_000], "data cannot be read (no YAML"),
        (["--seed", "x" * 100_000], "seed: expected int"),
        (["--" + "x" * 100_000, "1"], "there is no setting xxx"),
        (["--config", "x" * 5000], "give a YAML file of settings"),
    ],
)
def test_a_flag_of_something_else_is_told_in_one_line(arguments: list[str], told: str):
    with pytest.raises(MisuseError) as error:
        parse(JointConfig, "", arguments)
    assert told in str(error.value)
    assert len(str(error.value)) <= MAX_LENGTH


def test_a_section_that_may_be_left_out_may_be_null(tmp_path: Path):
    (tmp_path / "settings.yaml").write_text("data: null\n")
    assert parse(ContrastConfig, "", ["--config", str(tmp_path / "settings.yaml")]).data is None


@pytest.mark.parametrize(
    ("path", "message"),
    [("", "is empty"), ("~no-such-user/x", "no user's home"), ("a" * 5000, "bytes long"), ("a\0b", "NUL byte")],
)
@pytest.mark.parametrize("flag", ["output_dir", "emission.output", "generator.pretrained"])
def test_paths_that_no_file_can_have_are_named(flag: str, path: str, message: str) -> None:
    with pytest.raises(MisuseError, match=f"{flag}.* {message}") as error:
        parsed(f"--{flag}={path}")
    assert len(str(error.value)) < 300


def test_the_home_folder_takes_the_place_of_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parsed("--output_dir=~/run", "--emission.output=~/set", "--generator.pretrained=~/g")
    told = (config.output_dir, config.emission.output, config.generator.pretrained)
    assert told == (f"{tmp_path}/run", f"{tmp_path}/set", f"{tmp_path}/g")
    assert parse(CompareConfig, "", ["--shards", "~/a", "b"]).shards == [str(tmp_path / "a"), "b"]
    assert parse(FederatedConfig, "", ["--output_dir", "~/fed"]).output_dir == str(tmp_path / "fed")
    assert parsed("--output_dir=a/~b").output_dir == "a/~b"
