/* SPDX-License-Identifier: MIT
 *
 * `attach`: preflight, load, wait for the payload's answer; or, where one is
 * attached already, change what can be changed.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/command.h"
#include "client/discover.h"
#include "client/human.h"

#define ANSWER_NS ((uint64_t)1000000000)	/* after an attach, at least */

/* What the answer is made of. */
struct attached {
	struct pa_status status;
	struct pa_target target;
	struct pa_attach_result result;
	bool already;
	uint64_t previous_rate;	/* 0 = unchanged */
};

/* ---- which payload ---- */

/* In a build tree the payload beside the program, else the installed one. */
static const char *find_payload(const struct pa_args *args, char *room,
				size_t size)
{
	char program[3072], *slash;
	ssize_t n;

	if (args->payload)
		return args->payload;
	n = readlink("/proc/self/exe", program, sizeof program - 1);
	if (n > 0) {
		program[n] = '\0';
		slash = strrchr(program, '/');
		if (slash)
			*slash = '\0';
		snprintf(room, size, "%s/../payload/pyattach-payload.so",
			 program);
		if (!access(room, R_OK))
			return room;
	}
	return PA_PAYLOAD_FILE;
}

/* ---- signals ---- */

static volatile sig_atomic_t interrupted;	/* the signal, or 0 */

static void note_signal(int number)
{
	interrupted = number;
}

static void fill_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

/* They end the attach, and it is undone; see undo().  Without SA_RESTART,
 * so that waits see them.  What the caller ignores stays ignored. */
static void catch_signals(void)
{
	struct sigaction act = { .sa_handler = note_signal }, old;
	sigset_t set;

	fill_signals(&set);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&set, i) == 1 && !sigaction(i, NULL, &old) &&
		    old.sa_handler == SIG_DFL)
			sigaction(i, &act, NULL);
}

static int not_touched(struct pa_command *command)
{
	int pid = (int)command->args.pid;

	pa_fail(&command->diag, PA_E_FAILED,
		"interrupted before process %d was touched", pid);
	snprintf(command->diag.hint, sizeof command->diag.hint,
		 "nothing was left behind");
	return PA_E_FAILED;
}

/* ---- already attached ---- */

static int refuse_fixed(struct pa_command *command, const char *option,
			const char *has)
{
	return pa_fail(&command->diag, PA_E_FIXED_OPTION, "%s cannot change "
		       "while process %d is attached (it has %s)", option,
		       (int)command->args.pid, has);
}

static int attach_again(struct pa_command *command, struct pa_wire *wire,
			struct attached *a)
{
	const struct pa_args *args = &command->args;
	char text[32];
	int err;

	a->already = true;
	if (args->frames_given && args->frames_max != a->status.frames_max) {
		snprintf(text, sizeof text, "%llu",
			 (unsigned long long)a->status.frames_max);
		return refuse_fixed(command, "--frames", text);
	}
	if (args->memory_given && args->memory_max != a->status.memory_max)
		return refuse_fixed(command, "--max-memory", pa_human_bytes(
				    (double)a->status.memory_max).s);
	if (!args->rate_given || args->rate == a->status.rate)
		return 0;
	err = pa_rate_wire(wire, args->rate, &a->previous_rate,
			   &command->diag);
	a->status.rate = args->rate;
	return err;
}

/* ---- not attached yet ---- */

static void tell_step(void *context, const char *line)
{
	pa_command_step(context, "%s", line);
}

static uint64_t time_left(const struct pa_command *command)
{
	uint64_t now = pa_now_ns();

	return now < command->deadline_ns ? command->deadline_ns - now : 1;
}

/* Is it certain that no payload is in there any more? */
static bool payload_is_gone(pid_t pid)
{
	struct pa_directory directory;
	uint64_t at = 0;
	int err = pa_target_find_directory(pid, &at, &directory, NULL);

	return err ? err == PA_E_EXITED || err == PA_E_NO_PROCESS : !at;
}

