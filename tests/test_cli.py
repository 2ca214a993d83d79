"""`synthdata` as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub.samples import write_webdataset

import synthdata
from synthdata.cli import main
from synthdata.models import Encoder, cost_of

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_webdataset(tmp_path / "digits")


def run_cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "synthdata.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_verb_and_an_example_of_its_use() -> None:
    shown = run_cli("--help")
    assert shown.returncode == 0
    for words in (
        "verify",
        "finish",
        "page",
        "push",
        "push-model",
        "synthdata push out/digits OWNER/NAME",
        "Exit codes",
    ):
        assert words in shown.stdout


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("verify", ("DIR", "sha256", "exit code")),
        ("finish", ("DIR", "--workers", "manifest.json")),
        ("page", ("DIR", "--show_real", "--run", "index.html")),
        ("push", ("OWNER/NAME", "--private", "--revision", "HF_TOKEN", "interrupted")),
        ("push-model", ("OWNER/NAME", "--private", "--revision", "safetensors", "pickles")),
        ("slim", ("DIR", "--ratio", "--output", "L1", "sacl_xd")),
    ],
)
def test_help_of_a_verb_says_what_it_does_and_needs(verb: str, words: tuple[str, ...]) -> None:
    shown = run_cli(verb, "--help")
    assert shown.returncode == 0
    for word in words:
        assert word in shown.stdout


def test_help_loads_no_heavy_library() -> None:
    code = "import sys, synthdata.cli; assert not {'torch', 'datasets', 'huggingface_hub'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=True)


def test_version_is_the_package_version() -> None:
    assert run_cli("--version").stdout == f"synthdata {synthdata.__version__}\n"


def test_no_verb_and_an_unknown_verb_are_misuse() -> None:
    assert run_cli().returncode == 2
    assert run_cli("polish").returncode == 2


def test_verify_of_a_sound_dataset_is_one_line(dataset: Path) -> None:
    answer = run_cli("verify", dataset)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"{dataset} is sound: 4 hard, 4 pairs in 4 shards\n"


def test_page_writes_the_page_of_a_dataset_and_says_where_it_is(dataset: Path) -> None:
    answer = run_cli("page", dataset)
    assert (answer.returncode, answer.stderr, answer.stdout) == (0, "", f"{dataset / 'index.html'}\n")
    assert "4 hard samples, 4 positive pairs" in (dataset / "index.html").read_text()


def test_page_of_real_images_that_are_not_told_is_misuse(dataset: Path) -> None:
    answer = run_cli("page", dataset, "--show_real", "true")
    assert answer.returncode == 2
    assert "does not tell where the real images are from" in answer.stderr
    assert run_cli("page", dataset, "--run", "runs/x").returncode == 2


def test_verify_names_every_damaged_shard_and_exits_1(dataset: Path) -> None:
    names = ["data/hard/hard-00000-of-00002.tar", "data/hard/hard-00001-of-00002.tar"]
    (dataset / names[0]).unlink()
    content = bytearray((dataset / names[1]).read_bytes())
    content[600] ^= 1
    (dataset / names[1]).write_bytes(content)
    answer = run_cli("verify", dataset)
    assert (answer.returncode, answer.stderr) == (1, "")
    assert [line.split(":")[0] for line in answer.stdout.splitlines()] == names


@pytest.mark.parametrize("verb", ["verify", "finish"])
def test_a_missing_folder_ends_in_one_line(verb: str, tmp_path: Path) -> None:
    answer = run_cli(verb, tmp_path / "absent")
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert "absent" in answer.stderr


@pytest.mark.parametrize("verb", ["verify", "finish"])
@pytest.mark.parametrize(
    ("path", "message"), [("", "is empty"), ("~no-such-user", "no user's home"), ("a" * 5000, "long")]
)
def test_a_path_that_no_folder_can_have_is_told_in_one_line(verb: str, path: str, message: str) -> None:
    ended = run_cli(verb, path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_slim_cuts_a_smaller_encoder_out_and_says_what_both_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = Encoder("resnet8", image_size=8, channels=1, width=16)
    encoder.save_pretrained(tmp_path / "host")
    with pytest.raises(SystemExit) as ended:
        main(["slim", str(tmp_path / "host"), "--ratio", "0.5", "--output", str(tmp_path / "cut")])
    assert ended.value.code == 0
    shown, slim = capsys.readouterr().out, Encoder.from_pretrained(tmp_path / "cut")
    for each in (encoder, slim):
        assert f"{cost_of(each).parameters:,}" in shown
        assert f"{cost_of(each).operations:,}" in shown
    assert cost_of(slim) == cost_of(Encoder("resnet8", 8, 1, width=8))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ratio", "0"], "ratio is 0.0: it must be more than 0"),
        (["--output", "."], ". exists already: remove it, or name another --output"),
        ([], "absent/encoder is neither a folder nor a repository"),
    ],
)
def test_slim_refuses_in_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["slim", "runs/absent/encoder", "--output", str(tmp_path / "cut"), *arguments])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "cut").exists()
