# SPDX-License-Identifier: MIT
"""Squatters and enemies where the payload and its socket are placed: no link
is followed, nothing of anybody's is touched, nothing is sent to a stranger."""
import contextlib
import copy
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

from containers import every_verb, other_mounts
from process import Failure, mappings, require, require_equal

# Users of this very run: two runs at once must not share a directory of /tmp.
OWNER = 200000 + 2 * os.getpid()
SQUATTER = OWNER + 1
LISTENER = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1].replace("@", chr(0)))
if sys.argv[1][0] != "@":
    os.chmod(sys.argv[1], 0o777)
server.listen(5)
print("ready", flush=True)
while True:
    client, _ = server.accept()
    got = client.recv(1000)
    print("got", repr(got), flush=True)
    try:
        client.sendall(b"OK 3\\nabc")
    except OSError:
        pass
    client.close()
"""


class Scene:
    """The socket's directory of OWNER in the row's /tmp, and a victim."""

    def __init__(self, context):
        self.user = context.user_of_python(OWNER)
        self.seen = "/tmp/pyattach-sample-%d" % OWNER
        self.directory = context.row.inside(self.seen)
        self.victim = tempfile.mkdtemp(prefix="pa-test-", dir=context.row.inside("/tmp"))
        self.victim_seen = self.victim[len(context.row.root):]
        self.file = os.path.join(self.victim, "file")
        with open(self.file, "w") as f:
            f.write("of the victim")
        self.clear()
        self.before = self.look()

    def own(self, path, uid, mode):
        os.chown(path, uid, uid)
        os.chmod(path, mode)
        self.before = self.look()

    def look(self):
        """Whatever changes when anything is made, removed or written."""
        facts = []
        for path in (self.victim, self.file):
            there = os.stat(path)
            facts.append((there.st_mode, there.st_uid, there.st_nlink, there.st_mtime_ns,
                          there.st_ctime_ns))
        with open(self.file) as f:
            return facts + [f.read()]

    def untouched(self):
        require_equal(self.look(), self.before, "the victim's directory and file")

    def clear(self):
        if os.path.islink(self.directory) or os.path.isfile(self.directory):
            os.unlink(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    def end(self):
        self.clear()
        shutil.rmtree(self.victim)


@contextlib.contextmanager
def scene(context):
    it = Scene(context)
    try:
        yield it
    finally:
        it.end()


def works_elsewhere(context, it):
    """All verbs work, through a socket that is not in that place."""
    with context.target("maker.py", user=it.user) as target:
        got = every_verb(context, target, target.pid)
        require(got["socket"].startswith("@pyattach-sample-"), "socket", got)
        require(re.match(r"^@pyattach-sample-\d+-[0-9a-f]{32}$", got["socket"]),
                "an abstract name must not be guessed", got)
    it.untouched()


# ---- the socket's directory ----

def directory_of_a_squatter(context):
    """It belongs to somebody else, whatever its mode."""
    for mode in (0o700, 0o777, 0o1777):
        with scene(context) as it:
            os.mkdir(it.directory)
            it.own(it.directory, SQUATTER, mode)
            works_elsewhere(context, it)
            require_equal(os.listdir(it.directory), [], "files in the squatter's directory")


def directory_is_a_link(context):
    """Also where it leads to a directory of the target's own user."""
    with scene(context) as it:
        it.own(it.victim, OWNER, 0o700)
        os.symlink(it.victim_seen, it.directory)
        works_elsewhere(context, it)


def directory_is_open(context):
    """Its own directory, but others may write to it."""
    with scene(context) as it:
        os.mkdir(it.directory)
        it.own(it.directory, OWNER, 0o770)
        works_elsewhere(context, it)
        require_equal(os.listdir(it.directory), [], "files in the open directory")


def directory_is_a_file(context):
    with scene(context) as it:
        shutil.copy(it.file, it.directory)
        works_elsewhere(context, it)


def looks(path):
    """All of a file that a use by its name would change, but for the time of
    the last access: to follow a link is one."""
    st = os.lstat(path)
    return (st.st_mode, st.st_dev, st.st_ino, st.st_nlink, st.st_uid, st.st_gid, st.st_size,
            st.st_mtime_ns, st.st_ctime_ns, os.path.islink(path) and os.readlink(path))


def name_is_taken(context):
    """A file, a directory or a link already has the name of the socket."""
    for kind in ("file", "directory", "link", "dangling"):
        with scene(context) as it:
            os.mkdir(it.directory)
            it.own(it.directory, OWNER, 0o700)
            with context.target("maker.py", user=it.user) as target:
                name = os.path.join(it.directory, "%d.sock" % target.pid)
                if kind == "file":
                    shutil.copy(it.file, name)
                elif kind == "directory":
                    os.mkdir(name)
                else:
                    os.symlink(it.victim_seen + ("/file" if kind == "link" else "/new"), name)
                there = looks(name)
                got = every_verb(context, target, target.pid)
                require(got["socket"].startswith("@"), "socket", got)
                require_equal(looks(name), there, "what has the name of the socket")
            it.untouched()


# ---- who listens there ----

