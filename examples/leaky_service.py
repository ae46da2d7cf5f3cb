#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A small web service that leaks, for trying pyattach-sample on.

It renders product pages, keeps sessions, writes a bounded access log and
caches rendered pages.  The cache's key is the whole address, tracking
parameter included, so no visitor ever hits it and no page ever leaves it.
That is the leak; everything else here gives its memory back.

    leaky_service.py [--port N] [--visitors N] [--pages N]

Prints "ready PID PORT", then "served N pages, cache N MiB" every 250 pages.
The visitors go home after --pages, so that a forgotten service does not fill
the machine.  Ends on SIGTERM.  Standard library only, Python 3.8 and later.
"""
import argparse
import collections
import hashlib
import html
import http.client
import http.server
import json
import os
import random
import threading
import time
import urllib.parse
import zlib

CATALOGUE = [
    {"id": n, "name": "Part no. %d" % n, "price": 199 + 37 * n,
     "text": "Made of %s, fits %d models. " % ("steel" if n % 2 else "brass", n)}
    for n in range(200)
]

PAGES = {}  # address -> page: nobody ever takes anything out
SESSIONS = collections.OrderedDict()  # at most 1000, the oldest goes
ACCESS_LOG = collections.deque(maxlen=2000)
LOCK = threading.Lock()


def session_of(cookie):
    """The session of a visitor, made if need be; the oldest gives way."""
    with LOCK:
        session = SESSIONS.setdefault(cookie, {"views": 0, "seen": []})
        SESSIONS.move_to_end(cookie)
        while len(SESSIONS) > 1000:
            SESSIONS.popitem(last=False)
    session["views"] += 1
    return session


def rows_of(item):
    """The rows of a page's table, as text."""
    related = sorted(CATALOGUE, key=lambda other: abs(other["id"] - item["id"]))
    for other in related[:150]:
        yield "<tr><td>%s<td>%.2f<td>%s</tr>\n" % (
            html.escape(other["name"]), other["price"] / 100, other["text"] * 4)


def render(address, item):
    """The page at an address, from the cache where it is there."""
    page = PAGES.get(address)
    if page is None:
        rows = list(rows_of(item))
        page = PAGES[address] = "".join(rows).encode()  # the leaking line
    return page


def stock(item):
    """An honest piece of work: parse, count, pack, forget."""
    answer = json.loads(json.dumps([item] * 40))
    packed = zlib.compress(json.dumps(answer).encode(), 1)
    return {"id": item["id"], "stock": len(packed) % 50,
            "tag": hashlib.sha256(packed).hexdigest()}


class Handler(http.server.BaseHTTPRequestHandler):
    """GET /part/N?click=... gives a page, GET /stock/N a JSON object."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        kind, _, number = urllib.parse.urlsplit(self.path).path[1:].partition("/")
        if kind not in ("part", "stock") or not number.isdigit():
            self.send_error(404)
            return
        item = CATALOGUE[int(number) % len(CATALOGUE)]
        session = session_of(self.headers.get("Cookie", "none"))
        session["seen"] = session["seen"][-9:] + [item["id"]]
        if kind == "part":
            body = render(self.path, item)
        else:
            body = json.dumps(stock(item)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        ACCESS_LOG.append(" ".join(map(str, words)))


def visitor(port, seed, served):
    """Somebody who clicks through the shop, 50 times a second at most."""
    dice = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    more = True
    while more:
        time.sleep(0.02)
        kind = dice.choice(["part", "part", "part", "stock"])
        click = "%032x" % dice.getrandbits(128)
        connection.request("GET", "/%s/%d?click=%s" % (kind, dice.randrange(200), click),
                           headers={"Cookie": "visitor-%d" % dice.randrange(3000)})
        connection.getresponse().read()
        if kind == "part":
            more = served()


def progress(limit):
    """A function that counts pages, tells of every 250th, says if to go on."""
    count = [0]

    def served():
        with LOCK:
            count[0] += 1
            if count[0] % 250 == 0:
                held = sum(map(len, PAGES.values())) / 2 ** 20
                print("served %d pages, cache %.0f MiB" % (count[0], held), flush=True)
            return count[0] < limit
    return served


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--visitors", type=int, default=8, help="threads that click")
    parser.add_argument("--pages", type=int, default=20000, help="until they go home")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    port = server.server_address[1]
    print("ready %d %d" % (os.getpid(), port), flush=True)
    served = progress(options.pages)
    for number in range(options.visitors):
        threading.Thread(target=visitor, args=(port, number, served),
                         name="visitor", daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
