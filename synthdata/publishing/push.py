"""Push a dataset folder or a model folder to the Hub as it is.

The token is the one that huggingface_hub finds (``hf auth login``, ``HF_TOKEN``, …), and nothing that could hold it
reaches a message. Uploads are resumable: files that arrived stay on the Hub, and the same call sends what is missing.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RevisionNotFoundError
from huggingface_hub.utils import httpx, logging, validate_repo_id
from safetensors import SafetensorError, safe_open

from synthdata import __version__
from synthdata.emission import read_manifest, verify_dataset
from synthdata.emission.manifest import WORK
from synthdata.errors import FailureError, MisuseError, SynthdataError
from synthdata.reading import read_json
from synthdata.stores import LocalStore, Location, open_store

RESUME = "run the same command again: what was uploaded is kept"
# Shards of an earlier push whose names differ, such as those of another count, would be loaded along with the new ones;
# a page or metadata that the folder lacks would tell of other rows.
STALE = [
    "data/hard/*",
    "data/pairs/*",
    "data/replay/*",
    "data/relations/*",
    "index.html",
    "croissant.json",
    "shards-*.parquet",
]
HIDDEN = [".*", "*/.*"]
# What a model folder may hold. Everything else, pickled weights and code above all, could run when others load it.
MODEL_SUFFIXES = {".safetensors", ".json", ".yaml", ".md", ".txt", ".png", ".jpg", ".svg"}


@dataclass(frozen=True)
class Target:
    """Where to push.

    Attributes:
        repo: OWNER/NAME.
        kind: the Hub's type of repository.
        private: whether only the owner may read it.
        revision: branch to push to, created from ``main`` where it does not exist; None for ``main``.
    """

    repo: str
    kind: Literal["dataset", "model"]
    private: bool = False
    revision: str | None = None

    def __post_init__(self) -> None:
        try:
            validate_repo_id(self.repo)
        except HFValidationError as error:
            raise MisuseError(f"{self.repo!r} is no name for a repository: {error}") from None
        if "/" not in self.repo:
            raise MisuseError(f"{self.repo!r} lacks the owner: give OWNER/NAME (`hf auth whoami` names your account)")

    def call(self, function: str, *arguments: str) -> str:
        """The Python call that loads the repository."""
        quoted = ", ".join(f'"{argument}"' for argument in (self.repo, *arguments))
        split = ', split="train"' if self.kind == "dataset" else ""
        revision = f', revision="{self.revision}"' if self.revision is not None else ""
        return f"{function}({quoted}{split}{revision})"


def push_dataset(location: Location, repo: str, *, private: bool = False, revision: str | None = None) -> str:
    """Verify a dataset and push it; the repository's shards become exactly the dataset's.

    Args:
        location: of what an emission left behind; from an object store it is copied to this machine first.
        repo: OWNER/NAME, created if it does not exist.
        private: whether only the owner may read it.
        revision: branch to push to, created from ``main`` where it does not exist.

    Returns:
        The ``load_dataset`` call that loads it.

    Raises:
        MisuseError: if the folder is no finished dataset, or the Hub does not let this token write there.
        FailureError: if a shard is missing or altered, or the Hub fails or cannot be reached.
    """
    target = Target(repo, "dataset", private, revision)
    store = open_store(location)
    kinds = read_manifest(store)["kinds"]
    if not store.exists("README.md"):
        raise MisuseError(
            f"{store} holds no README.md, which says what is in data/: restore it, or run `synthdata finish {store}` "
            "if its emission was interrupted"
        )
    problems = verify_dataset(store)
    if problems:
        raise FailureError(
            f"nothing was pushed, as {store} is not sound: {problems[0]} (1 of {len(problems)} problems; "
            "`synthdata verify` lists them, emitting again mends them)"
        )
    with store.working_copy(leave_out=[WORK]) as folder:
        if problems := [] if isinstance(store, LocalStore) else verify_dataset(folder):
            raise FailureError(f"nothing was pushed, as {store} did not arrive whole: {problems[0]}; run it again")
        _upload(folder, target)
    return target.call("load_dataset", "pairs" if "pairs" in kinds else next(iter(kinds)))


def push_model(folder: Path, repo: str, *, private: bool = False, revision: str | None = None) -> str:
    """Push the ``encoder/`` or ``generator/`` folder of a run.

    Args:
        folder: holds ``config.json`` or ``model_index.json``, and weights as safetensors.
        repo: OWNER/NAME, created if it does not exist.
        private: whether only the owner may read it.
        revision: branch to push to, created from ``main`` where it does not exist.

    Returns:
        The ``from_pretrained`` call that loads it.

    Raises:
        MisuseError: if the folder is no model, holds pickles or other foreign files, or the Hub does not let this token
            write there.
        FailureError: if weights are damaged, or the Hub fails or cannot be reached.
    """
    target = Target(repo, "model", private, revision)
    _check_model(folder)
    _upload(folder, target)
    is_pipeline = (folder / "model_index.json").is_file()
    return target.call("DiffusionPipeline.from_pretrained" if is_pipeline else "Encoder.from_pretrained")


def _check_model(folder: Path) -> None:
    """Raise unless ``folder`` holds a model, intact and with nothing in it that could run code."""
    if not any((folder / name).is_file() for name in ("config.json", "model_index.json")):
        raise MisuseError(f"{folder} holds no config.json or model_index.json: name a run's encoder/ or generator/")
    visible = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_hidden(path, folder)]
    for path in visible:
        if path.suffix.lower() not in MODEL_SUFFIXES:
            raise MisuseError(
                f"{path} is not pushed, as it could run code where the model is loaded: save weights as safetensors "
                f"and keep only {' '.join(sorted(MODEL_SUFFIXES))} files in {folder}"
            )
    weights = [path for path in visible if path.suffix.lower() == ".safetensors"]
    if not weights:
        raise MisuseError(f"{folder} holds no weights: it needs a .safetensors file beside its configuration")
    for path in weights:
        try:
            with safe_open(path, framework="np"):
                pass
        except SafetensorError as error:
            raise FailureError(f"{path} is truncated or no safetensors file ({error}): save the model again") from None
    for path in visible:
        if path.suffix.lower() == ".json":
            _check_json(path)


def _check_json(path: Path) -> None:
    read_json(path, dict[str, Any], "save the model again")


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _upload(folder: Path, target: Target) -> None:
    """Create the repository and the branch where they do not exist, and upload what the Hub does not have yet."""
    token = get_token()
    if token is None:
        raise MisuseError("no Hugging Face token was found: run `hf auth login`, or set HF_TOKEN")
    if not (token.isascii() and token.isprintable()):
        raise MisuseError("the Hugging Face token holds characters that no token has: run `hf auth login` again")
    api = HfApi(library_name="synthdata", library_version=__version__)
    with hub_errors_as_one_line(target):
        api.create_repo(target.repo, repo_type=target.kind, private=target.private or None, exist_ok=True)
        if target.private and not api.repo_info(target.repo, repo_type=target.kind).private:
            raise MisuseError(f"{target.repo} exists and is public: make it private on the Hub, or drop --private")
        if target.revision is not None:
            _ensure_branch(api, target, target.revision)
        api.upload_folder(
            repo_id=target.repo,
            folder_path=folder,
            repo_type=target.kind,
            revision=target.revision,
            commit_message=f"Upload with synthdata {__version__}",
            ignore_patterns=list(HIDDEN),
            delete_patterns=STALE if target.kind == "dataset" else None,
        )


def _ensure_branch(api: HfApi, target: Target, branch: str) -> None:
    try:
        api.repo_info(target.repo, repo_type=target.kind, revision=branch)
    except RevisionNotFoundError:
        api.create_branch(target.repo, branch=branch, repo_type=target.kind, exist_ok=True)


@contextlib.contextmanager
def hub_errors_as_one_line(target: Target) -> Iterator[None]:
    """Turn what huggingface_hub and its transports raise into one line, and keep their warnings quiet meanwhile.

    The warnings name the signed links of uploads, which are credentials, and repeat themselves at every retry.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except (httpx.HTTPError, OSError, RuntimeError, ValueError) as error:
        # Without its cause, which carries the request and its headers.
        raise _explained(error, target) from None
    finally:
        logging.set_verbosity(verbosity)


