# SPDX-License-Identifier: MIT
"""The process of bench/hooks: times allocator pairs with and without a hook.

Argument: the library that bench/hooks made.  Commands: `pair SIZE` answers ns
a pair; `pass on|off` installs or removes a pass-through hook.
"""
import ctypes
import json
import sys


def pass_through(library, on):
    api = ctypes.pythonapi
    if on:
        return library.wrap(api.PyMem_GetAllocator, api.PyMem_SetAllocator)
    return library.unwrap(api.PyMem_SetAllocator)


def main():
    library = ctypes.PyDLL(sys.argv[1])
    library.hook_cost_pair_ns.restype = ctypes.c_double
    library.hook_cost_pair_ns.argtypes = [ctypes.c_long, ctypes.c_size_t]
    print(json.dumps("ready " + sys.version.split()[0]), flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "pair":
            value = library.hook_cost_pair_ns(4000000, int(words[1]))
        elif words[0] == "pass":
            value = pass_through(library, words[1] == "on")
        else:
            break
        print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
