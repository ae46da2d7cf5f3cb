# SPDX-License-Identifier: MIT
"""The command under test, run as a user runs it: arguments, status, output.

Every run has a limit; a command that does not end is a failure of its own.
"""
import json
import subprocess
import time

from process import Failure, our_threads, proc_status, require, require_equal, wait_turns


class Answer:
    """What one run of the command gave."""

    def __init__(self, arguments, status, stdout, stderr, seconds):
        self.arguments = arguments
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds

    @property
    def json(self):
        try:
            return json.loads(self.stdout.decode())
        except ValueError as e:
            raise Failure("not JSON (%s)" % e, self)

    @property
    def error(self):
        """The error object of a failed command under --format json."""
        try:
            return json.loads(self.stderr.decode())
        except ValueError as e:
            raise Failure("stderr is not one JSON object (%s)" % e, self)

    def __str__(self):
        return "pyattach-sample %s: status %s\n    stdout: %s\n    stderr: %s" % (
            " ".join(str(a) for a in self.arguments), self.status,
            self.stdout[-1500:].decode("utf-8", "replace"),
            self.stderr[-1500:].decode("utf-8", "replace"))


def error_list(path):
    """{word: status} from common/errors.def, the one list there is."""
    import re
    found = {"failed": 1, "usage": 2}
    with open(path, encoding="utf-8") as f:
        for word, status in re.findall(r'^X\(\w+,\s*"([^"]+)",\s*(\d+),', f.read(), re.M):
            found[word] = int(status)
    return found


class Tool:
    def __init__(self, program, payload, seeds, errors):
        self.program = program
        self.payload = payload
        self.seeds = seeds
        self.status_of = errors
        text = self.run("attach", "--help").stdout
        self.has_seed = b"--seed" in text
        self.has_payload = b"--payload" in text

    def run(self, *arguments, wait=60.0, prefix=(), stdin=subprocess.DEVNULL, env=None,
            program=None):
        command = list(prefix) + [program or self.program] + [str(a) for a in arguments]
        start = time.monotonic()
        try:
            done = subprocess.run(command, stdin=stdin, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=wait, env=env)
        except subprocess.TimeoutExpired:
            raise Failure("did not end in %.0f s: %s" % (wait, " ".join(command)))
        return Answer(arguments, done.returncode, done.stdout, done.stderr,
                      time.monotonic() - start)

    def good(self, *arguments, **how):
        """Run, must succeed; the JSON object of the answer."""
        answer = self.run(*arguments, "--format", "json", **how)
        require(answer.status == 0, "command failed", answer)
        require(not answer.stderr, "a good answer has an empty stderr", answer)
        return answer.json

    def refused(self, word, *arguments, **how):
        """Run, must fail with this word of errors.def in both formats."""
        answer = self.run(*arguments, "--format", "json", **how)
        wanted = self.status_of[word]
        require(answer.status == wanted, "expected status %d (%s)" % (wanted, word), answer)
        require(not answer.stdout, "a failure has an empty stdout", answer)
        error = answer.error
        require_equal(error.get("error"), word, "word of the error")
        require_equal(error.get("status"), wanted, "status in the error")
        require(error.get("schema") == "pyattach-sample/error/1", "schema of the error", answer)
        require(error.get("message") and error.get("hint"), "message and hint", answer)
        return error

    # ---- verbs as the tests use them ----

    def attach_options(self, payload=None):
        options = []
        if self.has_payload:
            options += ["--payload", payload or self.payload]
        if self.has_seed:
            options += ["--seed", str(self.seeds.getrandbits(63) | 1)]
        return options

    def attach(self, target, *options, payload=None, **how):
        """Attach; the JSON answer, checked against the target."""
        got = self.good("attach", target.pid, *self.attach_options(payload), *options, **how)
        target.attached = True
        require_equal(got["schema"], "pyattach-sample/attach/1", "schema")
        require_equal(got["pid"], target.pid, "pid")
        # what it runs, not what the row says: another user may be given
        # another libpython by the loader
        said = target.hello["version"] if isinstance(target.hello, dict) else None
        require(not said or got["python"].split("+")[0] == "%d.%d.%d" % tuple(said),
                "python: %s, and the target says %s" % (got["python"], said))
        require_equal(got["build"], target.row.build, "build")
        return got

    def status(self, target):
        return self.good("status", target.pid)

    def report(self, source, *options, **how):
        pid = getattr(source, "pid", source)
        return self.good("report", pid, "--limit", "0", *options, **how)

    def detach(self, target):
        got = self.good("detach", target.pid)
        target.attached = False
        return got

    def still_served(self, target):
        """The target answers, and so does the payload, correctly."""
        token = self.seeds.getrandbits(40)
        require_equal(target.ask("ping", token), token, "the target's answer")
        status = self.status(target)
        require_equal(status["pid"], target.pid, "pid in status")
        require_equal(status["hooks"], "on", "hooks in status")
        require_equal(status["dropped"], 0, "dropped samples")
        return status

    def no_trace(self, target):
        """Nothing of ours acts in the target (the payload may be mapped)."""
        wait_turns(lambda: not our_threads(target.pid), 1.0, "our thread to end")
        require_equal(proc_status(target.pid, "TracerPid"), "0", "TracerPid")


def spread(values):
    """Median, lowest and highest of a list, for printing."""
    values = sorted(values)
    return values[len(values) // 2], values[0], values[-1]
