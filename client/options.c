/* SPDX-License-Identifier: MIT
 *
 * The table of options and the parser of the command line; see options.h.
 * What it refuses it names.  It must not print, except for --help.
 */
#include "client/options.h"

#include <stdlib.h>
#include <string.h>

enum option_id {
	OPT_HELP, OPT_VERSION, OPT_QUIET, OPT_VERBOSE, OPT_COLOR, OPT_FORMAT,
	OPT_JSON, OPT_TIMEOUT, OPT_PID, OPT_RATE, OPT_FRAMES, OPT_MEMORY,
	OPT_FOR, OPT_METHOD, OPT_PAYLOAD, OPT_SEED, OPT_FORCE, OPT_OUTPUT,
	OPT_GROUP_BY, OPT_OF, OPT_SORT, OPT_LIMIT, OPT_MIN_AGE, OPT_MAX_AGE,
	OPT_MIN_SIZE, OPT_INCLUDE, OPT_EXCLUDE, OPT_VIEW, OPT_ADDRESS,
	OPT_FULL, OPT_ASSUME_SECCOMP_OK, OPT_PAUSE, OPT_MAX_PAUSE,
	OPT_HOLDERS, OPT_PATH_TO,
	OPT_LATER,		/* known, but not in this version */
};

struct option {
	enum option_id id;
	char letter;		/* 0 = none */
	const char *name;
	const char *value;	/* NULL = takes none */
	unsigned verbs;
	const char *help;	/* NULL = not listed */
};

#define ATTACH PA_VERB_ATTACH
#define REPORT (PA_VERB_REPORT | PA_VERB_CORE)
#define CENSUS PA_VERB_CENSUS
/* those that show rows of a census */
#define CENSUSES (CENSUS | PA_VERB_DIFF)
#define FILES (PA_VERB_REPORT | PA_VERB_SNAPSHOT | PA_VERB_CORE | CENSUSES)
#define TREES (ATTACH | PA_VERB_DETACH | PA_VERB_REPORT | PA_VERB_SNAPSHOT)

