"""``python -m reference_experiments STUDY [--preset NAME] [--field value ...]``: from data to table and figures."""

from __future__ import annotations

import sys
from dataclasses import replace

from reference_experiments import command_line
from reference_experiments.study import Study


def studies() -> tuple[Study, ...]:
    """All of them; a new one is a folder with the files ``presets``, ``run``, ``tables``, ``findings``, ``figures``."""
    from reference_experiments.images.presets import SUPER_RESOLUTION
    from reference_experiments.toy.readings import STUDY as READINGS

    of_folder = Study.of_folder
    inpainting = replace(
        of_folder("inpainting", "Table 1 and Figure 1 on images", "images", "INPAINTING"), trainings="images"
    )
    return (
        of_folder("toy", "sections 4 and 5.1, appendices B.1, C, D and E.1; Figures 2, 4, 5, Tables 2, 3"),
        READINGS,
        of_folder("demo", "four small GANs complete hand-written digits: Table 1 and Figure 1 in minutes"),
        of_folder("alternatives", "Eq. 7 beside other regularizers on the digits, at equal cost"),
        of_folder("quality", "the quality metrics on real images, degraded and foreign"),
        of_folder("ruler", "none: what tells models on Fashion-MNIST apart, and the gate that it has to pass"),
        of_folder("diffusion", "diffusion restorers beside GANs: appendices B.2 and F"),
        inpainting,
        replace(inpainting, name="super-resolution", about="Figure 3", presets=SUPER_RESOLUTION),
        of_folder("srflow", "section 6.2, Figure 7: super-resolvers under I-FGSM, anybody's too"),
    )


def main(arguments: list[str]) -> None:
    """Run one command."""
    command_line.run(arguments, studies)


if __name__ == "__main__":
    main(sys.argv[1:])
