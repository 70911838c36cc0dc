"""`python -m speechgru.cli`: the command without its script."""

from speechgru.cli import main

if __name__ == "__main__":
    main()
