# SPDX-License-Identifier: MIT
"""The bounded taking of the GIL, and the self-test with it."""
import ctypes
import gc
import os
import re
import signal
import sys
import threading
import time
import tracemalloc
import warnings

from layer_base import *
from layer_lines import branches
from layer_names import named


# ---- the GIL and the self-test ----

GIL_TIMEOUT, FINALISING = -51, -30
TRIES = 10      # where the machine decides who of two comes first


def take(timeout_ms, work, delay_ms=0):
    """(result, waited s, self-test passed, its text)"""
    waited, passed = ctypes.c_uint64(), ctypes.c_int()
    text = ctypes.create_string_buffer(128)
    H.pt_gil_start(timeout_ms, delay_ms)
    work()
    end = time.monotonic() + timeout_ms / 1000 + 30
    while not H.pt_gil_done() and time.monotonic() < end:
        time.sleep(0.002)
    if not H.pt_gil_done():
        return 'stuck', 0, 0, ''
    result = H.pt_gil_result(ctypes.byref(waited), ctypes.byref(passed), text)
    return result, waited.value / 1e9, passed.value, text.value.decode()


def thread_states():
    count = 0
    interp = ctypes.pythonapi.PyInterpreterState_Main
    interp.restype = ctypes.c_void_p
    first = ctypes.pythonapi.PyInterpreterState_ThreadHead
    first.restype, first.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    after = ctypes.pythonapi.PyThreadState_Next
    after.restype, after.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    t = first(interp())
    while t:
        count += 1
        t = after(t)
    return count


def spin_one_instruction(seconds):
    def forever():
        while True: pass
    t = threading.Timer(seconds, ctypes.pythonapi.PyThreadState_SetAsyncExc,
                        (ctypes.c_ulong(threading.get_ident()),
                         ctypes.py_object(KeyError)))
    try:
        t.start()
        forever()
    except KeyError:
        pass
    t.join()


def spin(seconds):
    end = time.monotonic() + seconds
    x = 0
    while time.monotonic() < end:
        for i in range(10000):
            x += i


def spin_calls(seconds):
    end = time.monotonic() + seconds

    def f(x):
        return x + 1
    while time.monotonic() < end:
        for i in range(1000):
            f(i)


@group
def gil():
    H.pt_watch(0, 1, 0, 0)
    before = thread_states()
    for name, work, most in (
            ('sleeping', lambda: time.sleep(0.2), 0.1),
            ('spinning', lambda: spin(0.4), 0.35),
            ('calling', lambda: spin_calls(0.4), 0.35),
            ('one_instruction', lambda: spin_one_instruction(0.5), 0.4)):
        for attempt in range(TRIES):
            r, waited, passed, text = take(2000, work)
            if r == 0 and passed and waited < most:
                break
        report(r == 0 and passed and waited < most, 'gil_' + name,
               '%s in %.1f ms: %s' % (r, waited * 1e3, text))
    for name, work in (
            ('c_call', lambda: P.pt_sleep),
            ('c_call_busy', lambda: P.pt_spin)):
        for attempt in range(TRIES):
            r, waited, passed, text = take(300, lambda: work()(1500), 50)
            if r == GIL_TIMEOUT and 0.29 < waited < 0.6:
                break
        report(r == GIL_TIMEOUT and 0.29 < waited < 0.6, 'gil_' + name,
               '%s in %.1f ms' % (r, waited * 1e3))
    # within one bytecode; whoever looks before it begins has to wait it out
    for attempt in range(TRIES):
        r, waited, passed, text = take(300, lambda: sum(range(6 * 10 ** 7)),
                                       50)
        if r == GIL_TIMEOUT and waited < 0.6:
            break
    report(r == GIL_TIMEOUT and waited < 0.6, 'gil_one_bytecode',
           '%s in %.1f ms' % (r, waited * 1e3))
    for attempt in range(TRIES):
        r, waited, passed, text = take(
            5000, lambda: P.pt_cancel_later(200, 2500), 50)
        if r == GIL_TIMEOUT and waited < 2:
            break
    report(r == GIL_TIMEOUT and waited < 2, 'gil_cancel',
           '%s in %.1f ms' % (r, waited * 1e3))
    ts = [threading.Thread(target=spin, args=(1.0,)) for i in range(3)]
    [t.start() for t in ts]
    worst = 0
    for i in range(5):
        r, waited, passed, text = take(20000, lambda: None)
        worst = max(worst, waited)
        if r or not passed:
            break
    [t.join() for t in ts]
    report(r == 0 and passed, 'gil_contended',
           '%s, worst %.1f ms: %s' % (r, worst * 1e3, text))
    report(thread_states() == before, 'gil_no_thread_state_left',
           '%d then %d' % (before, thread_states()))


