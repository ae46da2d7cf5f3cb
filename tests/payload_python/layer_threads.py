# SPDX-License-Identifier: MIT
"""Depth, threads, RAW without the GIL, sub-interpreters, tracing."""
import sys
import threading

from layer_base import *
from layer_lines import branches, decorated, generators, spread


# ---- depth ----

@group
def depth():
    def down(n):
        if n == 0:
            return [None] * T()
        x = down(n - 1)
        return x

    here = len(stack(sys._getframe()))
    for limit in (1, 2, 5, 64, 1024):
        watch(depth=limit)
        for n in (0, 1, 3, 60, limit - here, limit - here - 1,
                  limit - here - 2, limit + 30):
            if 0 <= n < 900:
                down(n)
        check('depth_%d' % limit, depth=limit, least=4)
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(6000)
    watch(depth=1024)
    threading.stack_size(64 << 20)
    t = threading.Thread(target=down, args=(3000,))
    t.start()
    t.join()
    threading.stack_size(0)
    sys.setrecursionlimit(old)
    check('depth_3000', depth=1024)


@group
def small_stack():
    threading.stack_size((64 if V < (3, 14) else 128) << 10)

    def work():
        for i in range(50):
            x = [None] * T()
    watch()
    ts = [threading.Thread(target=work) for i in range(4)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    threading.stack_size(0)
    check('small_stack', least=200)


# ---- threads ----

@group
def threads():
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work(k):
        def gen():
            for i in times(150):
                yield [None] * T()
        for x in gen():
            spread(k)
            decorated(k)
    watch()
    ts = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    sys.setswitchinterval(old)
    check('threads', least=100)


@group
def raw_without_gil():
    try:
        import lzma
    except ImportError:
        print('# skip raw_without_gil: no lzma')
        return
    data = lzma.compress(rng.getrandbits(80000).to_bytes(10000, 'big') * 20)
    truth, done = {}, []

    def note():
        truth.setdefault(threading.get_ident(), []).append(
            encode(stack(sys._getframe(1)), 128))
        return data

    def work():
        for i in times(30):
            d = lzma.LZMADecompressor()
            x = d.decompress(note())
        done.append(1)
    H.pt_reset()
    ts = [threading.Thread(target=work) for k in range(4)]
    H.pt_watch(RAW, 1 << 20, 1 << 30, 128)
    [t.start() for t in ts]
    [t.join() for t in ts]
    H.pt_watch(0, 1, 0, 0)
    total = wrong = without = 0
    for size, thread, domain, full, held, got in events():
        if thread not in truth:
            continue
        total += 1
        without += not held
        if got not in truth[thread]:
            wrong += 1
            if wrong < 3:
                print('#   wanted one of %r got %r'
                      % (truth[thread][:1], got))
    report(total >= 3 and without and not wrong, 'raw_without_gil',
           '%d stacks, %d without the GIL, %d wrong' % (total, without, wrong))


SUB = '''


x = [None] * %d
def f():
    return [None] * %d
f()
'''


@group
def subinterpreters():
    try:
        if V >= (3, 13):
            import _interpreters as si
        else:
            import _xxsubinterpreters as si
    except ImportError as e:
        print('# skip subinterpreters: %s' % e)
        return
    run = getattr(si, 'run_string')
    code = SUB % (B + 1, B + 2)
    wrong = total = 0
    main = threading.get_ident()
    watch()
    H.pt_watch(MEM, 8 * B, 8 * (B + 2) + FT, 128)
    for i in range(3):
        one = si.create()
        run(one, code)
        t = threading.Thread(target=run, args=(one, code))
        t.start()
        t.join()
        si.destroy(one)
    H.pt_watch(0, 1, 0, 0)
    want = {1: [(b'<module>', 4)], 2: [(b'f', 6), (b'<module>', 7)]}
    for size, thread, domain, full, held, got in events():
        i = index_of(size, MEM)
        if i not in want:
            continue
        total += 1
        short = [(f[1], f[2]) for f in got][:len(want[i])]
        # up to 3.11 a thread that did not make the interpreter shows the
        # frames of the caller outside
        outside = V <= (3, 11) and thread != main and got[0][1].endswith(b'run')
        if short != want[i] and not outside:
            wrong += 1
            print('#   wanted %r got %r' % (want[i], got))
    report(total >= 12 and not wrong, 'subinterpreters',
           '%d stacks, %d wrong' % (total, wrong))


@group
def traced():
    """Under sys.settrace and sys.setprofile."""
    def tracer(frame, event, arg):
        return tracer
    watch()
    sys.settrace(tracer)
    try:
        for i in range(10):
            branches(i)
            spread(i)
            generators()
    finally:
        sys.settrace(None)
    sys.setprofile(tracer)
    try:
        branches(1)
    finally:
        sys.setprofile(None)
    check('traced', least=100)


@group
def forked():
    """A child walks its own stacks, also after its threads are gone."""
    import os
    import warnings
    warnings.simplefilter('ignore')
    stop = threading.Event()
    ts = [threading.Thread(target=stop.wait) for i in range(3)]
    [t.start() for t in ts]
    sys.stdout.flush()
    child = os.fork()
    if not child:
        watch()
        branches(0)
        generators()
        check('forked_child')
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    stop.set()
    [t.join() for t in ts]
    report(status == 0, 'forked', 'status %d' % status)


switching = []      # what switches greenlets


@group
def greenlets():
    try:
        import greenlet
    except ImportError:
        print('# skip greenlets: not installed')
        return

    def inner(n):
        if n:
            return inner(n - 1)
        for i in range(5):
            x = [None] * T()
            greenlet.getcurrent().parent.switch()
            y = [None] * T()

    def outer(n=9):
        for i in range(3):
            g = [greenlet.greenlet(inner) for k in range(4)]
            for k in range(6):
                for one in g:
                    if not one.dead:
                        one.switch(n) if k == 0 else one.switch()
                    z = [None] * T()
    switching.append(outer)
    watch()
    outer(3)
    outer(20)
    ts = [threading.Thread(target=outer, args=(k,)) for k in range(4)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    check('greenlets', least=100)


@group
def everything():
    """A stack for every allocation, whatever is under way: no crash."""
    import json
    import os
    import subprocess
    import weakref

    class Loud:
        def __del__(self):
            x = [str(i) for i in range(20)]

    def dying_code():
        # the code dies with its last frame; callbacks run while it does
        for i in range(50):
            space = {}
            exec('def f(): return [i for i in range(3)]', space)
            f = space.pop('f')
            ref = weakref.ref(f.__code__, lambda r: [str(k) for k in
                                                     range(9)])
            code = f.__code__.replace(
                co_consts=f.__code__.co_consts + (Loud(),))
            other = weakref.ref(code, lambda r: [str(k) for k in range(9)])
            g = type(f)(code, {'range': range})
            del code, f
            g(), g.__code__
            del g
            eval(compile('[k for k in range(3)]', 'e%d' % i, 'eval'))

    def work():
        dying_code()
        for i in range(5):
            branches(i)
            generators()
            spread(i)
            decorated(1, 2, z=3)
        json.loads(json.dumps({str(i): [i] * 3 for i in range(200)}))
        subprocess.call(['true'])
    H.pt_watch(7, 0, 1 << 60, 64)
    work()
    ts = [threading.Thread(target=work) for k in range(3)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    for function in switching:
        function()
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    H.pt_watch(0, 1, 0, 0)
    count = H.pt_events()
    full = sum(1 for i in range(0, count, 1009)
               if H.pt_event(i, words, len(words)) and words[3] & 1)
    H.pt_new_generation()
    report(status == 0 and count > 10000 and not full, 'everything',
           '%d stacks, child %d' % (count, status))
