"""What Python programs do all day: parse text, build dictionaries and objects, sort, print JSON."""

import hashlib
import json
import re


class Account:
    def __init__(self, name, balance):
        self.name = name
        self.balance = balance
        self.history = []

    def post(self, amount, text):
        self.balance += amount
        self.history.append((amount, text))


def pseudo_random(seed, count):
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) % 2**31
        yield seed >> 8


accounts = {}
for number in pseudo_random(1, 30_000):
    name = f"customer-{number % 6_000:05d}"
    account = accounts.setdefault(name, Account(name, 100))
    account.post(number % 1_000 - 500, "transfer of " + str(number))

ranking = sorted(accounts.values(), key=lambda account: (-account.balance, account.name))
text = json.dumps([[a.name, a.balance, a.history] for a in ranking])
again = json.loads(text)

words = {}
for word in re.findall(r"[a-z]+|\d+", text):
    words[word] = words.get(word, 0) + 1
lines = [" ".join(sorted(str(entry) for entry in history)) for _, _, history in again]
frequent = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))[:50]

print(hashlib.sha256("\n".join(lines).encode()).hexdigest(), frequent[:3], len(text))
