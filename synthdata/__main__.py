"""``python -m synthdata``: the same as ``synthdata``."""

from synthdata.cli import main

if __name__ == "__main__":
    main()
