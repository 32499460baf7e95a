"""Makes the database of the postgres row: a small shop, which the load only reads.

Usage: make_postgres.py FOLDER
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
AS_USER = ["sh", HERE / "postgres_user.sh"]

# No network, and nothing that works when it likes. Shared memory in files is gone with the folder.
SETTINGS = """
listen_addresses = ''
fsync = off
autovacuum = off
shared_buffers = 32MB
work_mem = 16MB
max_parallel_workers_per_gather = 0
dynamic_shared_memory_type = mmap
jit = off
log_min_messages = fatal
"""

# A server without clients reads statements that are followed by an empty line.
CONTENT = """
CREATE TABLE customer (id int PRIMARY KEY, name text, city text, tags text[]);

CREATE TABLE purchase (id int PRIMARY KEY, customer int, item text, cents int);

INSERT INTO customer
SELECT i, 'customer ' || i * 7919 % 10007, 'city ' || i * 31 % 97,
  array['a' || i % 7, 'b' || i % 11]
FROM generate_series(1, 5000) i;

INSERT INTO purchase
SELECT i, 1 + i * 7907 % 5000, 'item ' || i * 10729 % 1009, 100 + i * 6151 % 90000
FROM generate_series(1, 25000) i;

CREATE INDEX purchase_of ON purchase (customer, cents);

VACUUM FREEZE ANALYZE;

"""


def main(folder):
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    initdb = ["initdb", "-D", folder, "--username=bench", "--auth=trust", "--locale=C"]
    initdb += ["--encoding=UTF8", "--no-sync", "--no-instructions"]
    run_as_user(initdb)
    with open(folder / "postgresql.conf", "a") as settings:
        settings.write(SETTINGS)
    run_as_user(["postgres", "--single", "-j", "-D", folder, "postgres"], CONTENT)


def run_as_user(command, given=""):
    """Runs one of PostgreSQL's programs, whose messages are of interest only if it fails."""
    run = subprocess.run([*AS_USER, *command], input=given, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{command[0]} failed: {(run.stderr.strip() or run.stdout).splitlines()[0]}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
