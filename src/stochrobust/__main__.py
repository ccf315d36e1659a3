"""``python -m stochrobust audit ...`` and ``python -m stochrobust compare ...``; ``--help`` says what they take."""

import sys

from stochrobust.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
