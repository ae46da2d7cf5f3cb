/* SPDX-License-Identifier: MIT
 *
 * Where in a core the directory is, or why there is none.
 */
#ifndef PA_CLIENT_CORE_FIND_H
#define PA_CLIENT_CORE_FIND_H

#include "client/core_file.h"
#include "client/core_read.h"

/*
 * Find the best directory: slots, starts of segments, the payload's ELF note,
 * 2 MiB steps, on request every page.  Of a pipe: what comes by, and the
 * bytes of its regions are kept.  0 or as pa_core_image.
 */
int pa_core_find(struct pa_core *core, const struct pa_core_question *question,
		 struct pa_directory *directory, struct pa_core_facts *facts,
		 struct pa_diag *diag);

#endif /* PA_CLIENT_CORE_FIND_H */
