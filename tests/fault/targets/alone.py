# SPDX-License-Identifier: MIT
"""One thread only.  `alone.py cpu` computes for ever; `alone.py storm` takes
a signal a millisecond; `alone.py server` runs an asyncio server and its
clients; `alone.py gevent` the same on gevent."""
import signal
import sys
import time

import beats

beats.TURNS.append(0)
taken = [0]


def compute():
    requests = beats.Requests()
    while True:
        if sum(i * i for i in range(3000)) != 8995500500:
            beats.note("sum")
        beats.TURNS[0] += 1
        requests.serve_what_came()


def take(number, frame):
    taken[0] += 1


def storm():
    signal.signal(signal.SIGALRM, take)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    requests = beats.Requests(taken=lambda: taken[0])
    while True:
        start = time.monotonic()
        time.sleep(0.01)
        beats.not_early("sleep", start, 0.0099)
        beats.TURNS[0] += 1
        requests.serve_what_came()


async def echo(reader, writer):
    while True:
        line = await reader.readline()
        if not line:
            break
        writer.write(line)
        await writer.drain()


async def client(port):
    import asyncio
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while True:
        number += 1
        line = b"%d\n" % number
        writer.write(line)
        if await asyncio.wait_for(reader.readline(), 120) != line:
            beats.note("echo")
        start = time.monotonic()
        await asyncio.sleep(0.004)
        beats.not_early("asyncio.sleep", start, 0.0035)	# its clock's grain
        beats.TURNS[0] += 1


async def main():
    import asyncio
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clients = [asyncio.ensure_future(client(port)) for _ in range(5)]
    requests = beats.Requests()
    asyncio.get_running_loop().add_reader(0, requests.serve_what_came)
    await asyncio.gather(*clients)


def server():
    import asyncio
    asyncio.run(main())


def green():
    from gevent import monkey
    monkey.patch_all()
    import gevent
    from gevent import socket
    requests = beats.Requests()
    near, far = socket.socketpair()

    def answer():
        while True:
            far.sendall(far.recv(10))

    gevent.spawn(answer)
    while True:
        near.sendall(b"word")
        if near.recv(10) != b"word":
            beats.note("echo")
        start = time.monotonic()
        gevent.sleep(0.004)
        beats.not_early("gevent.sleep", start, 0.0035)
        beats.TURNS[0] += 1
        requests.serve_what_came()


{"cpu": compute, "storm": storm, "server": server, "gevent": green}[sys.argv[1]]()
