"""Makes the repository of the git row: 200 commits over 120 files, the same at every run.

Usage: make_repository.py FOLDER
"""

import subprocess
import sys

from generator import Generator


def history(commits=200, files=120, lines=150, changes=12):
    """Yields the commits as input of `git fast-import`."""
    generator = Generator()
    content = [[generator.line() for _ in range(lines)] for _ in range(files)]
    for commit in range(commits):
        changed = range(files) if commit == 0 else {generator.below(files) for _ in range(changes)}
        yield "commit refs/heads/main\n"
        yield f"committer Mason <mason@example.org> {1_600_000_000 + commit * 3600} +0000\n"
        yield data(f"Change {commit}: {generator.line()}\n")
        for file in sorted(changed):
            for _ in range(3):
                content[file][generator.below(lines)] = generator.line()
            yield f"M 100644 inline part{file % 10}/file{file:03d}.txt\n"
            yield data("\n".join(content[file]) + "\n")


def data(text):
    return f"data {len(text)}\n{text}\n"


def make(folder):
    """A bare repository."""
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", folder], check=True
    )
    subprocess.run(
        ["git", "-C", folder, "fast-import", "--quiet"],
        input="".join(history()),
        text=True,
        check=True,
    )


if __name__ == "__main__":
    make(sys.argv[1])
