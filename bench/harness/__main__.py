"""bench/compare: what can be told before a module is imported that python3 does not bring."""

from __future__ import annotations

import sys

import options as command_line
from catalog import TOP, Folders, load_allocators, load_tasks

UNUSABLE = 2
INTERRUPTED = 130
PACKAGES = "python3-rich python3-scipy"
PACKAGES_FOR_REPORTS = "python3-matplotlib python3-jinja2 python3-jsonschema"


def main() -> int:
    options = command_line.parse()
    folders = Folders((TOP / options.build).resolve())
    if options.list:
        tasks = load_tasks(folders, options.only, options.real)
        print("tasks:     ", *(task.name for task in tasks))
        print("allocators:", *(a.name for a in load_allocators(folders, options.allocator)))
        return 0
    wants_reports = bool(options.csv or options.html)
    try:
        import compare
        from measure import end_politely_by_signals

        if wants_reports:
            import report  # noqa: F401  Better missed now than after all runs.
    except ModuleNotFoundError as missing:
        packages = f"{PACKAGES} {PACKAGES_FOR_REPORTS}" if wants_reports else PACKAGES
        print(
            f"bench/compare: Python has no module {missing.name}; run without --no-install, or "
            f"install it: apt-get install {packages}",
            file=sys.stderr,
        )
        return UNUSABLE
    end_politely_by_signals()
    return compare.main(options, folders)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("bench/compare: interrupted before there was anything to show", file=sys.stderr)
        sys.exit(INTERRUPTED)
