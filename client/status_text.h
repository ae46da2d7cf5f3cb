/* SPDX-License-Identifier: MIT
 *
 * The body of STATUS as numbers.  Lines that are not known are skipped, lines
 * that are missing stay zero: older and newer payloads can be read.
 */
#ifndef PA_CLIENT_STATUS_TEXT_H
#define PA_CLIENT_STATUS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "client/estimate.h"
#include "injector/injector.h"

struct pa_status {
	uint64_t protocol, pid, start_time, python_version, state, hooks,
		flags, rate, rate_effective, frames_max, memory_max,
		memory_used, attached_realtime_ns, uptime_ns, samples_live,
		samples_taken, samples_thinned, samples_freed, dropped,
		sites_evicted, stacks_full, rebuilds, requested_bytes,
		requested_calls, uncounted_max, rss, rss_at_attach,
		gil_wait_ns, server_tid, clients, refused_clients,
		attach_generation;
	struct pa_sum estimated;
	char payload_version[32];	/* hostile */
	char socket[112];		/* hostile */
	char python[32];
};

/* 0, or PA_E_PROTOCOL with diag->text. */
int pa_status_parse(const char *body, size_t length, struct pa_status *status,
		    struct pa_diag *diag);

/* "on", "pass-through", "bypassed", "off". */
const char *pa_hooks_word(uint64_t hooks);

#endif /* PA_CLIENT_STATUS_TEXT_H */
