# SPDX-License-Identifier: MIT
"""The visitors of some weeks, at once; then 30000 more for each line that is
read:  python3 -m shop.serve"""
import os
import sys

from shop.pages import render


def visit(visitors):
    """Each looks at the same page, and has a session of his own."""
    for visitor in visitors:
        render("/best?session=%x" % (visitor * 2654435761 % 2**32))


def main():
    served = 60000
    visit(range(served))
    while True:
        print("pid %d: %d visitors so far; Enter sends 30000 more" % (os.getpid(), served))
        if not sys.stdin.readline():
            break
        visit(range(served, served + 30000))
        served += 30000


if __name__ == "__main__":
    main()
