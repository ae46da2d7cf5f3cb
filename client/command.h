/* SPDX-License-Identifier: MIT
 *
 * What every verb is given, and the verbs themselves: one cmd_*.c each.
 *
 * A verb writes its answer to an output, records an error in diag and
 * returns 0 or PA_E_*.  It does not exit, and prints no error: main.c does.
 */
#ifndef PA_CLIENT_COMMAND_H
#define PA_CLIENT_COMMAND_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/json_out.h"
#include "client/options.h"
#include "client/output.h"
#include "client/status_text.h"
#include "client/view.h"
#include "client/wire_client.h"
#include "injector/injector.h"

struct pa_command {
	struct pa_args args;
	uint64_t begin_ns, deadline_ns;	/* CLOCK_MONOTONIC */
	struct pa_diag diag;
	int signal;		/* that ended the verb, 0 = none */
	/* set by a signal that the verb catches; NULL: it catches none */
	const volatile sig_atomic_t *interrupted;
};

int pa_cmd_attach(struct pa_command *command);
int pa_cmd_report(struct pa_command *command);
int pa_cmd_snapshot(struct pa_command *command);
int pa_cmd_status(struct pa_command *command);
int pa_cmd_rate(struct pa_command *command);
int pa_cmd_detach(struct pa_command *command);
int pa_cmd_list(struct pa_command *command);
int pa_cmd_core(struct pa_command *command);
int pa_cmd_gdb(struct pa_command *command);
int pa_cmd_census(struct pa_command *command);
int pa_cmd_diff(struct pa_command *command);

/* ---- for verbs ---- */

/* Connect to args.pid; as pa_discover. */
int pa_command_connect(struct pa_command *command, struct pa_wire *wire,
		       struct pa_status *status);

/* Write a JSON answer to stdout and free it.  0, PA_E_WRITE, ... */
int pa_command_answer(struct pa_command *command, json_t *object);

/* Print a line of a table to stdout, unless --quiet.  Names are escaped. */
void pa_command_say(struct pa_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A step (--verbose) or a hint, to stderr; escaped. */
void pa_command_step(struct pa_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void pa_command_hint(struct pa_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Open the output that was asked for (-o), for a view of that shape. */
int pa_command_open(struct pa_command *command, struct pa_output *output,
		    struct pa_view *view);

/* Close it; `err` is what the view returned.  0 or PA_E_*. */
int pa_command_close(struct pa_command *command, struct pa_output *output,
		     int err);

/* Flush stdout.  0 or PA_E_WRITE. */
int pa_command_flush(struct pa_command *command);

/* "web.py (pid 4711, Python 3.13.0)", "process 4711 (Python 3.13.0)". */
void pa_command_name(pid_t pid, const char *python, char *text, size_t size);

/* Put the allocators back and wait until our thread is gone. */
int pa_detach_wire(struct pa_wire *wire, struct pa_status *last,
		   struct pa_diag *diag);

/* Set the rate of the process that is connected; *previous is the old one. */
int pa_rate_wire(struct pa_wire *wire, uint64_t rate, uint64_t *previous,
		 struct pa_diag *diag);

/* Report on the one process that is connected. */
int pa_report_wire(struct pa_command *command, struct pa_wire *wire);

/* Report on the sources of the command line. */
int pa_report_files(struct pa_command *command);

#endif /* PA_CLIENT_COMMAND_H */