@group
def gil_lent():
    """A thread that waits for the GIL gets it amid a fork, and leaves; where a
    fork locks the list of threads, only if no third thread could take the GIL.
    It waits where the process has other threads: else it asks to step
    aside."""
    H.pt_watch(0, 1, 0, 0)
    alone, beside, wrong, before = 0, 0, [], thread_states()
    for i in range(5000):
        if alone + beside >= 5:
            break
        took = []

        def work():
            spin_calls(0.001 + 0.0002 * (i % 20))
            took.append(P.pt_lend())
        H.pt_bystander_start()
        r, waited, passed, text = take(20000, work)
        alone += took[0] == 1
        beside += took[0] > 1
        if r not in (0, GIL_TIMEOUT) or (took[0] and r != GIL_TIMEOUT):
            wrong.append((r, took))
    lent = alone + beside
    report(lent >= 5 and not wrong, 'gil_lent', '%d times, %r' % (lent, wrong))
    report(beside == 0 if V >= (3, 13) else beside > 0, 'gil_lent_to_ours_only',
           '%d times beside another thread' % beside)
    # where a fork locks the list of thread states one cannot be freed; there
    # is none where the wish to leave was seen just in time
    left = thread_states() - before
    report(0 < left <= lent if V >= (3, 13) else left == 0,
           'gil_lent_thread_states_left',
           '%d of %d' % (left, lent))
    r, waited, passed, text = take(20000, lambda: spin(0.3))
    report(r == 0 and passed, 'gil_taken_after_it_was_lent', '%s: %s' % (r, text))
    report(all(frame is not None for frame in sys._current_frames().values()),
           'gil_lent_current_frames', '')


def ends(pid, seconds=60):
    """The status of a child, None if it hung and was killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def forks_amid_taking(name, count):
    before, statuses = thread_states(), set()
    H.pt_churn_start()
    rounds = len(times(count))
    for i in range(50 * rounds):
        if i >= rounds and H.pt_churn_taken() > 50:
            break
        pid = os.fork()
        if pid == 0:
            os._exit(thread_states())
        statuses.add(ends(pid))
        if None in statuses:
            break
    taken = H.pt_churn_stop()
    report(statuses == {1 << 8}, name, '%r, taken %d times' % (statuses, taken))
    report(taken > 50 or None in statuses, name + '_taken', '%d times' % taken)
    report(thread_states() == before, name + '_no_thread_state_left',
           '%d then %d' % (before, thread_states()))


@group
def gil_forks():
    """Forks while our thread takes the GIL over and over: in no child is the
    interpreter's list of threads locked, or wrong."""
    warnings.simplefilter('ignore')     # 3.12 and later count threads
    H.pt_watch(0, 1, 0, 0)
    forks_amid_taking('gil_forks', 1000)
    if V >= (3, 13):
        return      # a thread that ends while another forks: its own hazard
    # its hooks take the GIL where a thread state is made
    tracemalloc.start()
    forks_amid_taking('gil_forks_tracemalloc', 200)
    tracemalloc.stop()


