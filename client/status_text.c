/* SPDX-License-Identifier: MIT
 *
 * The body of STATUS as numbers; see status_text.h.
 */
#include "client/status_text.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/model.h"
#include "common/image.h"
#include "common/wire.h"

enum kind { NUMBER, REAL, TEXT };

struct line {
	const char *name;
	enum kind kind;
	size_t offset, size;
};

#define N(name) { #name, NUMBER, offsetof(struct pa_status, name), 8 }
#define R(name, field) { name, REAL, \
	offsetof(struct pa_status, estimated.field), 8 }
#define T(name) { #name, TEXT, offsetof(struct pa_status, name), \
	sizeof ((struct pa_status *)0)->name }

static const struct line lines[] = {
	N(protocol), T(payload_version), N(pid), N(start_time),
	N(python_version), N(state), N(hooks), N(flags), N(rate),
	N(rate_effective), N(frames_max), N(memory_max), N(memory_used),
	N(attached_realtime_ns), N(uptime_ns), N(samples_live),
	N(samples_taken), N(samples_thinned), N(samples_freed), N(dropped),
	N(sites_evicted), N(stacks_full), N(rebuilds), N(requested_bytes),
	N(requested_calls), N(uncounted_max), N(rss), N(rss_at_attach),
	N(gil_wait_ns), N(server_tid), N(clients), N(refused_clients),
	N(attach_generation), T(socket),
	R("estimated_bytes", bytes),
	R("estimated_bytes_variance", bytes_variance),
	R("estimated_bytes_weight_max", bytes_weight_max),
	R("estimated_objects", objects),
	R("estimated_objects_variance", objects_variance),
	R("estimated_objects_weight_max", objects_weight_max),
};

static const char *const hooks_words[] = {
	[PA_HOOKS_OFF] = "off", [PA_HOOKS_ON] = "on",
	[PA_HOOKS_PASS_THROUGH] = "pass-through",
	[PA_HOOKS_BYPASSED] = "bypassed",
};

const char *pa_hooks_word(uint64_t hooks)
{
	return hooks < sizeof hooks_words / sizeof hooks_words[0] ?
		hooks_words[hooks] : "off";
}

static bool parse_number(const char *value, uint64_t *number)
{
	char *end;

	if (*value < '0' || *value > '9')
		return false;
	*number = strtoull(value, &end, 0);
	return !*end;
}

/* Decimals without the locale's opinion; "%a" and "1e9" are fine too. */
static bool parse_real(const char *value, double *real)
{
	char *end;

	*real = strtod(value, &end);
	return end != value && !*end && isfinite(*real) && *real >= 0;
}

static bool parse_line(struct pa_status *status, const char *name,
		       const char *value)
{
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		char *field = (char *)status + lines[i].offset;

		if (strcmp(lines[i].name, name))
			continue;
		if (lines[i].kind == NUMBER)
			return parse_number(value, (uint64_t *)(void *)field);
		if (lines[i].kind == REAL)
			return parse_real(value, (double *)(void *)field);
		snprintf(field, lines[i].size, "%s", value);
		return true;
	}
	return true;
}

static int check(const struct pa_status *s, struct pa_diag *diag)
{
	if (s->protocol < 1 || !s->pid || !s->rate || !s->rate_effective)
		return pa_fail(diag, PA_E_PROTOCOL, "the payload's STATUS "
			       "lacks a line that it must have");
	if (s->protocol > PA_WIRE_PROTOCOL)
		return pa_fail(diag, PA_E_OTHER_VERSION, "the payload speaks "
			       "protocol %llu, this tool %d",
			       (unsigned long long)s->protocol,
			       PA_WIRE_PROTOCOL);
	return 0;
}

int pa_status_parse(const char *body, size_t length, struct pa_status *status,
		    struct pa_diag *diag)
{
	char *copy = strndup(body, length), *save = NULL;

	memset(status, 0, sizeof *status);
	if (!copy)
		return pa_fail(diag, PA_E_FAILED, "no memory");
	for (char *line = strtok_r(copy, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');

		if (space)
			*space++ = '\0';
		if (!parse_line(status, line, space ? space : "")) {
			pa_fail(diag, PA_E_PROTOCOL, "the payload's STATUS "
				"has a wrong line: %s", line);
			free(copy);
			return PA_E_PROTOCOL;
		}
	}
	free(copy);
	status->estimated.samples = status->samples_taken;
	pa_python_text((uint32_t)status->python_version, status->python,
		       sizeof status->python);
	return check(status, diag);
}
