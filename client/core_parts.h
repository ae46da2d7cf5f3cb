/* SPDX-License-Identifier: MIT
 *
 * What core_find.c, core_stream.c and core_explain.c share; nobody else
 * includes it.
 */
#ifndef PA_CLIENT_CORE_PARTS_H
#define PA_CLIENT_CORE_PARTS_H

#include "client/core_find.h"

struct pa_core_search {
	struct pa_core *core;
	struct pa_diag *diag;
	bool found;
	struct pa_directory best;
	uint64_t best_address;
	const char *how;		/* of the best */
	int rejected;			/* PA_E_* of the first one with magic */
	uint64_t rejected_address;
	char rejected_text[96];
};

/* pa_fail with a hint; err. */
int pa_core_fail_hint(struct pa_diag *diag, int err, const char *hint,
		      const char *text);

static inline bool pa_core_is_attached(const struct pa_directory *d)
{
	return d->state == PA_STATE_ATTACHED;
}

/* Address of low slot k. */
static inline uint64_t pa_core_slot(unsigned k)
{
	return PA_SLOT_FIRST + k * PA_SLOT_STEP;
}

/* A page that may be a directory: keep it where it is the best so far. */
void pa_core_consider(struct pa_core_search *s, uint64_t address,
		      const struct pa_directory *d, const char *how);

/* Find it in what a pipe brings, and keep its regions.  0, also where there is
 * none, or PA_E_*. */
int pa_core_take_stream(struct pa_core_search *s);

/* Why nothing was found: PA_E_*, with what to do. */
int pa_core_explain(const struct pa_core_search *s);
int pa_core_explain_given(const struct pa_core_search *s, uint64_t address);

#endif /* PA_CLIENT_CORE_PARTS_H */
