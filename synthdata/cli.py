"""``synthdata``: the verbs that need no launcher. Each has a file in ``synthdata.verbs``, and a line here."""

import sys
from collections.abc import Sequence

from synthdata import __version__
from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from synthdata.program import Verb, run_verb
    from synthdata.verbs.construct import ConstructVerb, construct
    from synthdata.verbs.finish import FinishConfig, finish
    from synthdata.verbs.page import PageConfig, page
    from synthdata.verbs.push import PushConfig, PushModelConfig, push, push_model
    from synthdata.verbs.quickstart import QuickstartConfig, quickstart
    from synthdata.verbs.slim import SlimConfig, slim
    from synthdata.verbs.takedown import TakedownShardsConfig, takedown
    from synthdata.verbs.verify import VerifyConfig, verify

DESCRIPTION = """\
Check, complete and share the datasets and models that the recipes write.

  synthdata quickstart                                                      copy the recipes and their settings here
  accelerate launch recipes/joint.py --config recipes/configs/digits.yaml   train an encoder and a generator together
  accelerate launch recipes/emit.py --run runs/digits --output out/digits   write a dataset of hard samples and pairs
  synthdata verify out/digits                                               check every shard against the manifest
  synthdata construct hard_negatives --source digits --encoder DIR          write relations between the rows of a source
  synthdata page out/digits                                                 write its page to look at, index.html
  synthdata push out/digits OWNER/NAME                                      put it on the Hugging Face Hub

Exit codes: 0 done; 1 something failed or is damaged; 2 the request cannot be met as given.
"""

VERBS: list[Verb] = [
    Verb("quickstart", "copy the recipes and their settings to this folder", QuickstartConfig, quickstart),
    ConstructVerb("construct", "write a dataset of relations between the rows of a source", object, construct),
    Verb("verify", "check a dataset folder against its manifest", VerifyConfig, verify),
    Verb("finish", "write the manifest of a dataset that several workers emitted", FinishConfig, finish),
    Verb("takedown", "make a dataset again without taken-down images", TakedownShardsConfig, takedown),
    Verb("page", "write the page of a run, a dataset or a comparison again", PageConfig, page),
    Verb("push", "push a dataset folder to the Hub", PushConfig, push),
    Verb("push-model", "push an encoder or a generator to the Hub", PushModelConfig, push_model),
    Verb("slim", "cut a smaller encoder out of a trained one", SlimConfig, slim),
]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the verb named by ``arguments``, by default those of the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) == ["--version"]:
        print(f"synthdata {__version__}")
        sys.exit(0)
    with one_line_errors():
        sys.exit(run_verb("synthdata", VERBS, DESCRIPTION, arguments))


if __name__ == "__main__":
    main()