/* Success is what the payload says, not what we think.  Its hooks are in, so
 * that it is given some time though there may be none left. */
static int ask_first(struct pa_command *command, struct pa_wire *wire,
		     struct attached *a)
{
	const uint64_t end = pa_now_ns() + ANSWER_NS;
	int pid = (int)command->args.pid, err;

	if (command->deadline_ns < end)
		command->deadline_ns = end;
	err = pa_command_connect(command, wire, &a->status);
	if (err && payload_is_gone(pid))
		return pa_fail(&command->diag, PA_E_EXITED, "process %d ended, "
			       "or began another program, just when it was "
			       "attached", pid);
	if (err != PA_E_TIMEOUT)
		return err;
	pa_fail(&command->diag, err, "process %d is attached, but its payload "
		"did not answer in time", pid);
	snprintf(command->diag.hint, sizeof command->diag.hint,
		 "see: pyattach-sample status %d", pid);
	return err;
}

static int attach_first(struct pa_command *command, struct pa_wire *wire,
			struct attached *a)
{
	const struct pa_args *args = &command->args;
	char room[4096];
	const struct pa_attach_options options = {
		.payload = find_payload(args, room, sizeof room),
		.rate = args->rate, .memory_max = args->memory_max,
		.frames_max = args->frames_max,
		.timeout_ns = time_left(command), .seed = args->seed,
		.assume_seccomp_ok = args->assume_seccomp_ok,
		.method = args->method,
		.step = tell_step, .context = command,
	};
	int err;

	if (interrupted)
		return PA_E_FAILED;	/* undo() says of what */
	pa_command_step(command, "loading %s", options.payload);
	err = pa_attach(&a->target, &options, &a->result, &command->diag);
	return err ? err : ask_first(command, wire, a);
}

/* Connect where something is attached, attach where nothing is. */
static int attach_or_connect(struct pa_command *command, struct pa_wire *wire,
			     struct attached *a)
{
	const struct pa_args *args = &command->args;
	struct pa_diag why = { "", "" };
	int err, answers;

	answers = pa_discover(args->pid, command->deadline_ns,
			      command->interrupted, wire, &a->status, &why);
	if (answers && interrupted)
		return PA_E_FAILED;	/* undo() says of what */
	err = pa_target_inspect(args->pid, answers && !args->force ?
				args->memory_max : 0, &a->target,
				&command->diag);
	if (!answers) {
		/* What answers need not be inspected to be used. */
		if (err)
			command->diag = (struct pa_diag){ "", "" };
		return attach_again(command, wire, a);
	}
	if (err)
		return err;
	if (a->target.directory &&
	    a->target.loaded.state == PA_STATE_ATTACHED) {
		/* Out of reach, or attached by somebody in between. */
		command->diag = (struct pa_diag){ "", "" };
		answers = pa_command_connect(command, wire, &a->status);
		return answers ? answers : attach_again(command, wire, a);
	}
	return attach_first(command, wire, a);
}

/* ---- the answer ---- */

static const char *build_word(const struct attached *a)
{
	return a->target.shared_libpython ||
		(a->status.flags & PA_FLAG_SHARED_LIBPYTHON) ?
		"shared" : "static";
}

static int answer_json(struct pa_command *command, const struct pa_wire *wire,
		       const struct attached *a)
{
	const struct { const char *key; json_t *value; } parts[] = {
		{ "pid", pa_json_count((uint64_t)command->args.pid) },
		{ "python", pa_json_text(a->status.python) },
		{ "build", json_string(build_word(a)) },
		{ "free_threaded", json_boolean(a->target.free_threaded ||
			(a->status.flags & PA_FLAG_FREE_THREADED)) },
		{ "rate", pa_json_count(a->status.rate) },
		{ "socket", pa_json_text(wire->socket) },
		{ "already_attached", json_boolean(a->already) },
		{ "method", json_string(a->result.method ?
					 a->result.method : "ptrace") },
		{ "stopped_ns", pa_json_count(a->result.stopped_ns) },
		{ "total_ns", pa_json_count(pa_now_ns() -
					    command->begin_ns) },
		{ "stops", pa_json_count(a->result.stops) },
		{ "payload_version", pa_json_text(
			a->status.payload_version) },
	};
	json_t *object = pa_json_object("attach");

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		json_object_set_new(object, parts[i].key, parts[i].value);
	return pa_command_answer(command, object);
}

