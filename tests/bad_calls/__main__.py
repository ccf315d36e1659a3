"""Every wrong call, or a seeded sample of them: python -m tests.bad_calls [--sample N] [--seed S]."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from tests.bad_calls.calls import BASES


def main(arguments: list[str]) -> int:
    """Print the verdicts that are not as they should be, and counts; 1 if there are too many."""
    options = argparse.ArgumentParser()
    options.add_argument("--sample", type=int)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="")
    chosen = options.parse_args(arguments)
    cases = [case for base in BASES for case in base.cases() if chosen.only in str(case)]
    if chosen.sample is not None:
        cases = random.Random(chosen.seed).sample(cases, chosen.sample)
    counts: Counter[str] = Counter()
    start = time.process_time()
    for case in cases:
        verdict = case.verdict()
        counts[verdict.partition(":")[0] or "refused by name"] += 1
        if verdict:
            print(f"{case}: {verdict}", flush=True)
    print(f"{len(cases)} calls in {time.process_time() - start:.0f} s: {dict(counts)}")
    return int(counts["silent"] > 0 or counts["slow"] > 0 or counts["obscure"] > len(cases) // 100)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
