"""`speechgru tune` for people who run files: python scripts/tune.py SWEEP.yaml --run DIR [section.key=value ...]."""

import sys

from speechgru.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "tune")
    main()