static const struct option options[] = {
	{ OPT_PID, 'p', "pid", "PID", PA_VERBS_PID,
	  "the process; the same as the argument PID" },
	{ OPT_RATE, 0, "rate", "SIZE", ATTACH,
	  "mean bytes between samples, 1 takes all (512KiB)" },
	{ OPT_FRAMES, 0, "frames", "N", ATTACH,
	  "frames kept of a stack at most (64)" },
	{ OPT_MEMORY, 0, "max-memory", "SIZE", ATTACH,
	  "memory of ours in the process at most (16MiB)" },
	{ OPT_FOR, 0, "for", "TIME", ATTACH,
	  "sample so long, print the report, detach" },
	{ OPT_METHOD, 0, "method", "NAME", ATTACH,
	  "how to get in: auto, ptrace, remote-exec (auto)" },
	{ OPT_PAYLOAD, 0, "payload", "FILE", ATTACH,
	  "the payload to load instead of the installed one" },
	{ OPT_SEED, 0, "seed", "N", ATTACH,
	  "seed of the sampler, for tests (random)" },
	{ OPT_GROUP_BY, 0, "group-by", "WHAT", REPORT,
	  "line, function, file, traceback, thread, domain" },
	{ OPT_OF, 0, "of", "WHAT", REPORT,
	  "live: held now; allocated: all since attach" },
	{ OPT_SORT, 0, "sort", "WHAT", REPORT,
	  "bytes, objects, samples, age (bytes)" },
	{ OPT_SORT, 0, "sort", "WHAT", CENSUSES,
	  "bytes, own, objects, name (bytes)" },
	{ OPT_LIMIT, 0, "limit", "N", REPORT | CENSUSES,
	  "rows at most, 0 shows all (20)" },
	{ OPT_MIN_AGE, 0, "min-age", "TIME", REPORT,
	  "only what has lived so long" },
	{ OPT_MAX_AGE, 0, "max-age", "TIME", REPORT,
	  "only what is not older" },
	{ OPT_MIN_SIZE, 0, "min-size", "SIZE", REPORT,
	  "hide rows that are smaller" },
	{ OPT_INCLUDE, 0, "include", "GLOB", REPORT,
	  "only files or functions like this; may be repeated" },
	{ OPT_EXCLUDE, 0, "exclude", "GLOB", REPORT,
	  "no files or functions like this; may be repeated" },
	{ OPT_INCLUDE, 0, "include", "GLOB", CENSUSES,
	  "only types like this: 'app.*'; may be repeated" },
	{ OPT_EXCLUDE, 0, "exclude", "GLOB", CENSUSES,
	  "no types like this; may be repeated" },
	{ OPT_HOLDERS, 0, "holders", NULL, CENSUS,
	  "show who holds it, as a tree" },
	{ OPT_PATH_TO, 0, "path-to", "TYPE", CENSUS,
	  "show the paths to objects of a type" },
	{ OPT_PAUSE, 0, "pause", NULL, CENSUS,
	  "stop the process while it is copied" },
	{ OPT_MAX_PAUSE, 0, "max-pause", "TIME", CENSUS,
	  "with --pause, but no longer than this (200ms)" },
	{ OPT_VIEW, 0, "view", "NAME", REPORT, "table (table)" },
	{ OPT_ADDRESS, 0, "address", "ADDRESS", REPORT,
	  "where a core's table is (searched for)" },
	{ OPT_FULL, 0, "full", NULL, REPORT,
	  "search every page of a core if need be" },
	{ OPT_OUTPUT, 'o', "output", "FILE", FILES,
	  "write there (of a core: its image); - is stdout" },
	{ OPT_FORCE, 0, "force", NULL, FILES | ATTACH,
	  "overwrite a file; attach where room is short" },
	{ OPT_ASSUME_SECCOMP_OK, 0, "assume-seccomp-ok", NULL, ATTACH,
	  "do not judge the process's seccomp filters" },
	{ OPT_FORMAT, 0, "format", "NAME", CENSUS,
	  "table, json, csv; collapsed, flamegraph (table)" },
	{ OPT_FORMAT, 0, "format", "NAME", REPORT,
	  "table, json, csv (table)" },
	{ OPT_FORMAT, 0, "format", "NAME", PA_VERBS_ALL & ~(CENSUS | REPORT),
	  "table, json (table)" },
	{ OPT_JSON, 0, "json", NULL, PA_VERBS_ALL,
	  "short for --format json" },
	{ OPT_TIMEOUT, 0, "timeout", "TIME", PA_VERBS_ALL,
	  "give up after so long (10s)" },
	{ OPT_COLOR, 0, "color", "WHEN", PA_VERBS_ALL,
	  "auto, always, never (auto)" },
	{ OPT_QUIET, 'q', "quiet", NULL, PA_VERBS_ALL,
	  "print errors only" },
	{ OPT_VERBOSE, 'v', "verbose", NULL, PA_VERBS_ALL,
	  "tell each step" },
	{ OPT_HELP, 'h', "help", NULL, PA_VERBS_ALL, "print this help" },
	{ OPT_VERSION, 'V', "version", NULL, PA_VERBS_ALL,
	  "print the version" },
	{ OPT_LATER, 0, "follow-fork", NULL, ATTACH, NULL },
	{ OPT_LATER, 0, "subprocesses", NULL, TREES, NULL },
};
#define N_OPTIONS (sizeof options / sizeof options[0])

/* The position in a list of words ended by NULL, or -1. */
static int find_word(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

/* Words that cli.md has and a later version will know. */
static const char *const later_words[] = {
	"remote-exec", "type", "process", "peak", "tree", "summary", "leaks",
	"pprof", "speedscope", "collapsed", "dhat", "tracemalloc",
	"flamegraph", NULL,
};

static int parse_choice(const char *option, const char *value,
			const char *const *words, int *choice,
			struct pa_diag *diag)
{
	char list[128] = "";

	*choice = find_word(words, value);
	if (*choice >= 0)
		return 0;
	for (int i = 0; words[i]; i++) {
		size_t n = strlen(list);

		snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "",
			 words[i]);
	}
	if (find_word(later_words, value) >= 0)
		pa_fail(diag, PA_E_USAGE, "--%s %s is not in this version",
			option, value);
	else
		pa_fail(diag, PA_E_USAGE, "--%s does not know '%s'", option,
			value);
	if (diag)
		snprintf(diag->hint, sizeof diag->hint, "choose one of: %s",
			 list);
	return PA_E_USAGE;
}

static int parse_count(const char *option, const char *value, uint64_t low,
		       uint64_t high, uint64_t *count, struct pa_diag *diag)
{
	unsigned long long n = pa_is_number(value) && strlen(value) < 20 ?
		strtoull(value, NULL, 10) : UINT64_MAX;

	if (n < low || n > high)
		return pa_fail(diag, PA_E_USAGE, "--%s takes a number from "
			       "%llu to %llu, not '%s'", option,
			       (unsigned long long)low,
			       (unsigned long long)high, value);
	*count = n;
	return 0;
}

