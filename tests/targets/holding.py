# SPDX-License-Identifier: MIT
"""A program that knows who holds what, three modules deep, for the census."""
import gc
import sys
import types

import talk

SIZE = 1000
HOSTILE = "evil\x1b[2J<b>;\u202e'\"&"


def module(name):
    made = types.ModuleType(name)
    sys.modules[name] = made
    return made


def slotted(where, name, *slots):
    kind = type(name, (), {"__slots__": slots, "__module__": where.__name__,
                           "__init__": fill})
    setattr(where, name, kind)
    return kind


def fill(self, *values):
    for slot, value in zip(type(self).__slots__, values):
        setattr(self, slot, value)


app, cache, models, session = (module("app" + end) for end in (
    "", ".cache", ".models", ".session"))
Order = slotted(models, "Order", "data")
Session = slotted(session, "Session", "orders", "name")
Cycle = slotted(models, "Cycle", "other", "data")
Kept = slotted(models, "Kept", "data")
Local = slotted(models, "Local", "data")
Evil = slotted(models, "Evil", "data")
Running = slotted(models, "Running", "data")


def block(n):
    return n + 15 & ~15 if n <= 512 else max(32, n + 8 + 15 & ~15)


def one(kind):
    """Bytes that an instance takes with its data."""
    own = kind.__basicsize__ + (16 if kind.__flags__ & 1 << 14 else 0)
    return block(own) + block(sys.getsizeof(bytes(SIZE)))


def make(count):
    gc.disable()
    # app.session.OPEN: dict -> Session.orders: list -> app.models.Order
    session.OPEN = {i: Session([Order(bytes(SIZE)) for _ in range(count)], "s%d" % i)
                    for i in range(5)}
    # the same from a class and from a list
    cache.RECENT = [Order(bytes(SIZE)) for _ in range(count)]
    Order.spare = [Kept(bytes(SIZE)) for _ in range(count)]
    setattr(cache, HOSTILE, {HOSTILE: [Evil(bytes(SIZE)) for _ in range(count)]})
    for _ in range(count):
        a, b = Cycle(None, bytes(SIZE)), Cycle(None, bytes(SIZE))
        a.other, b.other = b, a


def run():
    held = Running(bytes(SIZE))
    yield
    return held


def generators(count):
    """Suspended ones, each with an object that nobody else has."""
    cache.RUNNING = [run() for _ in range(count)]
    for generator in cache.RUNNING:
        next(generator)
    return count


def recycle(count):
    """Tuples that are gone, whose memory is kept with all that was in it."""
    class Nested:
        pass
    cache.NESTED = Nested()
    cache.RECYCLED = [Order(bytes(SIZE)) for _ in range(count)]
    for size in range(2, 8):
        gone = [(order,) * size for order in cache.RECYCLED]
        del gone
    return count


def numbers(size):
    """A large block, and numbers elsewhere that lie between its ends."""
    import ctypes
    cache.LARGE = bytearray(size)
    start = ctypes.addressof(ctypes.c_char.from_buffer(cache.LARGE))
    session.NUMBERS = (ctypes.c_uint64 * 64)(*(start + size // 2 + i for i in range(64)))
    return size


def version(count):
    """A dict whose version happens to be an address within the items of a
    list; its low bits, by which 3.12 and later know watchers, are zeros."""
    import ctypes
    cache.ITEMS = [Order(bytes(SIZE)) for _ in range(count)]
    items = ctypes.c_size_t.from_address(id(cache.ITEMS) + 24).value
    session.VERSION = {"a": 1}
    ctypes.c_size_t.from_address(id(session.VERSION) + 24).value = items + 4095 & ~4095
    return count


def only_c(count):
    """Objects whose only reference is counted and nowhere to be seen."""
    import ctypes
    Lost = slotted(models, "Lost", "data")
    for _ in range(count):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(Lost(bytes(SIZE))))
    return one(Lost)


COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 400
make(COUNT)


def sizes():
    return {"count": COUNT, "one": {kind.__name__: one(kind) for kind in (
        Order, Kept, Cycle, Local, Evil)}, "hostile": HOSTILE}


def main():
    local = [Local(bytes(SIZE)) for _ in range(COUNT)]
    talk.serve(sizes=sizes, only_c=only_c, generators=generators, recycle=recycle,
               numbers=numbers, version=version, local=lambda: len(local))


main()
