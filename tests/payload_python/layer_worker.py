# SPDX-License-Identifier: MIT
"""Checks payload/python*.c inside one interpreter (3.8 to 3.15).

Run by test_python_layer.py: layer_worker.py HARNESS.so SEED SCALE [GROUP...]

Each module runs its groups when it is imported, in this order.
"""
import layer_base
import layer_lines
import layer_names
import layer_threads
import layer_store
import layer_gil
layer_base.H.pt_watch(0, 1, 0, 0)
import layer_refusals

layer_base.H.pt_uninstall()
print('done %d' % layer_base.failures)
