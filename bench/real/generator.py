"""Numbers and lines of text that look random and are the same at every run.

Our own generator, so that no version of Python changes what is made of it.
"""

WORDS = "stone wall arch joint mortar quarry chisel course corner lintel vault pier".split()


class Generator:
    def __init__(self):
        self.state = 1

    def below(self, bound):
        self.state = (self.state * 1103515245 + 12345) % 2**31
        return (self.state >> 8) % bound

    def line(self):
        return " ".join(WORDS[self.below(len(WORDS))] for _ in range(4 + self.below(8)))
