# SPDX-License-Identifier: MIT
"""The image format's field tables, as common/image.h describes them.

Installed, they come from image_fields.py, which the build generates; in the
source tree they are made from the header at import.  Holds no offset of its
own.
"""
import importlib.util
import os
import struct


def _tables():
    try:
        from . import image_fields
        return image_fields.CONSTANTS, image_fields.RECORDS
    except ImportError:
        pass
    here = os.path.dirname(os.path.abspath(__file__))
    tree = os.path.dirname(os.path.dirname(here))
    spec = importlib.util.spec_from_file_location(
        'gen_image_fields', os.path.join(tree, 'gdb', 'gen_image_fields.py'))
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    header = os.path.join(tree, 'common', 'image.h')
    with open(header, encoding='utf-8') as source:
        return generator.parse(source.read())


CONSTANTS, RECORDS = _tables()


class Record:
    """One record type: where its fields are, and how to read and write one."""

    def __init__(self, name):
        self.name = name
        self.size = RECORDS[name]['size']
        self.offsets = {}
        self.names = []         # of the scalar fields, in order
        self._codes = {}
        self._units = {}        # self.struct: the scalars without holes
        for field, code, offset, count, _unit in RECORDS[name]['fields']:
            self.offsets[field] = offset
            if code in RECORDS or count > 1 and code not in 'sB':
                continue        # records and tables: by offset
            if code == 's' or count > 1:
                code = '%ds' % count
            self._codes[field] = code
            self._units[field] = struct.Struct('<' + code)
            self.names.append(field)
        self.struct = struct.Struct('<' + ''.join(
            self._codes[field] for field in self.names))

    def code(self, field):
        """The struct code of a scalar field."""
        return self._codes[field]

    def get(self, data, field, base=0):
        """The value of one field; data must reach far enough."""
        return self._units[field].unpack_from(data, base +
                                              self.offsets[field])[0]

    def put(self, data, field, value, base=0):
        """Store one field into a bytearray."""
        self._units[field].pack_into(data, base + self.offsets[field], value)

    def read(self, data, base=0):
        """A dict of the scalar fields."""
        return {name: self.get(data, name, base) for name in self.names}

    def pack(self, **fields):
        """The bytes of one record; fields not given are zero."""
        data = bytearray(self.size)
        for name, value in fields.items():
            self.put(data, name, value)
        return bytes(data)


LIVE = Record('live')
SITE = Record('site')
NODE = Record('node')
FRAME = Record('frame')
REGION = Record('region')
SET = Record('set')
DIRECTORY = Record('directory')
KIND_RECORDS = {CONSTANTS['KIND_SITES']: SITE, CONSTANTS['KIND_FRAMES']: FRAME,
                CONSTANTS['KIND_NODES']: NODE, CONSTANTS['KIND_LIVE']: LIVE}


def names_of(prefix):
    """{value: word} of an enum's names with a prefix: 2 -> 'attached'."""
    return {value: name[len(prefix):].lower().replace('_', '-')
            for name, value in CONSTANTS.items()
            if name.startswith(prefix) and isinstance(value, int)}


STATES = names_of('STATE_')
HOOKS = names_of('HOOKS_')