static int parse_memory(struct pa_args *args, const char *value,
			struct pa_diag *diag)
{
	uint64_t n = 0;
	int err = pa_parse_size(value, &n, diag);

	if (!err && (n < PA_MEMORY_MIN || n > PA_MEMORY_MAX))
		return pa_fail(diag, PA_E_USAGE, "--max-memory takes a size "
			       "from 1MiB to 1GiB, not '%s'", value);
	args->memory_max = n;
	args->memory_given = true;
	return err;
}

static int add_pattern(const char *const **list, const char **room, size_t *n,
		       const char *value, struct pa_diag *diag)
{
	if (*n == PA_PATTERNS_MAX)
		return pa_fail(diag, PA_E_USAGE, "too many patterns");
	room[(*n)++] = value;
	*list = room;
	return 0;
}

static int parse_address(struct pa_args *args, const char *value,
			 struct pa_diag *diag)
{
	char *end;
	unsigned long long n = strtoull(value, &end, 0);

	if (value[0] < '0' || value[0] > '9' || *end || !n ||
	    n == UINT64_MAX)
		return pa_fail(diag, PA_E_USAGE, "--address takes an address "
			       "such as 0x2000000000, not '%s'", value);
	args->address = n;
	return 0;
}

static int set_pid(struct pa_args *args, const char *value,
		   struct pa_diag *diag)
{
	if (args->pid)
		return pa_fail(diag, PA_E_USAGE, "more than one PID: '%s'",
			       value);
	return pa_parse_pid(value, &args->pid, diag);
}

static void set_format(struct pa_args *args, enum pa_format format)
{
	args->format = format;
	args->format_given = true;
}

/* Options that choose one of a few words. */
static int apply_choice(struct pa_args *args, const struct option *o,
			const char *value, unsigned verb,
			struct pa_diag *diag)
{
	static const char *const formats[] = { "table", "json", NULL };
	static const char *const report_formats[] = {
		"table", "json", "csv", NULL,
	};
	static const char *const census_formats[] = {
		"table", "json", "csv", "collapsed", "flamegraph", NULL,
	};
	static const char *const colors[] = { "auto", "always", "never", NULL };
	static const char *const methods[] = {
		"auto", "ptrace", "remote-exec", NULL,
	};
	static const char *const views[] = { "table", NULL };
	static const char *const census_sorts[] = {
		"bytes", "own", "objects", "name", NULL,
	};
	const char *const *words =
		o->id == OPT_COLOR ? colors :
		o->id == OPT_METHOD ? methods :
		o->id == OPT_VIEW ? views :
		o->id == OPT_GROUP_BY ? pa_group_by_words :
		o->id == OPT_OF ? pa_of_words :
		o->id == OPT_SORT && verb & CENSUSES ? census_sorts :
		o->id == OPT_SORT ? pa_sort_words :
		verb & CENSUS ? census_formats :
		verb & REPORT ? report_formats : formats;
	int choice, err = parse_choice(o->name, value, words, &choice, diag);

	if (err)
		return err;
	if (o->id == OPT_COLOR)
		args->color = (enum pa_color)choice;
	else if (o->id == OPT_FORMAT)
		set_format(args, (enum pa_format)choice);
	else if (o->id == OPT_METHOD)
		args->method = (enum pa_method)choice;
	else if (o->id == OPT_GROUP_BY)
		args->question.group_by = (enum pa_group_by)choice;
	else if (o->id == OPT_OF)
		args->question.of = (enum pa_of)choice;
	else if (o->id == OPT_SORT && verb & CENSUSES)
		args->census_sort = (enum pa_census_sort)choice;
	else if (o->id == OPT_SORT)
		args->question.sort = (enum pa_sort)choice;
	return 0;
}

