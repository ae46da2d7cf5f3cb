/* SPDX-License-Identifier: MIT
 *
 * Where an answer goes; see output.h.  It must never leave half a file under
 * the name that was asked for.
 */
#include "client/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* For the signal handler; set while a temporary file exists. */
static char *volatile doomed;

static void remove_and_die(int signal)
{
	char *path = doomed;

	if (path)
		unlink(path);
	/* SA_RESETHAND has put the default back. */
	raise(signal);
}

static void watch_signals(char *path)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = remove_and_die }, old;

	act.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
	doomed = path;
	for (size_t i = 0; path && i < sizeof signals / sizeof signals[0]; i++)
		if (!sigaction(signals[i], NULL, &old) &&
		    old.sa_handler == SIG_DFL)
			sigaction(signals[i], &act, NULL);
}

static bool broken_pipe;

bool pa_output_broken_pipe(void)
{
	return broken_pipe;
}

static int fail(struct pa_diag *diag, const char *path, int error)
{
	broken_pipe |= error == EPIPE;
	return pa_fail(diag, PA_E_WRITE, "%s cannot be written: %s", path,
		       strerror(error));
}

/* Devices and pipes are written to; they are nothing to replace. */
static int open_device(struct pa_output *output, const char *path,
		       struct pa_diag *diag)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return fail(diag, path, errno);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	output->path = strdup(path);
	output->file = output->path ? fdopen(fd, "w") : NULL;
	if (output->file)
		return 0;
	close(fd);
	free(output->path);
	output->path = NULL;
	return fail(diag, path, ENOMEM);
}

/* ".NAME.XXXXXX" beside the file. */
static char *temporary_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	int directory = slash ? (int)(slash - path) + 1 : 0;
	char *name;

	if (asprintf(&name, "%.*s.%s.XXXXXX", directory, path,
		     path + directory) < 0)
		return NULL;
	return name;
}

static int open_temporary(struct pa_output *output, struct pa_diag *diag)
{
	mode_t mask = umask(0);
	int fd;

	umask(mask);
	output->temporary = temporary_name(output->path);
	if (!output->temporary)
		return fail(diag, output->path, ENOMEM);
	fd = mkostemp(output->temporary, O_CLOEXEC);
	if (fd < 0) {
		int error = errno;

		free(output->temporary);
		output->temporary = NULL;
		return fail(diag, output->path, error);
	}
	watch_signals(output->temporary);
	if (fchmod(fd, 0666 & ~mask) || !(output->file = fdopen(fd, "w"))) {
		int error = errno;

		close(fd);
		return fail(diag, output->path, error);
	}
	return 0;
}

int pa_output_open(struct pa_output *output, const char *path, bool replace,
		   struct pa_diag *diag)
{
	struct stat st;
	int err;

	memset(output, 0, sizeof *output);
	output->file = stdout;
	if (!path || !strcmp(path, "-"))
		return 0;
	output->file = NULL;
	output->replace = replace;
	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			return fail(diag, path, EISDIR);
		if (!S_ISREG(st.st_mode))
			return open_device(output, path, diag);
		if (!replace)
			return pa_fail(diag, PA_E_EXISTS, "%s exists", path);
		/* Through a link the file behind it is replaced. */
		output->path = realpath(path, NULL);
	} else {
		output->path = strdup(path);
	}
	if (!output->path)
		return fail(diag, path, errno);
	err = open_temporary(output, diag);
	if (err)
		pa_output_close(output, err, NULL);
	return err;
}

static int move_into_place(struct pa_output *output, struct pa_diag *diag)
{
	if (output->replace) {
		if (!rename(output->temporary, output->path))
			return 0;
	} else {
		/* Somebody may have made the file meanwhile. */
		if (!renameat2(AT_FDCWD, output->temporary, AT_FDCWD,
			       output->path, RENAME_NOREPLACE))
			return 0;
		if (errno == EINVAL || errno == ENOSYS) {
			if (!link(output->temporary, output->path)) {
				unlink(output->temporary);
				return 0;
			}
		}
		if (errno == EEXIST)
			return pa_fail(diag, PA_E_EXISTS, "%s exists",
				       output->path);
	}
	return fail(diag, output->path, errno);
}

void pa_output_check(struct pa_output *output)
{
	if (ferror(output->file) && !output->error)
		output->error = errno;
}

int pa_output_close(struct pa_output *output, int err, struct pa_diag *diag)
{
	const char *name = output->path ? output->path : "standard output";

	if (output->file) {
		int error = !ferror(output->file) ? 0 :
			output->error ? output->error : EIO;

		errno = 0;
		if (output->file == stdout ? fflush(stdout) :
		    fclose(output->file))
			error = errno ? errno : EIO;
		if (!err && error)
			err = fail(diag, name, error);
	}
	if (output->temporary) {
		if (!err)
			err = move_into_place(output, diag);
		if (err)
			unlink(output->temporary);
		watch_signals(NULL);
	}
	free(output->temporary);
	free(output->path);
	memset(output, 0, sizeof *output);
	return err;
}

bool pa_output_is_terminal(const struct pa_output *output)
{
	return isatty(fileno(output->file));
}

unsigned pa_output_width(const struct pa_output *output)
{
	const char *columns = getenv("COLUMNS");
	bool digits = columns && *columns &&
		strspn(columns, "0123456789") == strlen(columns);
	unsigned long width = digits ? strtoul(columns, NULL, 10) : 0;
	struct winsize size;

	if (!width && !ioctl(fileno(output->file), TIOCGWINSZ, &size))
		width = size.ws_col;
	if (!width)
		width = pa_output_is_terminal(output) ? 80 : 120;
	return width < 40 ? 40 : width > 10000 ? 10000 : (unsigned)width;
}
