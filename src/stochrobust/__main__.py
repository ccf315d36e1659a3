"""``python -m stochrobust`` is ``stochrobust``; ``--help`` says what it takes."""

import sys

from stochrobust.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