@contextlib.contextmanager
def listener(context, name, uid):
    """A stranger who listens under a name and says what was sent to him."""
    process = subprocess.Popen(context.user(uid) + [sys.executable, "-c", LISTENER, name],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        if process.stdout.readline() != b"ready\n":
            raise Failure("the listener did not start")
        yield process
    finally:
        process.kill()
        process.wait()


def told_nothing(process):
    process.kill()
    words = process.stdout.read()
    require(words.replace(b"got b''\n", b"") == b"", "something was sent to him", words)


def strangers_listen(context):
    """Under the names that ours could have: nothing is sent, and he is never
    taken for the payload, neither before an attach nor after one."""
    tool = context.tool
    with scene(context) as it:
        os.mkdir(it.directory)
        it.own(it.directory, OWNER, 0o700)
        with context.target("maker.py", user=it.user) as target:
            names = ["@pyattach-sample-%d-%032x" % (target.pid, 7),
                     os.path.join(it.directory, "%d.sock" % target.pid)]
            for name, uid in zip(names, (SQUATTER, OWNER)):
                with listener(context, name, uid) as process:
                    for verb in ("status", "report", "detach"):
                        answer = tool.run(verb, target.pid, "--format", "json")
                        require(answer.status in (tool.status_of["not-attached"],
                                                  tool.status_of["wrong-peer"]), verb, answer)
                    if name[0] == "@":
                        every_verb(context, target, target.pid)
                    told_nothing(process)


# ---- the payload's file ----

# A root of the enemy's making: every place for the payload is a link.
LINKS = """
mount -t tmpfs tmpfs "$R"
cd "$R"
for d in usr bin lib lib64 proc etc root; do
	test -e "$OLD/$d" || continue
	mkdir -p "$d"; mount --rbind "$OLD/$d" "$d"
done
mkdir -p var dev targets victim
mount --bind "$V/targets" targets; mount --bind "$V" victim
for d in tmp var/tmp dev/shm run; do ln -s "$L" "$d"; done
"""


class EnemyRow:
    """The context's row, its targets where that root has them."""

    def __init__(self, row, it):
        self.row = row
        self.root = it.victim

    def __getattr__(self, name):
        return getattr(self.row, name)

    def private_directory(self):
        first = self.row.private_directory()
        here = os.path.join(self.root, "targets", os.path.basename(first))
        shutil.move(first, here)
        return here


def places_are_links(context):
    """/tmp and all the others are links, inside of its root or out of it: the
    payload comes by a memfd, and no file is made behind the links."""
    for inside in (True, False):
        with scene(context) as it:
            for name in ("world", "targets"):
                os.mkdir(os.path.join(it.victim, name))
            os.chmod(it.victim, 0o755)	# where only root could write
            it.before = it.look()
            link = "/victim" if inside else "/../../../.." + it.victim
            script = "OLD=%s; V=%s; L=%s\n%s" % (context.row.root, it.victim, link, LINKS)
            there = copy.copy(context)
            there.row = EnemyRow(context.row, it)
            user = ["chroot", it.victim_seen + "/world"] + it.user
            with other_mounts(there, script, it.victim + "/world", user=user) as target:
                every_verb(there, target, target.pid)
                require(any("memfd:" in line for line in mappings(target.pid)),
                        "a memfd is mapped")
            it.untouched()


def file_is_exclusive(context):
    """Its name has 128 random bits, it is made anew (O_EXCL), belongs to the
    target, cannot be written to, and is gone after the attach."""
    if not shutil.which("strace"):
        context.skip("no strace here")
    tool = context.tool
    names = []
    with scene(context) as it, tempfile.NamedTemporaryFile() as out:
        for _ in range(2):
            with context.target("maker.py", user=it.user) as target:
                tool.attach(target, prefix=["strace", "-f", "-qq", "-o", out.name, "-e",
                                            "trace=openat,fchmod,fchown,unlinkat"])
                with open(out.name) as f:
                    calls = f.read()
                made = re.findall(r'openat\(\d+, "(\.pyattach-[0-9a-f]{32}\.so)", (\S+), (\d+)\)',
                                  calls)
                require(len(made) == 1, "one file is made", calls[-3000:])
                name, flags, mode = made[0]
                require({"O_CREAT", "O_EXCL", "O_NOFOLLOW"} <= set(flags.split("|")), flags)
                require_equal(mode, "0500", "mode of the file")
                require(re.search(r'fchown\(\d+, %d, ' % OWNER, calls), "it is given away")
                # by the payload, as soon as it is loaded, or by the tool
                require('"%s", 0) = ' % name in calls, "it is not removed", calls[-3000:])
                names.append(name)
                folder = context.row.inside("/tmp")
                require(name not in os.listdir(folder), "it is still there")
                require(any(name in line and "(deleted)" in line
                            for line in mappings(target.pid)), "it is mapped, and deleted")
                got = tool.status(target)
                there = os.lstat(os.path.join(it.directory, "%d.sock" % target.pid))
                require(stat.S_ISSOCK(there.st_mode), "the socket", got)
                require_equal((there.st_uid, there.st_mode & 0o777), (OWNER, 0o600), "socket")
    require(names[0] != names[1], "the same name twice", names)


CASES = [directory_of_a_squatter, directory_is_a_link, directory_is_open, directory_is_a_file,
         name_is_taken, strangers_listen, places_are_links, file_is_exclusive]
