/* SPDX-License-Identifier: MIT
 *
 * Where an answer goes: stdout, or a file that appears whole or not at all.
 *
 * A file is written under a temporary name in the same directory and renamed;
 * an existing one is replaced only where asked for.  SIGINT, SIGTERM and
 * SIGHUP remove the temporary file.  One output at a time.
 */
#ifndef PA_CLIENT_OUTPUT_H
#define PA_CLIENT_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "injector/injector.h"

struct pa_output {
	FILE *file;
	char *path;		/* final name, NULL for stdout */
	char *temporary;	/* NULL for stdout and devices */
	int error;		/* errno of a write that failed, where known */
	bool replace;
};

/* path NULL or "-" is stdout.  0, PA_E_EXISTS or PA_E_WRITE. */
int pa_output_open(struct pa_output *output, const char *path, bool replace,
		   struct pa_diag *diag);

/* Note why a write to the file failed, right after it. */
void pa_output_check(struct pa_output *output);

/* `err` < 0: throw away what was written and return err.  Else flush, rename
 * and return 0, PA_E_EXISTS or PA_E_WRITE. */
int pa_output_close(struct pa_output *output, int err, struct pa_diag *diag);

/* Did an output fail because nobody reads it any more? */
bool pa_output_broken_pipe(void);

/* Can it be seen by a person now? */
bool pa_output_is_terminal(const struct pa_output *output);

/* Columns: COLUMNS, the terminal's width, else 80 for a terminal and 120
 * for anything else.  At least 40. */
unsigned pa_output_width(const struct pa_output *output);

#endif /* PA_CLIENT_OUTPUT_H */
