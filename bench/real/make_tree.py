"""Makes the folder of the small-ls row: 40 folders with 40 empty files each.

Usage: make_tree.py FOLDER
"""

import pathlib
import sys

from generator import Generator

FOLDERS, FILES = 40, 40


def main(folder):
    generator = Generator()
    for number in range(FOLDERS):
        inner = folder / f"{number:02d} {generator.line()}"
        inner.mkdir(parents=True)
        for file in range(FILES):
            (inner / f"{file:02d} {generator.line()}").touch()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
