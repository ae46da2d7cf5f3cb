# SPDX-License-Identifier: MIT
"""A shop that holds too much already, for doc/tutorial-census.md."""
