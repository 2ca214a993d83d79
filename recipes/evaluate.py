"""Score a saved encoder in the usual ways. Prints one JSON line.

    accelerate launch recipes/evaluate.py --encoder runs/digits/encoder --data.source digits
    accelerate launch recipes/evaluate.py --encoder runs/x/encoder --data.source parquet:PATH --transfer digits \\
        --seeds 3 --output out/evaluation

- frozen features: linear probe, k-NN, and the linear probe with 1 % and 10 % of the labels, over several draws of them;
- fine-tuning of all weights with 10 % of the labels (--fine_tuning.steps 0 leaves it out);
  --fine_tuning.wrapper explore_exploit trains a widened last layer after it, until the labels are fitted;
- alignment and uniformity of two random views;
- label reach: the share of the labels' variance that a linear readout of the features can express on held-out images,
  beside its chance level, and the classes that it reaches least;
- --corruptions true: linear probe and k-NN on noisy, blurred, pale and coarse test images, as means over the five
  severities of CIFAR-10-C;
- transfer: linear probe and k-NN on other data, brought to the encoder's image size and channels.

--save_classifier DIR writes the encoder with its linear probe as a classifier, for recipes/distil.py.

--output also writes evaluation.json and evaluation.md there. One process is enough; several compute the same.
"""

import json
from pathlib import Path

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from accelerate import Accelerator

    from synthdata.configuration import parse
    from synthdata.evaluation.classify import fit_classifier
    from synthdata.evaluation.evaluate import EvaluateConfig, as_json, as_markdown, evaluate, open_subject
    from synthdata.threads import use_idle_cores
    from synthdata.training.collective import local_main_process_first
    from synthdata.training.run_directory import write_aside, writing


def main() -> None:
    config = parse(EvaluateConfig, __doc__ or "")
    accelerator = Accelerator()
    use_idle_cores(accelerator.device.type)
    with local_main_process_first(accelerator):
        subject = open_subject(config, accelerator.device)
    evaluations = evaluate(subject, config, accelerator)
    if not accelerator.is_main_process:
        return
    if config.save_classifier:
        classifier = fit_classifier(subject.encoder, subject.data, accelerator.device, config.limit)
        with writing(Path(config.save_classifier)):
            classifier.save_pretrained(Path(config.save_classifier))
    report = as_json(evaluations, config.encoder)
    if config.output:
        folder = Path(config.output)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_aside(folder / "evaluation.json", json.dumps(report, indent=2) + "\n")
        write_aside(folder / "evaluation.md", as_markdown(evaluations, config.encoder))
    print(json.dumps(report))


if __name__ == "__main__":
    with one_line_errors():
        main()
