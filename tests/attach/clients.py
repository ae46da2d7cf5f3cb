# SPDX-License-Identifier: MIT
"""Bad clients on the socket: garbage, half requests, slow and dead ones.
After each the target answers a correct status."""
import contextlib
import os
import select
import shutil
import socket
import subprocess
import time

from process import descriptors, read_proc, require, require_equal, wait_until


class Raw:
    """A client that behaves as badly as the test wants."""

    def __init__(self, context, path, name=None):
        """name: by which the other end can tell this client from others."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if name:
            self.socket.bind(name)
        self.socket.settimeout(30)
        if path.startswith("@"):
            path = "\0" + path[1:]
        else:
            path = context.row.inside(path)
        self.socket.connect(path)

    def send(self, data):
        """Send what it takes; it may hang up on us."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def line(self):
        """The first line of an answer, b"" if it hung up."""
        got = b""
        try:
            while not got.endswith(b"\n"):
                one = self.socket.recv(1)
                if not one:
                    break
                got += one
        except ConnectionError:
            pass
        return got

    def close(self):
        self.socket.close()


def garbage_on_the_socket(context):
    tool = context.tool
    garbage = bytes(context.random.getrandbits(8) for _ in range(1 << 16))
    requests = [b"\n", b"\0\n", b"NONSENSE\n", b"RATE\n", b"RATE x\n", b"RATE -1\n",
                b"RATE 0\n", b"RATE 99999999999999999999\n", b"RATE 1e3\n", b"rate 4096\n",
                b"STATUS now\n", b"SNAPSHOT /etc/passwd\n", b"GET / HTTP/1.0\r\n\r\n",
                b"A" * 255 + b"\n", b"A" * 256 + b"\n", b"A" * 4096 + b"\n",
                "\u202eSTATUS\n".encode(), b"\x1b[2J\n", b"%s%n\n"]
    with context.target("maker.py") as target:
        path = tool.attach(target, "--rate", "32KiB")["socket"]
        for request in requests:
            client = Raw(context, path)
            client.send(request)
            answer = client.line()
            client.close()
            require(answer.startswith(b"ERR "), "answer to %r" % request[:40], answer)
            word = answer.split()[1].decode()
            require(word in ("bad-request", "bad-rate"), "word for %r" % request[:40], answer)
            require(not [c for c in answer[:-1] if c < 32 or c == 127], "raw bytes", answer)
        for size in (256, 257, 1 << 16, 1 << 20):
            client = Raw(context, path)
            start = time.monotonic()
            client.send((garbage * 16)[:size].replace(b"\n", b"x"))
            # a reset may overtake the answer where much is thrown away
            answer = client.line()
            require(answer.startswith(b"ERR bad-request") or not answer and size > 65536,
                    "answer to %d bytes without a newline" % size, answer)
            require(time.monotonic() - start < 5, "it waits for the end of a line")
            client.close()
        client = Raw(context, path)
        client.send(garbage * 16)
        client.close()
        require_equal(tool.still_served(target)["rate"], 32768, "rate after garbage")


def half_a_request(context):
    """Half a request and silence: others are served, and it is let go."""
    tool = context.tool
    with context.target("maker.py") as target:
        path = tool.attach(target)["socket"]
        client = Raw(context, path)
        client.send(b"STAT")
        tool.still_served(target)
        client.send(b"US\n")
        require(client.line().startswith(b"OK "), "the request in two halves")
        client.close()
        dead = Raw(context, path)
        dead.send(b"SNAPSH")
        dead.close()
        tool.still_served(target)


def silent_clients(everything):
    """Half a request and then nothing: let go after 10 s.  On all rows at a
    time, as it is only waited for."""
    with contextlib.ExitStack() as stack:
        silent, paths = {}, []
        for context in everything.rows:
            target = stack.enter_context(context.target("maker.py"))
            paths.append((context, target, context.tool.attach(target)["socket"]))
        for context, target, path in paths:
            client = Raw(context, path)
            stack.callback(client.close)
            silent[client.socket] = client, time.monotonic(), context, target
            client.send(b"STA")
        while silent:
            ready = select.select(list(silent), [], [], 60)[0]
            require(ready, "%d silent clients are not let go" % len(silent))
            for one in ready:
                client, start, context, target = silent.pop(one)
                answer, seconds = client.line(), time.monotonic() - start
                require(answer[:4] in (b"", b"ERR "), "a silent client got an answer", answer)
                require(5 < seconds < 60, "let go after %.1f s, not 10" % seconds)
                context.tool.still_served(target)
    everything.note("%d rows" % len(everything.rows))


