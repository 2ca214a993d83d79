"""``synthdata``: the verbs that need no launcher."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synthdata import __version__
from synthdata.errors import one_line_errors

DESCRIPTION = """\
Check, complete and share the datasets and models that the recipes write.

  accelerate launch recipes/joint.py --config recipes/configs/digits.yaml   train an encoder and a generator together
  accelerate launch recipes/emit.py --run runs/digits --output out/digits   write a dataset of hard samples and pairs
  synthdata verify out/digits                                               check every shard against the manifest
  synthdata push out/digits OWNER/NAME                                      put it on the Hugging Face Hub
"""

EXIT_CODES = "Exit codes: 0 done; 1 something failed or is damaged; 2 the request cannot be met as given."

TOKEN = """\
The token is the one that huggingface_hub finds: log in once with `hf auth login`, or set HF_TOKEN. A push that was
interrupted goes on where it stopped when the same command is run again. The repository is public unless --private.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the verb named by ``arguments``, by default those of the command line."""
    options = _parser().parse_args(arguments)
    with one_line_errors():
        sys.exit(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "synthdata", description=DESCRIPTION, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"synthdata {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    verify = verbs.add_parser(
        "verify",
        help="check a dataset folder against its manifest",
        description="Read every shard and compare its size, row count and sha256 with manifest.json. Each shard that "
        "is missing, truncated or altered gets one line, and the exit code is then 1.",
    )
    verify.add_argument("folder", metavar="DIR", type=Path, help="what an emission left behind")
    verify.set_defaults(run=_verify)

    finish = verbs.add_parser(
        "finish",
        help="write the manifest of a dataset that several workers emitted",
        description="Complete a dataset whose shards were written by `recipes/emit.py --worker I --workers N`: check "
        "that every shard is there and write manifest.json and README.md. The last worker does the same by itself.",
    )
    finish.add_argument("folder", metavar="DIR", type=Path, help="the --output of the workers")
    finish.set_defaults(run=_finish)

    push = verbs.add_parser(
        "push",
        help="push a dataset folder to the Hub",
        description="Verify a dataset folder, push it as it is, and print the call that loads it.",
        epilog=TOKEN,
    )
    _add_target(push, "what an emission left behind")
    push.set_defaults(run=_push)

    push_model = verbs.add_parser(
        "push-model",
        help="push an encoder or a generator to the Hub",
        description="Push the encoder/ or generator/ folder of a run and print the call that loads it. Only "
        "safetensors weights and plain configuration are pushed; a folder with pickles is refused.",
        epilog=TOKEN,
    )
    _add_target(push_model, "runs/NAME/encoder or runs/NAME/generator")
    push_model.set_defaults(run=_push_model)
    return parser


def _add_target(parser: argparse.ArgumentParser, folder: str) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help=folder)
    parser.add_argument("repo", metavar="OWNER/NAME", help="repository on the Hub, created if it does not exist")
    parser.add_argument("--private", action="store_true", help="create the repository private")
    parser.add_argument("--revision", metavar="R", help="branch to push to, created if missing (default: main)")


def _verify(options: argparse.Namespace) -> int:
    from synthdata.emission import read_manifest, verify_dataset

    problems = verify_dataset(options.folder)
    for problem in problems:
        print(problem)
    if problems:
        return 1
    manifest = read_manifest(options.folder)
    print(f"{options.folder} is sound: {_contents(manifest)}")
    return 0


def _finish(options: argparse.Namespace) -> int:
    from synthdata.emission import finish_dataset, read_manifest
    from synthdata.publishing.card import write_missing_card

    finish_dataset(options.folder)
    write_missing_card(options.folder)
    print(f"{options.folder} is finished: {_contents(read_manifest(options.folder))}")
    return 0


def _push(options: argparse.Namespace) -> int:
    _show_progress_on_terminals_only()
    from synthdata.publishing.push import push_dataset

    print(push_dataset(options.folder, options.repo, private=options.private, revision=options.revision))
    return 0


def _push_model(options: argparse.Namespace) -> int:
    _show_progress_on_terminals_only()
    from synthdata.publishing.push import push_model

    print(push_model(options.folder, options.repo, private=options.private, revision=options.revision))
    return 0


def _contents(manifest: dict[str, Any]) -> str:
    rows = ", ".join(f"{summary['rows']:,} {kind}" for kind, summary in manifest["kinds"].items())
    return f"{rows} in {len(manifest['shards']):,} shards"


def _show_progress_on_terminals_only() -> None:
    """Keep huggingface_hub's bars out of logs; it reads the variable when it is imported."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


if __name__ == "__main__":
    main()
