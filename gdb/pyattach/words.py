# SPDX-License-Identifier: MIT
"""The words of a command: options, sizes, times, numbers of rows."""
import re

from . import report, text

# option: whether a value follows
OPTIONS = {'-json': False, '-of': True, '-by': True, '-sort': True,
           '-larger': True, '-older': True, '-full': False, '-force': False}
CHOICES = {'-of': ('live', 'allocated'), '-by': report.GROUPS,
           '-sort': report.SORTS}
FORMATS = ('table', 'json')
SIZES = {'': 1, 'b': 1, 'k': 1 << 10, 'kib': 1 << 10, 'm': 1 << 20,
         'mib': 1 << 20, 'g': 1 << 30, 'gib': 1 << 30}
TIMES = {'': 1, 's': 1, 'm': 60, 'h': 3600, 'd': 86400}


class Misuse(Exception):
    """What the user said cannot be done; the text says why."""


def split(words, known):
    """(plain words, {option: value}) of a command that knows some options."""
    plain, given = [], {}
    words = list(reversed(words))
    while words:
        word = words.pop()
        if word not in known:
            if word in OPTIONS or re.match('--?[a-z]', word):
                raise Misuse('This command has no option %s.'
                             % text.safe(word))
            plain.append(word)
        elif not OPTIONS[word]:
            given[word] = True
        elif words:
            given[word] = words.pop()
        else:
            raise Misuse('%s needs a value.' % word)
    for option, allowed in CHOICES.items():
        if option in given and given[option] not in allowed:
            raise Misuse('%s is one of: %s.' % (option, ', '.join(allowed)))
    return plain, given


def number_of(word, units, what):
    match = re.match(r'([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)$', word.lower())
    if not match or match.group(2) not in units or len(word) > 30:
        hint = ' KB, MB and GB are refused: KiB, MiB, GiB.' if re.match(
            r'[0-9.]+\s*[kmg]b$', word.lower()) else ''
        raise Misuse('%s is not a %s.%s' % (text.safe(word), what, hint))
    return float(match.group(1)) * units[match.group(2)]


def rows_of(plain, position, setting):
    """How many rows: the word at a position, the last one, else the
    setting."""
    if len(plain) > position + 1:
        raise Misuse('One word too many: %s.' % text.safe(
            plain[position + 1]))
    if len(plain) <= position:
        return setting or 0
    if not re.match('[0-9]{1,9}$', plain[position]):
        raise Misuse('%s is not a number of rows.' % text.safe(
            plain[position]))
    return int(plain[position])


def candidates(line, word, options, words):
    """Completion: gdb replaces only `word', and '-' breaks words, so cut off
    what it has already."""
    before = line.split(' ')
    last = before[-1]
    previous = before[-2] if len(before) > 1 else ''
    found = CHOICES.get(previous, ()) if previous in options \
        else options + words
    done = len(last) - len(word or '')
    return [c[done:] for c in found if c.startswith(last)]