def slow_and_dead_clients(context):
    """A client that does not read, many at once, and one that vanishes."""
    tool = context.tool
    with context.target("maker.py") as target:
        path = tool.attach(target, "--rate", "256")["socket"]
        target.ask("keep", 60000, 200)
        slow = Raw(context, path)
        slow.send(b"SNAPSHOT\n")
        for _ in range(3):
            dead = Raw(context, path)
            dead.send(b"SNAPSHOT\n")
            dead.socket.recv(100)
            dead.close()
        start = time.monotonic()
        require_equal(target.ask("check"), target.work, "answer beside a slow client")
        require(time.monotonic() - start < 30, "a slow client delays the target")
        tool.still_served(target)
        slow.close()
        crowd = [Raw(context, path) for _ in range(12)]
        answers = []
        for client in crowd:
            client.send(b"STATUS\n")
        for client in crowd:
            answers.append(client.line()[:8])
        require(sum(a.startswith(b"OK ") for a in answers) >= 6, "clients served", answers)
        require(all(a.startswith((b"OK ", b"ERR busy")) or not a for a in answers),
                "answers", answers)
        for client in crowd:
            client.close()
        # there is room at once, whether the payload has seen them go or not
        tool.still_served(target)


def old_snapshots(context):
    """A client that reads slowly keeps its copy; others get no old one."""
    tool = context.tool
    with context.target("maker.py") as target:
        path = tool.attach(target, "--rate", "256")["socket"]
        target.ask("keep", 60000, 200)
        slow = Raw(context, path)
        slow.send(b"SNAPSHOT\n")
        head = slow.line()

        def refused():
            client = Raw(context, path)
            client.send(b"SNAPSHOT\n")
            answer = client.line()
            client.close()
            require(answer == head or answer.startswith(b"ERR busy "), "an answer", answer)
            return answer != head
        wait_until(refused, 8, "the copy to be too old")
        tool.refused("busy", "report", target.pid)
        slow.close()
        wait_until(lambda: tool.run("report", target.pid).status == 0, 20, "a new copy")
        tool.still_served(target)


def child_has_socket(pid):
    try:
        return any("socket" in descriptors(int(child)).values()
                   for child in read_proc(pid, "task/%d/children" % pid).split())
    except OSError:
        return False


def detached_while_asked(context):
    """A client whose answer does not come because somebody detaches is told
    so; strace holds it back between its two requests."""
    if not shutil.which("strace"):
        context.skip("no strace here")
    tool = context.tool
    for seconds in (1, 8, 60):
        with context.target("maker.py") as target:
            tool.attach(target, "--rate", "64KiB")
            report = subprocess.Popen(
                ["strace", "-qq", "-o", os.devnull, "-e",
                 "inject=sendto:delay_enter=%d:when=2" % (seconds * 1000000), tool.program,
                 "report", str(target.pid), "--timeout", "90s", "--json"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                # not by the number of clients: a `list` beside us is one too
                wait_until(lambda: child_has_socket(report.pid) or
                           report.poll() is not None, 30, "the other client")
                if report.poll() is None:
                    tool.detach(target)
                errors = report.communicate(timeout=120)[1].decode()
            finally:
                report.kill()
                report.wait()
            if "was detached while it was asked" in errors:
                break	# else it was quicker than our detach, or not connected yet
    require_equal(report.returncode, tool.status_of["not-attached"], "status: " + errors)
    require("was detached while it was asked" in errors, "message", errors)


def pipelined_requests(context):
    """Several requests in one write are answered one by one."""
    with context.target("maker.py") as target:
        path = context.tool.attach(target, "--rate", "64KiB")["socket"]
        client = Raw(context, path)
        client.send(b"STATUS\nRATE 8192\nSTATUS\n")
        got = []
        for _ in range(3):
            head = client.line()
            require(head.startswith(b"OK "), "answer", head)
            length, body = int(head.split()[1]), b""
            while len(body) < length:
                more = client.socket.recv(length - len(body))
                require(more, "the answer was cut short")
                body += more
            got.append(body)
        client.close()
        require(b"rate 65536\n" in got[0] and b"rate 8192\n" in got[2], "rates", *got)
        require_equal(got[1].strip(), b"65536", "body of RATE: the old rate")
        context.tool.still_served(target)


OVER_ALL = [silent_clients]
CASES = [garbage_on_the_socket, half_a_request, slow_and_dead_clients, old_snapshots,
         detached_while_asked, pipelined_requests]
