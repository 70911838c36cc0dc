"""`speechgru evaluate` for people who run files: python scripts/evaluate.py RUN_OR_BUNDLE --manifest M [--json]."""

import sys

from speechgru.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    main()
