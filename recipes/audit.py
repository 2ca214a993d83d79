"""Tell what a run gives away of images that were taken down from it.

    accelerate launch recipes/audit.py --run runs/mine-2 --forget forget.txt
    accelerate launch recipes/audit.py --run runs/mine-2 --forget forget.txt --reference runs/retrained

Of the run before, of the new one, and of a reference that was trained without the images (recipes/takedown.py --method
retrain), it measures

- membership inference against the encoder (EncoderMI, Liu et al., CCS 2021): AUC, true positives at 1 % false ones;
- accuracy of a linear probe and of k-NN on retained, forgotten and test images;
- the steps in which the encoder learns the images again;
- with --shadows N, an attack on each image for itself, by N encoders trained with it or without it (U-LiRA);
- near copies of them among generated images, and what the generator's own score gives away.

First comes the power of the attack on the run before: where it cannot tell members there, nothing can be concluded from
its silence on the new run. The goal is the value of the reference: a run can forget too much, which marks the images
out as well. It prints the table, and writes audit.json, audit.md and audit.png into the folder audit of the run. One
process computes; others wait for it.
"""

from synthdata.errors import interruptible_imports, one_line_errors

with interruptible_imports():
    from accelerate import Accelerator

    from synthdata.configuration import parse
    from synthdata.takedown.audit import AuditConfig, audit
    from synthdata.takedown.audit_report import as_markdown
    from synthdata.threads import use_idle_cores
    from synthdata.training.collective import on_main_process


def main() -> None:
    config = parse(AuditConfig, __doc__ or "")
    accelerator = Accelerator()
    use_idle_cores(accelerator.device.type)
    result = on_main_process(lambda: audit(config, accelerator), accelerator)
    if result:
        print(as_markdown(result))


if __name__ == "__main__":
    with one_line_errors():
        main()
