"""Score a saved encoder on labelled images: linear probe, low-label probes, k-NN. Prints one JSON line.

accelerate launch recipes/probe.py --encoder runs/digits/encoder --data.source digits
"""

import json
from dataclasses import dataclass, field

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from accelerate import Accelerator

    from synthdata.configuration import parse
    from synthdata.data import DataConfig
    from synthdata.evaluation import load_labelled, score_encoder
    from synthdata.models import Encoder
    from synthdata.paths import PathText
    from synthdata.threads import use_idle_cores
    from synthdata.training.config import EvaluationConfig


@dataclass
class ProbeConfig:
    """The scores of a frozen encoder.

    Attributes:
        encoder: a folder that holds an encoder, or OWNER/NAME on the Hub.
        data: labelled images; their size is the encoder's.
    """

    encoder: PathText = "runs/digits/encoder"
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


def main() -> None:
    config = parse(ProbeConfig, __doc__ or "")
    accelerator = Accelerator()
    use_idle_cores(accelerator.device.type)
    encoder = Encoder.from_pretrained(config.encoder).to(accelerator.device)
    data = load_labelled(encoder, config.data)
    settings = config.evaluation
    scores = score_encoder(encoder, data, accelerator.device, settings.limit, settings.labels, settings.test)
    print(json.dumps({"encoder": config.encoder, "source": config.data.source, **scores}))


if __name__ == "__main__":
    with one_line_errors():
        main()
