# SPDX-License-Identifier: MIT
# `source' this file in gdb; see pyattach-gdb(7).  It must parse under Python 2,
# which old gdbs embed, only to say that it does not work there.
import sys

if sys.version_info < (3, 6):
    print("pyattach: this gdb embeds Python %d.%d, 3.6 is needed"
          % sys.version_info[:2])
else:
    import os
    # as installed, or as in the source tree: the package is beside this file
    _here = os.path.dirname(os.path.abspath(__file__))
    if _here not in sys.path:
        sys.path.insert(0, _here)
    import pyattach.census_command      # noqa: F401, with all of commands