@group
def self_test():
    H.pt_watch(0, 1, 0, 0)
    stop = threading.Event()
    up = threading.Semaphore(0)

    def park(n):
        if n:
            return park(n - 1)
        up.release()
        stop.wait()

    def gen():
        up.release()
        stop.wait()
        yield 1
    odd = named('odd\udc80\u20ac', 'f\U0001f40d')
    space = {'T': lambda: (up.release(), stop.wait(), 1)[2]}
    odd = type(odd)(odd.__code__, space)
    ts = [threading.Thread(target=park, args=(i,)) for i in range(64)]
    ts += [threading.Thread(target=lambda: list(gen())),
           threading.Thread(target=odd),
           threading.Thread(target=lambda: sorted([1, 2],
                                                  key=lambda i: park(1) or i))]
    [t.start() for t in ts]
    [up.acquire() for t in ts]
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        r, waited, passed, text = take(20000, lambda: None)
        report(r == 0 and passed and gc.isenabled() == enabled,
               'self_test_gc_%s' % ('on' if enabled else 'off'),
               '%s in %.2f ms' % (text, H.pt_tested_ns() / 1e6))
    gc.enable()
    if V >= (3, 9) and not FT:
        report(int(re.findall(r'\d+', text)[0]) > 300, 'self_test_many', text)
    # traced threads: the line of the API comes from the tracer
    sys.settrace(lambda *a: None)
    r, waited, passed, text = take(20000, lambda: None)
    sys.settrace(None)
    report(r == 0 and passed, 'self_test_traced', text)
    stop.set()
    [t.join() for t in ts]
    for i in times(100):
        r, waited, passed, text = take(20000, lambda: branches(i))
        if r or not passed:
            break
    report(r == 0 and passed, 'self_test_repeated', '%s %s' % (r, text))
    # on 3.8 the next stack is compared once more
    watch()
    branches(1)
    check('self_test_then_stacks')
    report(H.pt_stacks_on(), 'stacks_still_on')


@group
def finalisers():
    """Garbage cycles abound: none may be collected in our thread."""
    ran, mine = set(), threading.get_ident()

    class Trap:
        def __init__(self):
            self.me = self

        def __del__(self):
            ran.add(threading.get_ident())
    gc.collect()
    old = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    gc.disable()
    for i in times(30):
        for k in range(50):
            Trap()
        gc.enable()

        def deep(n):
            if n:
                return deep(n - 1)
            gc.disable()
            for k in range(50):
                Trap()
            gc.enable()
            take(20000, lambda: time.sleep(0.01))
        deep(20)
        gc.disable()
    gc.enable()
    gc.set_threshold(*old)
    gc.collect()
    report(ran == {mine}, 'finalisers', 'ran in %d threads' % len(ran))


@group
def gil_loops():
    """Loops of few instructions, which the JIT keeps away from the frame."""
    def add():
        x = 0
        while True: x += 1

    def length():
        x = []
        while True: len(x)

    def attribute():
        x = threading
        while True: x.Thread

    def nested():
        x = [1, 2, 3]
        while True:
            for y in x: pass
    H.pt_watch(0, 1, 0, 0)
    for function in (add, length, attribute, nested):
        me = threading.get_ident()

        def end():
            H.pt_gil_await(60000)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(me), ctypes.py_object(KeyError))

        def work():
            ending = threading.Thread(target=end)
            try:
                ending.start()
                function()
            except KeyError:
                pass
            ending.join()
        for attempt in range(TRIES):
            r, waited, passed, text = take(5000, work, 100)
            if r == 0 and passed and waited < 0.9:
                break
        report(r == 0 and passed and waited < 0.9,
               'gil_loop_' + function.__name__,
               '%s in %.1f ms' % (r, waited * 1e3))


@group
def gil_long_c_calls():
    """Native work on objects, within one instruction: it must not look like
    movement."""
    H.pt_watch(0, 1, 0, 0)
    numbers = [rng.random() for i in range(400000)]
    big = 3 ** 300000
    for name, work in (
            ('sort', lambda: sorted(numbers * 6)),
            ('power', lambda: big ** 7),
            ('regex', lambda: re.match('(a*)*b', 'a' * 24))):
        start = time.monotonic()
        work()
        took = time.monotonic() - start
        if took < 0.35:
            print('#   %s took %.2f s only' % (name, took))
            continue
        for attempt in range(TRIES):
            r, waited, passed, _ = take(100, work, 80)
            if r == GIL_TIMEOUT and waited < 0.3:
                break
        report(r == GIL_TIMEOUT and waited < 0.3, 'gil_long_' + name,
               '%s in %.1f ms of %.0f' % (r, waited * 1e3, took * 1e3))
