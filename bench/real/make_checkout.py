"""Makes the folder of the small-git row: the repository of the git row, with its files checked out.

Usage: make_checkout.py FOLDER
"""

import os
import pathlib
import subprocess
import sys

import make_repository

TIME = 1_600_000_000  # A file as young as the index would be read again by each `git status`.


def main(folder):
    make_repository.make(folder / ".git")

    def git(*words):
        subprocess.run(["git", "-C", folder, *words], check=True)

    git("config", "core.bare", "false")
    git("reset", "--quiet", "--hard")
    for path in folder.glob("*/*.txt"):
        os.utime(path, (TIME, TIME))
    (folder / "new.txt").touch()
    git("update-index", "--refresh", "-q")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
