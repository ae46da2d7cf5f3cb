# SPDX-License-Identifier: MIT
"""Names made safe to look at, and numbers as people read them.

The same text as client/escape.c and client/human.c make.  A name comes from
the target and may hold anything; what leaves here is printable.
"""
import codecs
import re
import time

HIDDEN = re.compile(
    '[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e'
    '\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]')
SHORT = {'\n': '\\n', '\r': '\\r', '\t': '\\t'}
WIDE = re.compile(
    '[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff'
    '\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\U0001f300-\U0001f64f'
    '\U0001f900-\U0001f9ff\U00020000-\U0003fffd]')
NO_WIDTH = re.compile(
    '[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f'
    '\u200c\u200d\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f'
    '\U000e0100-\U000e01ef]')


def _odd_bytes(error):
    """A lone surrogate in three bytes becomes \\udcff, another byte \\xff."""
    data, at = error.object, error.start
    three = data[at:at + 3]
    if (len(three) == 3 and three[0] == 0xed and 0xa0 <= three[1] <= 0xbf
            and 0x80 <= three[2] <= 0xbf):
        point = 0xd000 | (three[1] & 0x3f) << 6 | three[2] & 0x3f
        return '\\u%04x' % point, at + 3
    return '\\x%02x' % data[at], at + 1


codecs.register_error('pyattach', _odd_bytes)


def json_text(name):
    """Bytes of a name as text for JSON: every character is kept."""
    return name.decode('utf-8', 'pyattach')


def _show(match):
    character = match.group()
    point = ord(character)
    if character in SHORT:
        return SHORT[character]
    if point < 0x100:
        return '\\x%02x' % point
    return ('\\u%04x' if point < 0x10000 else '\\U%08x') % point


def safe(text):
    """Text for a terminal: control and bidi characters become visible."""
    return HIDDEN.sub(_show, text)


def width(text):
    """Columns on a terminal."""
    return len(text) + len(WIDE.findall(text)) - len(NO_WIDTH.findall(text))


def cut_left(text, columns):
    """The end of a path that is too long for its column."""
    if len(text) <= columns // 2 or width(text) <= columns:
        return text
    text = text[-columns:]
    while width(text) > columns - 1:
        text = text[1:]
    return '\u2026' + text


def cut_right(text, columns):
    """The beginning of a name that is too long for its column."""
    if len(text) <= columns // 2 or width(text) <= columns:
        return text
    text = text[:columns]
    while width(text) > columns - 1:
        text = text[:-1]
    return text + '\u2026'


BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']
COUNT_UNITS = ['', 'k', 'M', 'G', 'T', 'P', 'E']


def _unit(value, step):
    unit, divisor = 0, 1.0
    while unit + 1 < len(BYTE_UNITS) and value / divisor >= step - 0.5:
        divisor *= step
        unit += 1
    return unit, divisor


def _decimals(value):
    if value >= 99.95 or value == 0:
        return 0
    return 1 if value >= 9.995 else 2


def _needed(value, digits):
    text = '%.*f' % (digits, value)
    while digits and text.endswith('0'):
        text, digits = text[:-1], digits - 1
    return digits


def _scaled(value, step, units):
    value = value if 0 < value < float('inf') else 0.0
    unit, divisor = _unit(value, step)
    value /= divisor
    digits = _needed(value, _decimals(value)) if unit else 0
    return '%.*f%s%s' % (digits, value, ' ' if units[unit] else '',
                         units[unit])


def human_bytes(value):
    return _scaled(value, 1024, BYTE_UNITS)


def human_count(value):
    return _scaled(value, 1000, COUNT_UNITS)


def human_share(share):
    return '%.*f %%' % (1 if 0 < share < 0.00995 else 0, share * 100)


def human_range(low, high):
    """Both ends in the unit of the higher one."""
    low, high = max(low, 0.0), max(high, 0.0)
    unit, divisor = _unit(high, 1024)
    digits = _decimals(high / divisor) if unit else 0
    digits = max(_needed(high / divisor, digits),
                 _needed(low / divisor, digits))
    return '%.*f \u2026 %.*f %s' % (digits, low / divisor, digits,
                                    high / divisor, BYTE_UNITS[unit])


def human_time(ns):
    seconds = ns // 10**9
    for unit, name, smaller, small_name in ((86400, 'd', 3600, 'h'),
                                            (3600, 'h', 60, 'min')):
        if seconds >= unit:
            return '%d %s %d %s' % (seconds // unit, name,
                                    seconds % unit // smaller, small_name)
    if seconds >= 120:
        return '%d min' % (seconds // 60)
    if seconds >= 10:
        return '%d s' % seconds
    return '%.1f s' % (ns / 1e9)


def several(number, thing):
    """1 sample, 309 samples."""
    return '%d %s%s' % (number, thing, '' if number == 1 else 's')


def human_date(realtime_ns):
    try:
        moment = time.localtime(realtime_ns // 10**9)
    except (OverflowError, ValueError, OSError):
        return '?'
    return time.strftime('%Y-%m-%d %H:%M:%S', moment)
