# SPDX-License-Identifier: MIT
"""Read the trace table of pyattach-sample: from a core, a process, a file.

Everything here but `commands` works without gdb.  The syntax is that of
Python 3.6, which the oldest supported gdb embeds.

    layout    the format's field tables, made from common/image.h
    memory    cores, processes and snapshot files as readable memory
    discover  where in a memory the directory is, or why there is none
    decode    from bytes to samples, sites and stacks; damage is counted
    estimate  weights and intervals
    report    rows and totals
    views, tree, diff, json_views    what people and programs read
    save      a table as a snapshot file
    commands  the gdb commands; the only module that imports gdb
"""