static int answer_table(struct pa_command *command,
			const struct pa_wire *wire, const struct attached *a)
{
	char name[320], how[160];
	pid_t pid = command->args.pid;

	pa_command_name(pid, a->status.python, name, sizeof name);
	if (a->already && a->previous_rate)
		snprintf(how, sizeof how, "was attached already, at one per "
			 "%s", pa_human_bytes((double)a->previous_rate).s);
	else if (a->already)
		snprintf(how, sizeof how, "was attached already");
	else
		snprintf(how, sizeof how, "stopped for %s, %s in all",
			 pa_human_short_time(a->result.stopped_ns).s,
			 pa_human_short_time(pa_now_ns() -
					     command->begin_ns).s);
	pa_command_say(command, "Attached to %s", name);
	pa_command_say(command, "One sample per %s; %s",
		       pa_human_bytes((double)a->status.rate).s, how);
	pa_command_say(command, "Socket %s", wire->socket);
	if (command->args.for_ns)
		pa_command_say(command, "The report follows in %s",
			       pa_human_time(command->args.for_ns).s);
	else
		pa_command_say(command, "Next: pyattach-sample report %d",
			       (int)pid);
	return pa_command_flush(command);
}

/* ---- interrupted ---- */

/* The directory that counts in there; its state is 0 if there is none. */
static int look_inside(const struct attached *a, struct pa_directory *d)
{
	uint64_t at = 0;
	int err = pa_target_find_directory(a->target.pid, &at, d, NULL);

	/* one of another pid came along with a raw clone */
	if (err || !at || d->pid != (uint32_t)a->target.inner_pid)
		memset(d, 0, sizeof *d);
	return err;
}

static bool is_in_use(const struct pa_directory *d)
{
	return d->state == PA_STATE_STARTING || d->state == PA_STATE_ATTACHED;
}

/* Is a payload about to start in there, or may it be once it goes on? */
static bool is_starting(const struct attached *a, bool *stopped)
{
	struct pa_directory directory;
	struct pa_process process;

	*stopped = !pa_process_look(a->target.pid, &process) &&
		(process.state == 'T' || process.state == 't');
	look_inside(a, &directory);
	return pa_process_has_thread(a->target.pid, 0) ||
		is_in_use(&directory);
}

/* What is attached may be somebody else's, who came first. */
static bool is_others(const struct attached *a)
{
	struct pa_directory directory;

	return !look_inside(a, &directory) && directory.state &&
		directory.start_ticket != a->result.ticket;
}

/* Is what we began in there still, or is it not to be known? */
static bool may_be_left(const struct attached *a)
{
	struct pa_directory directory;
	int err = look_inside(a, &directory);

	if (err)
		return err != PA_E_EXITED && err != PA_E_NO_PROCESS;
	return is_in_use(&directory) &&
		directory.start_ticket == a->result.ticket;
}

/*
 * Interrupted: the process may have been committed to finish the attach
 * without us.  Wait until it did, or gave up, and detach: nothing of ours is
 * to begin after we ended.  Bounded by --timeout, but at least ANSWER_NS;
 * where nothing shows that it ever began, by SIGN_NS.
 */
#define SIGN_NS ((uint64_t)300000000)

static void find_begun(struct pa_command *command, struct pa_wire *wire,
		       const struct attached *a)
{
	const struct timespec pause = { 0, 5000000 };
	uint64_t now = pa_now_ns(), end = now + ANSWER_NS, patience = now +
		SIGN_NS;
	struct pa_status status;
	bool began = false, stopped;

	if (end < command->deadline_ns)
		end = command->deadline_ns;
	while (wire->fd < 0 && pa_now_ns() < end) {
		bool starting = is_starting(a, &stopped);

		began |= starting;
		if (!starting && !stopped &&
		    (began || pa_now_ns() > patience))
			break;
		if (starting)
			pa_discover(a->target.pid, end, NULL, wire, &status,
				    NULL);
		nanosleep(&pause, NULL);
	}
}

