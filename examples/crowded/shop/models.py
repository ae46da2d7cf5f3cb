# SPDX-License-Identifier: MIT
"""What the shop sells."""


class Product:
    def __init__(self, number):
        self.number = number
        self.name = "product %d" % number
        self.prices = [100 + number, 90 + number]


def best_sellers():
    """As a query does it: new objects each time."""
    return [Product(number) for number in range(8)]
