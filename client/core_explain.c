/* SPDX-License-Identifier: MIT
 *
 * Why a core has no trace table, and what to do about it; see core_find.h.  It
 * must not search: what was met on the way is in the search.
 */
#include "client/core_parts.h"

#include <inttypes.h>
#include <stdio.h>

#define ALONE_MAX (16 * (uint64_t)PA_IMAGE_PAGE)	/* of a directory */
#define HINT_FILTER "bit 0 of /proc/PID/coredump_filter must be set before " \
	"the next dump: echo 0x33 > /proc/PID/coredump_filter"
#define HINT_SIZE "get a complete core: raise `ulimit -c`, or ProcessSizeMax " \
	"and ExternalSizeMax of systemd-coredump"
#define HINT_ATTACH "only a process that was attached when it died has a " \
	"table: pyattach-sample PID"
#define HINT_OTHER "look for another core of the same process"

/* A directory stands alone between guards: what only covers a slot is no
 * trace of one, like the shadow of a sanitizer. */
static bool has_slot(const struct pa_core *core, uint64_t at)
{
	for (size_t i = 0; i < core->n_segments; i++)
		if (core->segments[i].address == at)
			return core->segments[i].size <= ALONE_MAX;
	return false;
}

static int explain_slots(const struct pa_core_search *s)
{
	struct pa_directory page;
	char text[160];

	for (unsigned k = 0; k < PA_SLOT_COUNT; k++) {
		uint64_t at = pa_core_slot(k);

		if (!has_slot(s->core, at))
			continue;
		switch (pa_core_read(s->core, at, &page, sizeof page)) {
		case PA_CORE_UNMAPPED:
			break;
		case PA_CORE_NOT_DUMPED:
			snprintf(text, sizeof text, "the trace table at 0x%"
				 PRIx64 " was not dumped into this core", at);
			return pa_core_fail_hint(s->diag, PA_E_NO_TABLE, HINT_FILTER,
					 text);
		case PA_CORE_CUT:
			snprintf(text, sizeof text, "the trace table at 0x%"
				 PRIx64 " is cut off: this core is incomplete",
				 at);
			return pa_core_fail_hint(s->diag, PA_E_TRUNCATED, HINT_SIZE,
					 text);
		case PA_CORE_THERE:
			snprintf(text, sizeof text, "the page at 0x%" PRIx64
				 ", where a trace table would be, holds none: "
				 "it is damaged", at);
			return pa_core_fail_hint(s->diag, PA_E_DAMAGED, HINT_OTHER,
					 text);
		}
	}
	return 0;
}

static bool nothing_dumped(const struct pa_core *core)
{
	for (size_t i = 0; i < core->n_segments; i++)
		if (core->segments[i].present)
			return false;
	return core->n_segments > 0;
}

int pa_core_explain(const struct pa_core_search *s)
{
	const struct pa_core *core = s->core;
	char text[200];
	int err;

	if (s->rejected) {
		snprintf(text, sizeof text, "the trace table at 0x%" PRIx64
			 " cannot be used: %s", s->rejected_address,
			 s->rejected_text);
		return pa_core_fail_hint(s->diag, s->rejected, HINT_OTHER, text);
	}
	err = explain_slots(s);
	if (err)
		return err;
	if (core->truncated)
		return pa_core_fail_hint(s->diag, PA_E_TRUNCATED, HINT_SIZE, "no "
				 "trace table in the part of this core that "
				 "is there");
	if (core->payload_named)
		return pa_core_fail_hint(s->diag, PA_E_NO_TABLE, HINT_FILTER,
				 "the payload was loaded, but its trace table "
				 "is not in this core");
	if (nothing_dumped(core))
		return pa_core_fail_hint(s->diag, PA_E_NO_TABLE, HINT_FILTER, "no "
				 "memory at all was dumped into this core");
	if (core->pid)
		snprintf(text, sizeof text, "no trace table in this core: "
			 "nothing was attached to process %d",
			 (int)core->pid);
	else
		snprintf(text, sizeof text, "no trace table in this core: "
			 "nothing was attached");
	return pa_core_fail_hint(s->diag, PA_E_NO_TABLE, HINT_ATTACH, text);
}

int pa_core_explain_given(const struct pa_core_search *s, uint64_t address)
{
	static const char *const why[] = {
		[PA_CORE_THERE] = "no directory",
		[PA_CORE_UNMAPPED] = "not mapped",
		[PA_CORE_NOT_DUMPED] = "not dumped", [PA_CORE_CUT] = "cut off",
	};
	struct pa_directory d;
	enum pa_core_why is = pa_core_read(s->core, address, &d, sizeof d);

	char text[200];

	snprintf(text, sizeof text, "no trace table at 0x%" PRIx64 ": %s",
		 address, s->rejected ? s->rejected_text : why[is]);
	return pa_core_fail_hint(s->diag, s->rejected ? s->rejected : PA_E_NO_TABLE,
			 "leave out --address to search", text);
}
