"""`speechgru transcribe` for people who run files: python scripts/transcribe.py BUNDLE AUDIO... [--json]."""

import sys

from speechgru.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "transcribe")
    main()