static int undo(struct pa_command *command, struct pa_wire *wire,
		const struct attached *a)
{
	int pid = (int)command->args.pid;
	struct pa_status last;

	if (!a->result.ticket)
		return not_touched(command);
	find_begun(command, wire, a);
	if (wire->fd >= 0 && is_others(a))
		return pa_fail(&command->diag, PA_E_FAILED, "interrupted: "
			       "process %d was attached by somebody else", pid);
	if (wire->fd >= 0) {
		wire->interrupted = NULL;
		wire->deadline_ns = pa_now_ns() + SIGN_NS * 10;
		pa_detach_wire(wire, &last, NULL);
	}
	if (may_be_left(a)) {
		pa_fail(&command->diag, PA_E_FAILED, "interrupted: process %d "
			"is attached, or about to be, and did not answer",
			pid);
		snprintf(command->diag.hint, sizeof command->diag.hint,
			 "detach it: pyattach-sample detach %d", pid);
		return PA_E_FAILED;
	}
	pa_fail(&command->diag, PA_E_FAILED, "interrupted: process %d is not "
		"attached", pid);
	snprintf(command->diag.hint, sizeof command->diag.hint,
		 "nothing was left behind");
	return PA_E_FAILED;
}

/* ---- --for ---- */

/* Until the time is over, a signal came, or the process ended. */
static int wait_for(struct pa_command *command)
{
	struct pollfd fd = {
		.fd = (int)syscall(SYS_pidfd_open, command->args.pid, 0),
		.events = POLLIN,
	};
	uint64_t end = pa_now_ns() + command->args.for_ns, now;
	sigset_t set, old;
	int n = 0;

	fill_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	while (!n && !interrupted && (now = pa_now_ns()) < end) {
		uint64_t left = end - now;
		struct timespec time = {
			(time_t)(left / 1000000000),
			(long)(left % 1000000000),
		};

		n = ppoll(&fd, 1, &time, &old);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (fd.fd >= 0)
		close(fd.fd);
	if (n > 0)
		return pa_fail(&command->diag, PA_E_EXITED, "process %d ended "
			       "while it was sampled",
			       (int)command->args.pid);
	interrupted = 0;
	return 0;
}

static int sample_for(struct pa_command *command, struct pa_wire *wire)
{
	struct pa_status last;
	int err, report;

	/* An idle connection would be let go by the payload. */
	pa_wire_close(wire);
	err = wait_for(command);
	command->deadline_ns = pa_now_ns() + command->args.timeout_ns;
	if (!err)
		err = pa_command_connect(command, wire, &last);
	if (err)
		return err;
	report = pa_report_wire(command, wire);
	err = pa_detach_wire(wire, &last, report ? NULL : &command->diag);
	return report ? report : err;
}

/* ---- the verb ---- */

int pa_cmd_attach(struct pa_command *command)
{
	struct pa_wire wire = { .fd = -1 };
	struct attached a;
	int err;

	memset(&a, 0, sizeof a);
	catch_signals();
	command->interrupted = &interrupted;
	err = attach_or_connect(command, &wire, &a);
	if (interrupted && (err || !a.already)) {
		if (!a.already)
			err = undo(command, &wire, &a);
		command->signal = interrupted;
	}
	/* from here on a signal ends the wait of --for, and no more */
	command->interrupted = NULL;
	if (!err && command->args.format == PA_FORMAT_JSON)
		err = answer_json(command, &wire, &a);
	else if (!err)
		err = answer_table(command, &wire, &a);
	if (!err && command->args.for_ns)
		err = sample_for(command, &wire);
	pa_wire_close(&wire);
	return err;
}
