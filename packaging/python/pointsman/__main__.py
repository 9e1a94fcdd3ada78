"""`python -m pointsman`: becomes the program, so that signals and exit codes are its own."""

import os
import sys

from pointsman import find


def main() -> None:
    try:
        program = find()
    except FileNotFoundError as error:
        sys.exit(f"pointsman: {error}")
    os.execv(program, [program, *sys.argv[1:]])


main()
