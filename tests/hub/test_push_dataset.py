"""`synthdata push` as a process against the loopback Hub."""

from pathlib import Path

import pytest

from synthdata.publishing.complete import complete_dataset

from .conftest import OTHER_TOKEN, TOKEN, Run
from .samples import write_webdataset
from .server import LoopbackHub


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_webdataset(tmp_path / "digits")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def on_hub(hub: LoopbackHub, name: str, revision: str = "main") -> dict[str, bytes]:
    files = hub.files("dataset", name, revision)
    return {path: file.content for path, file in files.items() if path != ".gitattributes"}


def assert_one_line(stderr: str, *parts: str) -> None:
    assert stderr.startswith("error: "), stderr
    assert stderr.count("\n") == 1, stderr
    for part in parts:
        assert part in stderr


def test_push_prints_the_call_that_loads_what_it_uploaded(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    pushed = run("synthdata", "push", dataset, "ada/first")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    assert pushed.stdout == 'load_dataset("ada/first", "pairs", split="train")\n'
    assert on_hub(hub, "ada/first") == contents(dataset)
    assert not hub.storage.repositories["dataset", "ada/first"].private


def test_page_and_croissant_metadata_are_pushed_with_the_dataset(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    complete_dataset(dataset)
    pushed = run("synthdata", "push", dataset, "ada/looked-at")
    assert pushed.returncode == 0, pushed.stderr
    files = on_hub(hub, "ada/looked-at")
    for name in ("index.html", "croissant.json"):
        assert files[name] == (dataset / name).read_bytes()
        (dataset / name).unlink()
    run("synthdata", "push", dataset, "ada/looked-at")
    assert on_hub(hub, "ada/looked-at") == contents(dataset)


def test_pushing_again_uploads_nothing_and_makes_no_commit(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    run("synthdata", "push", dataset, "ada/twice")
    before = hub.count("lfs_upload"), hub.count("commit")
    assert before == (4, 1)
    again = run("synthdata", "push", dataset, "ada/twice")
    assert (again.returncode, again.stderr) == (0, "")
    assert (hub.count("lfs_upload"), hub.count("commit")) == before


def test_push_replaces_the_shards_of_an_earlier_push(run: Run, hub: LoopbackHub, dataset: Path, tmp_path: Path) -> None:
    run("synthdata", "push", dataset, "ada/replaced")
    other = write_webdataset(tmp_path / "other", shards=1, seed=1)
    pushed = run("synthdata", "push", other, "ada/replaced")
    assert pushed.returncode == 0, pushed.stderr
    assert on_hub(hub, "ada/replaced") == contents(other)


def test_push_to_a_private_repository_on_a_branch(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    pushed = run("synthdata", "push", dataset, "ada/branch", "--private", "--revision", "trial")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == 'load_dataset("ada/branch", "pairs", split="train", revision="trial")\n'
    assert on_hub(hub, "ada/branch") == {}
    assert on_hub(hub, "ada/branch", "trial") == contents(dataset)
    assert hub.storage.repositories["dataset", "ada/branch"].private


def test_push_private_refuses_a_repository_that_is_public(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    hub.storage.create("dataset", "ada/public", "ada", private=False)
    pushed = run("synthdata", "push", dataset, "ada/public", "--private")
    assert pushed.returncode == 2
    assert_one_line(pushed.stderr, "ada/public", "public")
    assert on_hub(hub, "ada/public") == {}


def test_a_damaged_dataset_is_not_pushed(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    shard = dataset / "data" / "hard" / "hard-00001-of-00002.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    pushed = run("synthdata", "push", dataset, "ada/damaged")
    assert pushed.returncode == 1
    assert_one_line(pushed.stderr, "hard-00001-of-00002.tar")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("repo", "token", "parts"),
    [
        ("ada/secret", "hf_wrongSecret", ("hf auth login", "HF_TOKEN")),
        ("ada/secret", "hf_wrong\x01Secret", ("hf auth login",)),
        ("ada/secret", None, ("no Hugging Face token", "hf auth login")),
        ("ada/taken", OTHER_TOKEN, ("ada/taken", "may not write", "hf auth whoami")),
        ("nobody/new", TOKEN, ("nobody/new", "may not write", "hf auth whoami")),
        ("digits", TOKEN, ("'digits'", "OWNER/NAME")),
        ("ada/a--b", TOKEN, ("'ada/a--b'",)),
    ],
)
def test_a_push_that_the_hub_will_not_take_ends_in_one_line_without_the_token(
    run: Run, hub: LoopbackHub, dataset: Path, repo: str, token: str | None, parts: tuple[str, ...]
) -> None:
    hub.storage.create("dataset", "ada/taken", "ada", private=False)
    pushed = run("synthdata", "push", dataset, repo, HF_TOKEN=token)
    assert pushed.returncode == 2
    assert_one_line(pushed.stderr, *parts)
    assert pushed.stdout == ""
    assert "Secret" not in pushed.stderr


@pytest.mark.parametrize("route", ["create_repo", "commit"])
def test_a_hub_that_answers_500_costs_nothing_that_was_uploaded(
    run: Run, hub: LoopbackHub, dataset: Path, route: str
) -> None:
    repo = f"ada/status-{route}".replace("_", "-")
    hub.fail(route)
    failed = run("synthdata", "push", dataset, repo)
    assert failed.returncode == 1
    assert_one_line(failed.stderr, repo, "500", "run the same command again")
    resumed = run("synthdata", "push", dataset, repo)
    assert resumed.returncode == 0, resumed.stderr
    assert on_hub(hub, repo) == contents(dataset)
    assert hub.count("lfs_upload") == 4


def test_a_connection_that_breaks_midway_costs_nothing_that_was_uploaded(
    run: Run, hub: LoopbackHub, dataset: Path
) -> None:
    hub.cut("commit", after=500)
    failed = run("synthdata", "push", dataset, "ada/broken")
    assert failed.returncode == 1
    assert_one_line(failed.stderr, "connection", "ada/broken", "run the same command again")
    resumed = run("synthdata", "push", dataset, "ada/broken")
    assert resumed.returncode == 0, resumed.stderr
    assert hub.count("lfs_upload") == 4
    assert on_hub(hub, "ada/broken") == contents(dataset)


def test_an_upload_that_is_cut_once_is_sent_again(run: Run, hub: LoopbackHub, dataset: Path) -> None:
    hub.cut("lfs_upload", after=2000)
    pushed = run("synthdata", "push", dataset, "ada/retried")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    assert hub.count("lfs_upload") == 5
    assert on_hub(hub, "ada/retried") == contents(dataset)


def test_a_hub_that_is_not_there_ends_in_one_line(run: Run, dataset: Path) -> None:
    pushed = run("synthdata", "push", dataset, "ada/nowhere", HF_ENDPOINT="http://127.0.0.1:9")
    assert pushed.returncode == 1
    assert_one_line(pushed.stderr, "connection", "run the same command again")
