"""``synthdata push DIR OWNER/NAME`` and ``synthdata push-model DIR OWNER/NAME``."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from synthdata.configuration import positional
from synthdata.paths import PathText


@dataclass
class PushConfig:
    """Verify a dataset folder, push it as it is, and print the call that loads it.

    The token is the one that huggingface_hub finds: log in once with `hf auth login`, or set HF_TOKEN. A push that was
    interrupted goes on where it stopped when the same command is run again. The repository is public unless --private.

    Attributes:
        folder: what an emission left behind.
        repo: repository on the Hub, created if it does not exist.
        private: create the repository private.
        revision: branch to push to, created if missing; main if not given.
    """

    folder: PathText = positional("DIR")
    repo: str = positional("OWNER/NAME")
    private: bool = False
    revision: str | None = None


@dataclass
class PushModelConfig:
    """Push the encoder/ or generator/ folder of a run and print the call that loads it.

    Only safetensors weights and plain configuration are pushed; a folder with pickles is refused. The token is the one
    that huggingface_hub finds: log in once with `hf auth login`, or set HF_TOKEN. A push that was interrupted goes on
    where it stopped when the same command is run again. The repository is public unless --private.

    Attributes:
        folder: runs/NAME/encoder or runs/NAME/generator.
        repo: repository on the Hub, created if it does not exist.
        private: create the repository private.
        revision: branch to push to, created if missing; main if not given.
    """

    folder: PathText = positional("DIR")
    repo: str = positional("OWNER/NAME")
    private: bool = False
    revision: str | None = None


def push(config: PushConfig) -> None:
    """Push a dataset."""
    _show_progress_on_terminals_only()
    from synthdata.publishing.push import push_dataset

    print(push_dataset(config.folder, config.repo, private=config.private, revision=config.revision))


def push_model(config: PushModelConfig) -> None:
    """Push a model."""
    _show_progress_on_terminals_only()
    from synthdata.publishing.push import push_model as push_folder

    print(push_folder(Path(config.folder), config.repo, private=config.private, revision=config.revision))


def _show_progress_on_terminals_only() -> None:
    """Keep huggingface_hub's bars out of logs; it reads the variable when it is imported."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
