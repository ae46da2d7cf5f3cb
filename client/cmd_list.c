/* SPDX-License-Identifier: MIT
 *
 * `list`: every attached process that the caller may see.  Those that may
 * not be asked, or do not answer in a second, are left out.
 */
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "client/command.h"
#include "client/discover.h"
#include "client/human.h"

#define PATIENCE_NS ((uint64_t)1000000000)

struct list {
	struct pa_command *command;
	json_t *processes;
	unsigned n;
};

static void user_name(uid_t uid, char *text, size_t size)
{
	struct passwd entry, *found = NULL;
	char buffer[4096];

	if (!getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) && found)
		snprintf(text, size, "%s", found->pw_name);
	else
		snprintf(text, size, "%u", (unsigned)uid);
}

static void add_json(struct list *list, const struct pa_wire *wire,
		     const struct pa_status *s, const char *user,
		     const char *command)
{
	json_array_append_new(list->processes, json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"pid", pa_json_count((uint64_t)wire->process.pid),
		"user", pa_json_text(user), "python", pa_json_text(s->python),
		"rate", pa_json_count(s->rate),
		"uptime_ns", pa_json_count(s->uptime_ns),
		"command", pa_json_text(command),
		"socket", pa_json_text(wire->socket)));
}

static void add_line(struct list *list, const struct pa_wire *wire,
		     const struct pa_status *s, const char *user,
		     const char *command)
{
	struct pa_output output = { .file = stdout };
	unsigned width = pa_output_width(&output);

	if (!list->n)
		pa_command_say(list->command, "%8s  %-10s %-10s %9s %12s  %s",
			       "PID", "user", "python", "rate", "attached",
			       "command");
	pa_command_say(list->command, "%8d  %-10.10s %-10.10s %9s %12s  %.*s",
		       (int)wire->process.pid, user, s->python,
		       pa_human_bytes((double)s->rate).s,
		       pa_human_time(s->uptime_ns).s,
		       width > 70 ? (int)width - 58 : 12, command);
}

static void found(void *context, pid_t pid)
{
	struct list *list = context;
	uint64_t deadline = pa_now_ns() + PATIENCE_NS;
	char user[64], command[4096];
	struct pa_status status;
	struct pa_wire wire;

	if (deadline > list->command->deadline_ns)
		deadline = list->command->deadline_ns;
	if (pa_discover(pid, deadline, NULL, &wire, &status, NULL))
		return;
	user_name(wire.process.uid, user, sizeof user);
	pa_process_command(pid, command, sizeof command);
	if (list->processes)
		add_json(list, &wire, &status, user, command);
	else
		add_line(list, &wire, &status, user, command);
	list->n++;
	pa_wire_close(&wire);
}

int pa_cmd_list(struct pa_command *command)
{
	struct list list = { .command = command };
	json_t *object;

	command->args.quiet = false;
	if (command->args.format == PA_FORMAT_JSON)
		list.processes = json_array();
	pa_discover_all(found, &list);
	if (list.processes) {
		object = pa_json_object("list");
		json_object_set_new(object, "processes", list.processes);
		return pa_command_answer(command, object);
	}
	if (!list.n)
		pa_command_hint(command, "no attached process that you may "
				"see");
	return pa_command_flush(command);
}
