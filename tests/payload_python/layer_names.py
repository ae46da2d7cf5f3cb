# SPDX-License-Identifier: MIT
"""Code objects that die, and names of all kinds."""

from layer_base import *


# ---- code objects that die ----

@group
def reused_code():
    """New code at the addresses of dead code, with equal lengths of all."""
    watch()
    addresses = set()
    for i in times(2000):
        blank = rng.randrange(20)
        source = ('\n' * blank + 'def n%07d():\n' % i + '\n' * (20 - blank) +
                  '    return [None] * T()\nx = n%07d()\n' % i)
        code = compile(source, '/gen/f%07d.py' % rng.randrange(10 ** 7),
                       'exec')
        addresses.add(id(code))
        exec(code, {'T': T})
        del code
    check('reused_code', least=3)
    print('#   %d addresses of code objects' % len(addresses))
    watch()
    for i in times(2000):
        lead = rng.randrange(30)
        eval('\n' * lead + '(lambda: [None] * T())()', {'T': T})
    check('reused_lambda', least=3)


@group
def same_names_other_lines():
    """Only the line table differs."""
    watch()
    for i in times(2000):
        k = rng.randrange(1, 60)
        source = 'def f():\n' + '\n' * k + '    return [None] * T()\n' + \
                 '\n' * (60 - k) + 'f()\n'
        exec(compile(source, 'same.py', 'exec'), {'T': T})
    check('same_names_other_lines', least=3)


# ---- names ----

def named(name, file, wrap=str):
    def f():
        return [None] * T()
    changes = {'co_name': wrap(name), 'co_filename': wrap(file)}
    if V >= (3, 11):
        changes['co_qualname'] = wrap(name)
    return type(f)(f.__code__.replace(**changes), {'T': T})


class Sub(str):
    pass


@group
def names():
    K = 65536
    texts = ['plain', 'caf\xe9', '\xff' * 9, '\u0416\u0443\u043a', '\u20ac',
             '\U0001f40d snake', '\udc80', 'a\ud800b\udfffc', '\ud83d\udc0d',
             'nul\0in\0side', '\x1b[31mred\r\n\t\x7f', '\u202egnp.exe',
             '</script>"\'&', ' ', 'x' * (K - 1), 'x' * K, 'x' * (K + 1),
             'y' * 200000, '\xe9' * (K // 2), '\xe9' * (K // 2 + 1),
             'a' + '\xe9' * (K // 2), '\u20ac' * (K // 3),
             '\u20ac' * (K // 3 + 1), '\U0001f40d' * (K // 4),
             '\U0001f40d' * (K // 4 + 1), 'ab' + '\U0001f40d' * (K // 4),
             '\x80' * K, '\udcff' * K]
    watch()
    for t in texts:
        named(t, 'f' + t)()
        named('n' + t, t)()
    check('names', least=len(texts))
    watch()
    for t in texts:
        try:
            named(t, 'f' + t, Sub)()
        except TypeError as e:
            print('#   str subclass: %s' % e)
            break
    check('legacy_names', least=0)
    watch()     # long names that differ in one character, at one address
    for i in times(300):
        t = ['q'] * 60000
        t[rng.randrange(60000)] = chr(rng.choice([65, 0xe9, 0x416, 0x1f40d]))
        named(''.join(t), 'same')()
    check('names_nearly_equal', least=3)
    watch()
    named('', '')()
    H.pt_watch(0, 1, 0, 0)
    got = events()[0][5][0][:2]
    report(got == (b'', b''), 'empty_name', repr(got))