/* Options that carry a number or a name. */
static int apply_value(struct pa_args *args, const struct option *o,
		       const char *value, struct pa_diag *diag)
{
	struct pa_question *q = &args->question;
	uint64_t n = 0;
	int err;

	switch (o->id) {
	case OPT_PID:
		return set_pid(args, value, diag);
	case OPT_RATE:
		args->rate_given = true;
		return pa_parse_rate(value, &args->rate, diag);
	case OPT_FRAMES:
		args->frames_given = true;
		err = parse_count(o->name, value, 1, PA_FRAMES_MAX, &n, diag);
		args->frames_max = (unsigned)n;
		return err;
	case OPT_MEMORY:
		return parse_memory(args, value, diag);
	case OPT_FOR:
		err = pa_parse_time(value, &args->for_ns, diag);
		if (!err && !args->for_ns)
			err = pa_fail(diag, PA_E_USAGE,
				      "--for needs a time above zero");
		return err;
	case OPT_TIMEOUT:
		err = pa_parse_time(value, &args->timeout_ns, diag);
		if (!err && !args->timeout_ns)
			err = pa_fail(diag, PA_E_USAGE,
				      "--timeout needs a time above zero");
		return err;
	case OPT_PATH_TO:
		if (!value || !*value)
			return pa_fail(diag, PA_E_USAGE, "--path-to needs a "
				       "type such as app.models.Order");
		args->path_to = value;
		return 0;
	case OPT_MAX_PAUSE:
		err = pa_parse_time(value, &args->max_pause_ns, diag);
		if (!err && !args->max_pause_ns)
			err = pa_fail(diag, PA_E_USAGE, "--max-pause needs a "
				      "time above zero");
		return err;
	case OPT_SEED:
		return parse_count(o->name, value, 0, INT64_MAX, &args->seed,
				   diag);
	case OPT_PAYLOAD:
		args->payload = value;
		return 0;
	case OPT_OUTPUT:
		args->output = value;
		return 0;
	case OPT_ADDRESS:
		return parse_address(args, value, diag);
	case OPT_LIMIT:
		args->limit_given = true;
		return parse_count(o->name, value, 0, UINT32_MAX, &q->limit,
				   diag);
	case OPT_MIN_AGE:
		return pa_parse_time(value, &q->min_age_ns, diag);
	case OPT_MAX_AGE:
		return pa_parse_time(value, &q->max_age_ns, diag);
	case OPT_MIN_SIZE:
		return pa_parse_size(value, &q->min_size, diag);
	case OPT_INCLUDE:
		return add_pattern(&q->include, args->include, &q->n_include,
				   value, diag);
	case OPT_EXCLUDE:
		return add_pattern(&q->exclude, args->exclude, &q->n_exclude,
				   value, diag);
	default:
		return PA_E_USAGE;
	}
}

static int apply(struct pa_args *args, const struct option *o,
		 const char *value, unsigned verb, struct pa_diag *diag)
{
	switch (o->id) {
	case OPT_HELP:
		args->help = true;
		return 0;
	case OPT_VERSION:
		args->version = true;
		return 0;
	case OPT_QUIET:
		args->quiet = true;
		return 0;
	case OPT_VERBOSE:
		args->verbose = true;
		return 0;
	case OPT_FORCE:
		args->force = true;
		return 0;
	case OPT_ASSUME_SECCOMP_OK:
		args->assume_seccomp_ok = true;
		return 0;
	case OPT_HOLDERS:
		args->holders = true;
		return 0;
	case OPT_PAUSE:
		args->pause = true;
		return 0;
	case OPT_FULL:
		args->full = true;
		return 0;
	case OPT_JSON:
		set_format(args, PA_FORMAT_JSON);
		return 0;
	case OPT_LATER:
		return pa_fail(diag, PA_E_USAGE, "--%s is not in this version",
			       o->name);
	case OPT_COLOR: case OPT_FORMAT: case OPT_METHOD: case OPT_VIEW:
	case OPT_GROUP_BY: case OPT_OF: case OPT_SORT:
		return apply_choice(args, o, value, verb, diag);
	default:
		return apply_value(args, o, value, diag);
	}
}

/* By name (its first `length` bytes) or, with name NULL, by letter. */
static const struct option *find_option(const char *name, size_t length,
					char letter, unsigned verb)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];

		if (!(o->verbs & verb))
			continue;
		if (name ? strlen(o->name) == length &&
		    !strncmp(o->name, name, length) : o->letter == letter)
			return o;
	}
	return NULL;
}

/* Walks argv; `next` is the index of the argument after the current one. */
struct cursor {
	int argc, next;
	char **argv;
	unsigned verb;
};

static int parse_long(struct pa_args *args, struct cursor *c, const char *text,
		      struct pa_diag *diag)
{
	size_t length = strcspn(text, "=");
	const struct option *o = find_option(text, length, 0, c->verb);
	const char *value = text[length] ? text + length + 1 : NULL;

	if (!o)
		return pa_fail(diag, PA_E_USAGE, "unknown option --%.*s",
			       (int)length, text);
	if (!o->value && value)
		return pa_fail(diag, PA_E_USAGE, "--%s takes no value",
			       o->name);
	if (o->value && !value) {
		if (c->next >= c->argc)
			return pa_fail(diag, PA_E_USAGE, "--%s needs a value "
				       "%s", o->name, o->value);
		value = c->argv[c->next++];
	}
	return apply(args, o, value, c->verb, diag);
}

