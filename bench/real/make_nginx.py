"""Makes the folder of the nginx row: www/ with texts of 200 bytes to 250 KiB, and pages of parts.

Usage: make_nginx.py FOLDER
"""

import pathlib
import sys

from generator import Generator

TEXTS = 24
PAGES = 8


def main(folder):
    generator = Generator()
    www = folder / "www"
    www.mkdir(parents=True)
    for number in range(TEXTS):
        lines = [generator.line() for _ in range(5 + number**2 * 8)]
        (www / f"text{number:02d}.txt").write_text("\n".join(lines) + "\n")
    for number in range(PAGES):
        # The server puts other files into these pages (SSI).
        parts = [f'<!--#include virtual="/text{part:02d}.txt" -->' for part in range(number + 1)]
        (www / f"page{number}.html").write_text("<h1>Page</h1>\n" + "\n".join(parts) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
