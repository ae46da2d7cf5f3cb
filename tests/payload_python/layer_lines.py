# SPDX-License-Identifier: MIT
"""Lines and functions of all kinds of code."""
import asyncio
import ctypes
import functools
import gc
import re

from layer_base import *


# ---- lines of all kinds of code ----

def decorator(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        x = [None] * T()
        return function(*args, **kwargs)
    return inner


@decorator
def decorated(a, *rest, k=1, **more):
    x = [None] * T(); y = [None] * T()
    return x


def branches(i):
    if i % 3 == 0:
        x = [None] * T()
    elif i % 3 == 1:
        x = [None] * T()
    else:
        for j in range(2):
            x = [None] * T()
        else:
            x = [None] * T()
    try:
        x = [None] * T()
        if i & 1:
            raise KeyError(i)
    except KeyError:
        x = [None] * T()
    finally:
        x = [None] * T()
    with open('/dev/null') as f:
        x = [None] * T()
    while True:
        x = [None] * T()
        break
    assert len([None] * T()) > 3


def spread(i):
    def two(a, b, c=None):
        return [None] * T()
    x = two(
        [None] * T(),

        [None] * T(),
        c=(1,
           [None] * T(),
           {'a': [None] * T(),
            'b':
            [None] * T()}))
    y = [[None] * T()
         for z in range(2)
         if [None] * T()]
    s = f"{len([None] * T())}" + \
        f"{len([None] * T())}"
    return (x,
            y, [None] * T()
            )


def generators():
    def gen(n):
        for i in range(n):
            got = yield [None] * T()
        return [None] * T()

    def outer(n):
        r = yield from gen(n)
        x = [None] * T()
    for x in outer(3):
        y = [None] * T()
    g = outer(2)
    next(g)
    g.send(1)
    g.close()
    x = list([None] * T() for i in range(2))
    x = {i: [None] * T() for i in range(2)}
    x = {len([None] * T()) for i in range(2)}
    x = [[[None] * T() for j in range(2)] for i in range(2)]


def asynchronous():
    class Context:
        async def __aenter__(self):
            return [None] * T()

        async def __aexit__(self, *unused):
            return [None] * T() and None

    async def agen(n):
        for i in range(n):
            x = [None] * T()
            yield x
            await asyncio.sleep(0)

    async def leaf():
        await asyncio.sleep(0)
        return [None] * T()

    async def main():
        x = await leaf()
        async for y in agen(2):
            z = [None] * T()
        x = [a async for a in agen(2)]
        async with Context() as c:
            x = [None] * T()
        await asyncio.gather(leaf(), leaf())
    asyncio.run(main())


def classes(i):
    class Meta(type):
        def __new__(mcs, name, bases, space):
            x = [None] * T()
            return super().__new__(mcs, name, bases, space)

    class One(metaclass=Meta):
        body = [None] * T()

        class Inner:
            body = [None] * T()

            def method(self): return [None] * T()

        def __init__(self):
            self.x = [None] * T()

        @property
        def prop(self):
            return [None] * T()

        def __hash__(self):
            return len([None] * T())

        def __eq__(self, other):
            return bool([None] * T())

        def __lt__(self, other):
            return bool([None] * T())

        def __iter__(self):
            yield [None] * T()

        def __call__(self):
            return [None] * T()

        def __getattr__(self, name):
            return [None] * T()

        def __del__(self):
            x = [None] * T()

    a = One()
    a.prop, a.nothing, a(), list(a), {a: 1}.get(a), a < a
    One.Inner().method()
    del a


def callbacks():
    sorted(range(3), key=lambda i: len([None] * T()))
    list(map(lambda i: [None] * T(), range(3)))
    list(filter(lambda i: [None] * T(), range(3)))
    functools.reduce(lambda a, b: len([None] * T()), range(3))
    re.sub('x', lambda m: str(len([None] * T())), 'axbx')
    max((1, 2, 3), key=lambda i: len([None] * T()))
    functools.partial(decorated, 1)(2)
    (lambda: [None] * T())()
    (lambda *a, **k: [[None] * T()])(*[1, 2], **{'z': 1})
    call = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: len([None] * T()))
    call()


@group
def lines():
    watch()
    for i in times(40):
        decorated(1, 2, z=3)
        branches(i)
        spread(i)
        generators()
        classes(i)
        callbacks()
    for i in times(5):
        asynchronous()
    gc.collect()
    check('lines', least=200)


@group
def long_functions():
    """Far away instructions and lines, forwards and backwards."""
    source = ['def f(g):']
    for i in times(120):
        source += ['    x = [None] * T()'] + [''] * rng.choice([0, 1, 7, 300])
        if i % 7 == 0:
            source.append('    y = (' + ','.join(['g'] * 300) + ')')
        if i % 5 == 0:
            source += ['    z = (', '        [None] * T(),'] + \
                      ['#'] * rng.choice([1, 130, 260]) + \
                      ['        g, [None] * T(),', '    )']
    space = {'T': T}
    exec(compile('\n'.join(source), 'long.py', 'exec'), space)
    watch()
    space['f'](1)
    space['f'](2)
    check('long_functions', least=10)


def codes(code):
    yield code
    for c in code.co_consts:
        if hasattr(c, 'co_code'):
            yield from codes(c)


@group
def library():
    """Every instruction of the standard library, against the API."""
    import glob
    import os
    names = sorted(glob.glob(os.path.dirname(os.__file__) + '/*.py') +
                   glob.glob(os.path.dirname(os.__file__) + '/*/*.py'))
    rng.shuffle(names)
    total = wrong = objects = 0
    count = ctypes.c_ulong()
    for name in names[:max(20, int(150 * SCALE))]:
        try:
            with open(name, 'rb') as f:
                code = compile(f.read(), name, 'exec', dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        for c in codes(code):
            objects += 1
            wrong += P.pt_check_lines(ctypes.py_object(c), len(c.co_code),
                                      ctypes.byref(count))
            total += count.value
    report(total > 50000 and not wrong, 'library',
           '%d code objects, %d instructions, %d wrong'
           % (objects, total, wrong))


@group
def objects():
    watch(OBJ)

    def inner():
        return b'x' * T()
    for i in times(300):
        inner(), b'y' * T(), [b'z' * T() for j in range(2)]
    check('objects', mask=OBJ, least=100)