/* -q, -vq, -p 5, -p5 */
static int parse_letters(struct pa_args *args, struct cursor *c,
			 const char *text, struct pa_diag *diag)
{
	for (; *text; text++) {
		const struct option *o = find_option(NULL, 0, *text, c->verb);
		const char *value = NULL;
		int err;

		if (!o)
			return pa_fail(diag, PA_E_USAGE, "unknown option -%c",
				       *text);
		if (o->value) {
			value = text[1] ? text + 1 :
				c->next < c->argc ? c->argv[c->next++] : NULL;
			if (!value)
				return pa_fail(diag, PA_E_USAGE, "-%c needs a "
					       "value %s", *text, o->value);
		}
		err = apply(args, o, value, c->verb, diag);
		if (err || o->value)
			return err;
	}
	return 0;
}

static bool is_negative_number(const char *text)
{
	return text[0] == '-' && text[1] >= '0' && text[1] <= '9';
}

static int parse_all(struct pa_args *args, struct cursor *c,
		     struct pa_diag *diag)
{
	bool only_words = false;
	int err = 0;

	while (!err && c->next < c->argc) {
		const char *text = c->argv[c->next++];

		if (!only_words && !strcmp(text, "--"))
			only_words = true;
		else if (!only_words && !strncmp(text, "--", 2))
			err = parse_long(args, c, text + 2, diag);
		else if (!only_words && text[0] == '-' && text[1] &&
			 !is_negative_number(text))
			err = parse_letters(args, c, text + 1, diag);
		else
			args->words[args->n_words++] = text;
	}
	return err;
}

static int check_together(const struct pa_args *args, struct pa_diag *diag)
{
	const struct pa_question *q = &args->question;

	if (q->of != PA_OF_ALLOCATED)
		return 0;
	if (q->group_by == PA_BY_THREAD)
		return pa_fail(diag, PA_E_USAGE, "--group-by thread is for "
			       "--of live: totals are not kept by thread");
	if (q->min_age_ns || q->max_age_ns || q->sort == PA_SORT_AGE)
		return pa_fail(diag, PA_E_USAGE, "ages are for --of live: "
			       "what was freed has none");
	return 0;
}

int pa_args_parse(struct pa_args *args, enum pa_verb_bit verb,
		  bool pid_wanted, int argc, char **argv,
		  struct pa_diag *diag)
{
	struct cursor cursor = { argc, 1, argv, verb };
	int err;

	memset(args, 0, sizeof *args);
	args->rate = PA_RATE_DEFAULT;
	args->memory_max = PA_MEMORY_DEFAULT;
	args->frames_max = PA_FRAMES_DEFAULT;
	args->timeout_ns = PA_TIMEOUT_DEFAULT;
	args->max_pause_ns = PA_MAX_PAUSE_DEFAULT;
	args->question.limit = 20;
	args->words = calloc((size_t)argc + 1, sizeof *args->words);
	if (!args->words)
		return pa_fail(diag, PA_E_FAILED, "no memory");
	err = parse_all(args, &cursor, diag);
	if (err || args->help || args->version)
		return err;
	if (pid_wanted && !args->pid) {
		if (!args->n_words)
			return pa_fail(diag, PA_E_USAGE, "a PID is missing");
		err = set_pid(args, args->words[0], diag);
		memmove(args->words, args->words + 1,
			args->n_words-- * sizeof *args->words);
	}
	return err ? err : check_together(args, diag);
}

void pa_args_free(struct pa_args *args)
{
	free(args->words);
	args->words = NULL;
}

bool pa_args_want_json(int argc, char **argv)
{
	bool json = false;

	for (int i = 1; i < argc && argv[i] && strcmp(argv[i], "--"); i++) {
		const char *format = NULL;

		if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strncmp(argv[i], "--format=", 9))
			format = argv[i] + 9;
		else if (!strcmp(argv[i], "--format") && i + 1 < argc)
			format = argv[i + 1];
		if (format)
			json = !strcmp(format, "json");
	}
	return json;
}

void pa_args_help(FILE *out, enum pa_verb_bit verb)
{
	fprintf(out, "Options:\n");
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		char text[64], letter[8] = "    ";

		if (!(o->verbs & verb) || !o->help)
			continue;
		if (o->letter)
			snprintf(letter, sizeof letter, "-%c, ", o->letter);
		snprintf(text, sizeof text, "%s--%s%s%s", letter, o->name,
			 o->value ? " " : "", o->value ? o->value : "");
		fprintf(out, "  %-24s %s\n", text, o->help);
	}
}
