# SPDX-License-Identifier: MIT
"""Known chains of calls: plain, through a class, a generator, a lambda, and
C code that calls back."""
import talk

KEPT = []


def leaf():
    KEPT.append(bytes(5000)); return NUMBERS[0]


def through_sort():
    return sorted([1], key=lambda value: leaf())


class Middle:
    def method(self):
        return through_sort()


def generator():
    yield Middle().method()


def chain():
    """Run it; [name, line] of each frame, innermost first."""
    del KEPT[:]
    next(generator())
    first = {f.__name__: f.__code__.co_firstlineno for f in (
        leaf, through_sort, Middle.method, generator, chain)}
    qualified = hasattr(chain.__code__, "co_qualname")
    inner = "through_sort.<locals>.<lambda>" if qualified else "<lambda>"
    method = "Middle.method" if qualified else "method"
    return [["leaf", first["leaf"] + 1], [inner, first["through_sort"] + 1],
            ["through_sort", first["through_sort"] + 1],
            [method, first["method"] + 1], ["generator", first["generator"] + 1],
            ["chain", first["chain"] + 3]]


def recurse(depth):
    """A block at the bottom of a deep recursion; its line."""
    if depth:
        return recurse(depth - 1)
    KEPT.append(bytes(6000))
    return recurse.__code__.co_firstlineno + 4


NUMBERS = [0]
talk.serve(chain=chain, recurse=recurse)
