"""Work for python3: objects, strings, threads, processes; prints only what is the same each run."""
import collections
import concurrent.futures
import hashlib
import json
import multiprocessing
import re
import subprocess
import sys
import zlib

SIZE = int(sys.argv[1])


def trees(depth):
    return (None, None) if depth == 0 else (trees(depth - 1), trees(depth - 1))


def count(tree):
    return 1 if tree[0] is None else 1 + count(tree[0]) + count(tree[1])


def words(seed):
    state, out = seed, []
    for _ in range(3000):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append("w" + str(state % 997) * (state % 5))
    return hashlib.md5(" ".join(out).encode()).hexdigest()


def main():
    print([count(trees(depth)) for depth in range(4, 13 + SIZE)])
    table = collections.defaultdict(list)
    for i in range(60000 * SIZE):
        table[str(i * 7919 % 5003)].append(i)
    print(len(table), sum(map(len, table.values())), sorted(table)[:5])
    text = json.dumps(table, sort_keys=True)
    print(len(text), json.loads(text) == table, hashlib.md5(text.encode()).hexdigest())
    print(len(re.findall(r"\d+7\b", text)), len(zlib.compress(text.encode(), 6)))
    big = bytearray()
    for i in range(3000):
        big += bytes([i % 251]) * i
    print(len(big), zlib.crc32(big))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print(list(pool.map(words, range(16))))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(words, range(8)))
    print(subprocess.run(["echo", "spoken"], capture_output=True, text=True).stdout)
    print(hashlib.sha256(hex(3 ** 40000 * 7 ** 20000).encode()).hexdigest())


main()
