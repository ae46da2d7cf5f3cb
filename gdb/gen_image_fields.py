#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the tables of the image format for Python out of common/image.h.

    gen_image_fields.py IMAGE_H [-o image_fields.py]

The header is the one description of the format; this reads its field lists,
its structs and its constants, nothing else of C.  Whatever it does not
understand is an error, so that a change of the header cannot pass unseen.
tests/gdb compares the result with what a C compiler says.
"""
import pprint
import re
import sys

CODES = {'uint8_t': 'B', 'uint16_t': 'H', 'uint32_t': 'I', 'uint64_t': 'Q',
         'int64_t': 'q', 'double': 'd', 'char': 's'}
SIZES = {'B': 1, 'H': 2, 'I': 4, 'Q': 8, 'q': 8, 'd': 8, 's': 1}


class FormatError(Exception):
    """The header says something that this program does not understand."""


def strip_comments(text):
    return re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)


def field_lists(text):
    """{macro name: [(C type, name, unit)]} of each F(...) list."""
    lists = {}
    pattern = r'#define (PA_[A-Z]+_[A-Z]+)\(F\)((?:.*\\\n)*.*\n)'
    for match in re.finditer(pattern, text):
        body = match.group(2)
        rows = re.findall(r'F\((\w+),\s*(\w+),\s*"([^"]*)"\)', body)
        if len(rows) != len(re.findall(r'\bF\(', body)) or not rows:
            raise FormatError('odd field list %s' % match.group(1))
        lists[match.group(1)] = rows
    return lists


def constants(text):
    """{name without PA_: value} of the enums and the numeric macros."""
    values = {}
    pattern = r'#define PA_(\w+)\s+(0x[0-9a-fA-F]+|\d+)(?:u|ull)?\s'
    for name, number in re.findall(pattern, text):
        values[name] = int(number, 0)
    for body in re.findall(r'enum \w+ \{(.*?)\};', text, flags=re.S):
        following = 0
        for item in filter(None, (x.strip() for x in body.split(','))):
            name, _, value = (x.strip() for x in item.partition('='))
            shift = re.match(r'1u << (\d+)$', value)
            if shift:
                following = 1 << int(shift.group(1))
            elif value:
                following = int(value.rstrip('u'), 0)
            values[name[3:]] = following
            following += 1
    for name, text_value in re.findall(r'#define PA_(\w+) "([^"]*)"', text):
        values[name] = text_value.encode('latin-1').decode(
            'unicode_escape').encode('latin-1')
    values['IMAGE_MAGIC'] += b'\0'     # C's own terminator is the 16th byte
    if len(values['IMAGE_MAGIC']) != 16:
        raise FormatError('the magic is not 16 bytes long')
    return values


def dimension(text, values):
    number = 1
    for part in re.findall(r'\[(\w+)\]', text):
        number *= int(part) if part.isdigit() else values[part[3:]]
    return number


def members(body, lists, values):
    """[(C type, name, count, unit)] of a struct's body."""
    pattern = (r'(PA_[A-Z_]+)\(PA_MEMBER\)|'
               r'(struct \w+|\w+)\s+(\w+)((?:\[\w+\])*)\s*;')
    rest = re.sub(pattern, '', body).strip()
    if rest:
        raise FormatError('odd struct member: %r' % rest)
    for macro, ctype, name, dims in re.findall(pattern, body):
        if macro:
            for field in lists[macro]:
                yield field[0], field[1], 1, field[2]
        else:
            yield ctype, name, dimension(dims, values), ''


def structs(text, lists, values):
    """{record: {'size', 'fields': [(name, code or record, offset, count,
    unit)]}}; records without holes, as the header promises."""
    records = {}
    for name, body in re.findall(r'struct pa_(\w+) \{(.*?)\n?\};', text,
                                 flags=re.S):
        offset = 0
        fields = []
        for ctype, field, count, unit in members(body, lists, values):
            if ctype.startswith('struct pa_'):
                code = ctype[len('struct pa_'):]
                size, align = records[code]['size'], 8
            else:
                code = CODES[ctype]
                size = align = SIZES[code]
            if offset % align:
                raise FormatError('a hole before %s.%s' % (name, field))
            fields.append((field, code, offset, count, unit))
            offset += size * count
        records[name] = {'size': offset, 'fields': fields}
    return records


def parse(header):
    """(constants, records) of the text of image.h."""
    text = strip_comments(header)
    lists = field_lists(text)
    values = constants(text)
    return values, structs(text, lists, values)


def generate(header):
    values, records = parse(header)
    return ('# Made by gen_image_fields.py from common/image.h: do not edit.\n'
            'CONSTANTS = %s\n\nRECORDS = %s\n'
            % (pprint.pformat(values), pprint.pformat(records)))


def main(argv):
    if len(argv) not in (2, 4) or len(argv) == 4 and argv[2] != '-o':
        sys.stderr.write('usage: gen_image_fields.py IMAGE_H [-o FILE]\n')
        return 2
    with open(argv[1], encoding='utf-8') as source:
        result = generate(source.read())
    if len(argv) == 2:
        sys.stdout.write(result)
        return 0
    with open(argv[3], 'w', encoding='utf-8') as out:
        out.write(result)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
