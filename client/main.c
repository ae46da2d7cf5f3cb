/* SPDX-License-Identifier: MIT
 *
 * The command: finds the verb, prints the one error, exits.  No other file
 * of the program calls exit() or prints an error.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/command.h"
#include "client/escape.h"
#include "client/lost_file.h"

struct verb {
	const char *name;
	enum pa_verb_bit bit;
	int (*run)(struct pa_command *command);
	const char *words;	/* the arguments, for the usage line */
	bool pid;		/* the first argument is a PID */
	size_t more_max;	/* arguments besides the PID */
	const char *help;
};

#define MANY ((size_t)-1)

static const struct verb verbs[] = {
	{ "attach", PA_VERB_ATTACH, pa_cmd_attach, "PID", true, 0,
	  "attach to a running Python and sample it" },
	{ "report", PA_VERB_REPORT, pa_cmd_report, "SOURCE...", false, MANY,
	  "show who holds the memory; SOURCE is a PID, an image or a core" },
	{ "snapshot", PA_VERB_SNAPSHOT, pa_cmd_snapshot, "PID -o FILE", true,
	  0, "keep the image as a file" },
	{ "status", PA_VERB_STATUS, pa_cmd_status, "PID", true, 0,
	  "tell what the payload is doing and what it costs" },
	{ "rate", PA_VERB_RATE, pa_cmd_rate, "PID SIZE", true, 1,
	  "change the rate while it runs" },
	{ "detach", PA_VERB_DETACH, pa_cmd_detach, "PID", true, 0,
	  "put everything back" },
	{ "list", PA_VERB_LIST, pa_cmd_list, "", false, 0,
	  "list every attached process that you may see" },
	{ "core", PA_VERB_CORE, pa_cmd_core, "FILE", false, 1,
	  "show who held the memory of a process that died; -o keeps the "
	  "image" },
	{ "gdb", PA_VERB_GDB, pa_cmd_gdb, "CORE|PID", false, 1,
	  "start gdb with the commands of pyattach-gdb(7)" },
	{ "census", PA_VERB_CENSUS, pa_cmd_census, "PID|CORE", false, 1,
	  "count what it holds already, by type, from outside" },
	{ "diff", PA_VERB_DIFF, pa_cmd_diff, "OLD NEW", false, 2,
	  "show what grew between two censuses" },
};
#define N_VERBS (sizeof verbs / sizeof verbs[0])

