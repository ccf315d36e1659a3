"""The command line, ``python -m stochrobust audit ...``, and what it reads pictures and models with."""

from stochrobust.cli.decoding import opened_picture
from stochrobust.cli.factory import made_model
from stochrobust.cli.files import opened, with_suffix
from stochrobust.cli.folder import read_pictures

__all__ = ["made_model", "opened", "opened_picture", "read_pictures", "with_suffix"]