def _explained(error: BaseException, target: Target) -> SynthdataError:
    root: BaseException | None = error
    while root is not None and not isinstance(root, HfHubHTTPError):
        root = root.__cause__
    if root is not None:
        return _refused(root, target)
    if isinstance(error, OfflineModeIsEnabled):
        return MisuseError("pushing needs the network and HF_HUB_OFFLINE forbids it: unset HF_HUB_OFFLINE")
    if isinstance(error, OSError) and error.filename is not None:
        return FailureError(f"{error.filename} could not be read ({error.strerror}): mend it and {RESUME}")
    if isinstance(error, ValueError):
        return MisuseError(f"{target.repo} does not take this upload: {error}")
    return FailureError(f"the connection to the Hub failed while pushing to {target.repo}: {RESUME}")


def _refused(error: HfHubHTTPError, target: Target) -> SynthdataError:
    status = error.response.status_code
    reason = f"the Hub answered {status} {error.server_message or error.response.reason_phrase}".rstrip(".! ")
    if status == 401:
        return MisuseError(f"the Hub does not know this token: run `hf auth login`, or set HF_TOKEN anew ({reason})")
    if status in (403, 404):
        return MisuseError(
            f"this token may not write to {target.repo} ({reason}): push under your own account, which `hf auth "
            "whoami` names, or use a token with write access"
        )
    if status in (400, 409, 422):
        return MisuseError(f"{target.repo} does not take this upload: {reason}")
    return FailureError(f"pushing to {target.repo} stopped: {reason}; {RESUME}")
