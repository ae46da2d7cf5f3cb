/* SPDX-License-Identifier: MIT
 *
 * The command line: one table of all options, which verbs take them, their
 * help; parsing of sizes, times and pids.  No output but --help's text; the
 * caller prints errors.
 */
#ifndef PA_CLIENT_OPTIONS_H
#define PA_CLIENT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "client/model.h"
#include "injector/injector.h"

/* The verbs as bits, so that the table of options can name their users. */
enum pa_verb_bit {
	PA_VERB_ATTACH = 1u << 0,
	PA_VERB_REPORT = 1u << 1,
	PA_VERB_SNAPSHOT = 1u << 2,
	PA_VERB_STATUS = 1u << 3,
	PA_VERB_RATE = 1u << 4,
	PA_VERB_DETACH = 1u << 5,
	PA_VERB_LIST = 1u << 6,
	PA_VERB_CORE = 1u << 7,
	PA_VERB_GDB = 1u << 8,
	PA_VERB_CENSUS = 1u << 9,
	PA_VERB_DIFF = 1u << 10,
};
#define PA_VERBS_ALL ((1u << 11) - 1)
/* Those that take --pid. */
#define PA_VERBS_PID (PA_VERBS_ALL & \
	~(unsigned)(PA_VERB_LIST | PA_VERB_CORE | PA_VERB_DIFF))

enum pa_color { PA_COLOR_AUTO, PA_COLOR_ALWAYS, PA_COLOR_NEVER };
enum pa_census_sort {
	PA_CENSUS_BY_BYTES, PA_CENSUS_BY_OWN, PA_CENSUS_BY_OBJECTS,
	PA_CENSUS_BY_NAME,
};
enum pa_format {
	PA_FORMAT_TABLE, PA_FORMAT_JSON, PA_FORMAT_CSV,
	/* of a census only */
	PA_FORMAT_COLLAPSED, PA_FORMAT_FLAMEGRAPH,
};

#define PA_RATE_DEFAULT ((uint64_t)512 << 10)
#define PA_RATE_MAX ((uint64_t)1 << 40)
#define PA_MEMORY_DEFAULT ((uint64_t)16 << 20)
#define PA_MEMORY_MIN ((uint64_t)1 << 20)
#define PA_MEMORY_MAX ((uint64_t)1 << 30)
#define PA_FRAMES_DEFAULT 64u
#define PA_FRAMES_MAX 1024u
#define PA_TIMEOUT_DEFAULT ((uint64_t)10 * 1000000000)
#define PA_MAX_PAUSE_DEFAULT ((uint64_t)200 * 1000000)
#define PA_PATTERNS_MAX 64

/* What the command line said.  The strings are those of argv. */
struct pa_args {
	pid_t pid;			/* 0 = none given */
	const char **words;		/* the other positional arguments */
	size_t n_words;

	enum pa_format format;
	bool format_given, limit_given;
	enum pa_color color;
	bool help, version, quiet, verbose, force;
	bool assume_seccomp_ok;
	uint64_t timeout_ns;

	uint64_t rate, memory_max, seed;
	unsigned frames_max;
	bool rate_given, memory_given, frames_given;
	uint64_t for_ns;		/* 0 = not given */
	enum pa_method method;
	const char *payload;		/* NULL = the usual one */

	uint64_t address;		/* of a core's directory, 0 = search */
	enum pa_census_sort census_sort;
	bool holders;
	const char *path_to;		/* type, NULL = none */
	bool pause;			/* stop the process for a census */
	uint64_t max_pause_ns;
	bool full;			/* search every page of a core */
	const char *output;		/* NULL = stdout */
	struct pa_question question;
	const char *include[PA_PATTERNS_MAX], *exclude[PA_PATTERNS_MAX];
};

/*
 * Parse argv[1 ..] for a verb.  `pid_wanted`: the first positional argument
 * is a PID where --pid was not given.  0, PA_E_USAGE or PA_E_BAD_RATE, with
 * diag->text.  args is to be freed by pa_args_free in any case.
 */
int pa_args_parse(struct pa_args *args, enum pa_verb_bit verb,
		  bool pid_wanted, int argc, char **argv,
		  struct pa_diag *diag);
void pa_args_free(struct pa_args *args);

/* Does the command line ask for JSON?  Never fails: for errors before and in
 * pa_args_parse. */
bool pa_args_want_json(int argc, char **argv);

/* The options of a verb, one a line. */
void pa_args_help(FILE *out, enum pa_verb_bit verb);

/* Each: 0 or PA_E_USAGE with diag->text; *value is unchanged on failure. */
int pa_parse_size(const char *text, uint64_t *value, struct pa_diag *diag);
int pa_parse_time(const char *text, uint64_t *ns, struct pa_diag *diag);
int pa_parse_pid(const char *text, pid_t *pid, struct pa_diag *diag);
/* Also PA_E_BAD_RATE for a size outside 1 B .. 1 TiB. */
int pa_parse_rate(const char *text, uint64_t *rate, struct pa_diag *diag);
/* Digits only: a PID rather than a file. */
bool pa_is_number(const char *text);

#endif /* PA_CLIENT_OPTIONS_H */