/* Verbs of later versions: refused by name. */
static const char *const later_verbs[] = {
	"run", "record", "top", "serve",
	NULL,
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static void print_help(FILE *out)
{
	fprintf(out,
		"Usage: pyattach-sample [attach] PID [OPTION]...\n"
		"       pyattach-sample VERB [OPTION]... ARGUMENT...\n"
		"See which lines of a running Python allocate and keep "
		"memory,\nwithout a restart: a sample with error bars.\n\n"
		"Verbs:\n");
	for (size_t i = 0; i < N_VERBS; i++)
		fprintf(out, "  %-9s%-13s%s\n", verbs[i].name, verbs[i].words,
			verbs[i].help);
	fprintf(out, "\nSIZE: 512KiB, 1.5M, 4096 (powers of 1024). TIME: "
		"30s, 5m, 1.5h, 10 (seconds).\n"
		"pyattach-sample VERB --help lists the options of a verb; "
		"all is in pyattach-sample(1).\n");
}

static void print_verb_help(FILE *out, const struct verb *verb)
{
	fprintf(out, "Usage: pyattach-sample %s %s%s[OPTION]...\n%c%s.\n\n",
		verb->name, verb->words, *verb->words ? " " : "",
		verb->help[0] - 'a' + 'A', verb->help + 1);
	pa_args_help(out, verb->bit);
}

/* ---- errors ---- */

static char *safe(const char *text)
{
	char *escaped = pa_escape_terminal(text, strlen(text));

	return escaped ? escaped : strdup("?");
}

static void print_json_error(const struct pa_error_info *info,
			     const char *message, const char *hint)
{
	json_t *object = pa_json_object("error");

	json_object_set_new(object, "error", json_string(info->word));
	json_object_set_new(object, "status", json_integer(info->status));
	json_object_set_new(object, "message", pa_json_text(message));
	json_object_set_new(object, "hint", pa_json_text(hint));
	pa_json_write(stderr, object, false);
}

/* Print what went wrong; the exit status. */
static int print_error(int err, const struct pa_diag *diag, bool json)
{
	const struct pa_error_info *info = pa_error_info(err);
	char *message = safe(diag->text[0] ? diag->text : info->sentence);
	char *hint = safe(diag->hint[0] ? diag->hint : info->hint);

	if (json)
		print_json_error(info, message, hint);
	else
		fprintf(stderr, "pyattach-sample: %s: %s\n",
			message ? message : info->word, hint ? hint : "");
	free(message);
	free(hint);
	return info->status;
}

/* ---- running ---- */

static int run(const struct verb *verb, int argc, char **argv,
	       struct pa_command *command)
{
	struct pa_args *args = &command->args;
	int err = pa_args_parse(args, verb->bit, verb->pid, argc, argv,
				&command->diag);

	if (err)
		return err;
	if (args->help) {
		print_verb_help(stdout, verb);
		return pa_command_flush(command);
	}
	if (args->version) {
		puts("pyattach-sample " PACKAGE_VERSION);
		return pa_command_flush(command);
	}
	if (args->n_words > verb->more_max)
		return pa_fail(&command->diag, PA_E_USAGE, "%s: extra argument "
			       "'%s'", verb->name,
			       args->words[verb->more_max]);
	command->deadline_ns = command->begin_ns + args->timeout_ns;
	return verb->run(command);
}

static bool is_one_of(const char *const *words, const char *word)
{
	while (*words && strcmp(*words, word))
		words++;
	return *words;
}

/* The verb may stand after options without a value; without one it is
 * `attach`.  Takes the verb out of argv. */
static int pick_verb(int *argc, char **argv, const struct verb **verb,
		     struct pa_diag *diag)
{
	static const char *const plain[] = {
		"-q", "--quiet", "-v", "--verbose", "--json", NULL,
	};
	const char *word;
	int at = 1;

	*verb = find_verb("attach");
	while (at < *argc && is_one_of(plain, argv[at]))
		at++;
	if (at >= *argc)
		return pa_fail(diag, PA_E_USAGE, "a PID or a verb is missing");
	word = argv[at];
	if (word[0] == '-' || pa_is_number(word))
		return 0;
	if (is_one_of(later_verbs, word))
		return pa_fail(diag, PA_E_USAGE, "the verb %s is not in this "
			       "version", word);
	*verb = find_verb(word);
	if (!*verb)
		return pa_fail(diag, PA_E_USAGE, "'%s' is neither a PID nor a "
			       "verb", word);
	memmove(argv + at, argv + at + 1,
		(size_t)(*argc - at) * sizeof *argv);
	--*argc;
	return 0;
}

static bool is_only(int argc, char **argv, const char *letter,
		    const char *name)
{
	return argc == 2 && (!strcmp(argv[1], letter) ||
			     !strcmp(argv[1], name));
}

/* Were 1 or 2 closed, a socket could get that number and our words with it. */
static void fill_standard_files(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			/* The wrong way round, so that use is an error. */
			(void)!open("/dev/null", fd ? O_RDONLY : O_WRONLY);
}

/* A pipe that nobody reads any more ends us as it would end cat. */
static void die_by_pipe(void (*old)(int))
{
	if (old == SIG_DFL) {
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
}

int main(int argc, char **argv)
{
	void (*old_pipe)(int) = signal(SIGPIPE, SIG_IGN);
	bool json = pa_args_want_json(argc, argv);
	struct pa_command command;
	const struct verb *verb;
	int err, status = 0;

	pa_lost_file_watch(json);
	fill_standard_files();
	memset(&command, 0, sizeof command);
	command.begin_ns = pa_now_ns();
	if (is_only(argc, argv, "-h", "--help")) {
		print_help(stdout);
		err = pa_command_flush(&command);
	} else {
		err = pick_verb(&argc, argv, &verb, &command.diag);
		if (!err)
			err = run(verb, argc, argv, &command);
	}
	if (err == PA_E_WRITE && pa_output_broken_pipe())
		die_by_pipe(old_pipe);
	if (err)
		status = print_error(err, &command.diag, json);
	pa_args_free(&command.args);
	if (command.signal) {
		/* Whoever started us sees what ended us. */
		signal(command.signal, SIG_DFL);
		raise(command.signal);
	}
	return status;
}
