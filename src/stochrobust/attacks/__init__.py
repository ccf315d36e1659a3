"""How delta is searched, and in which ball."""

from stochrobust.attacks.balls import L2, Linf
from stochrobust.attacks.by_gradient import EVALUATION, IFGSM, PAPER, PAPER_TOY, PGD, TRAINING, AdamAscent, SphereAscent
from stochrobust.attacks.by_search import DenseSearch, RandomSearch
from stochrobust.attacks.subspace import SubspaceSearch

__all__ = [
    "EVALUATION",
    "IFGSM",
    "L2",
    "PAPER",
    "PAPER_TOY",
    "PGD",
    "TRAINING",
    "AdamAscent",
    "DenseSearch",
    "Linf",
    "RandomSearch",
    "SphereAscent",
    "SubspaceSearch",
]
