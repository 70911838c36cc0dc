"""`speechgru export` for people who run files: python scripts/export.py RUN --out BUNDLE [--quantize ...]."""

import sys

from speechgru.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "export")
    main()
