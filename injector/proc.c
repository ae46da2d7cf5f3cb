/* SPDX-License-Identifier: MIT
 *
 * Parsers of /proc text (see proc.h).  They never trust a length or a number
 * of fields: what a process may write there itself (its name, file names) is
 * hostile.
 */
#include "injector/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_ALL_MAX (64u << 20)

static const char *skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

static const char *skip_fields(const char *p, int n)
{
	while (n-- > 0 && *p) {
		while (*p && *p != ' ')
			p++;
		p = skip_blanks(p);
	}
	return p;
}

/* What follows `key` at the start of a line, or NULL. */
static const char *find_line(const char *text, const char *key)
{
	size_t n = strlen(key);

	while (text && *text) {
		if (!strncmp(text, key, n))
			return text + n;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return NULL;
}

int pa_proc_parse_stat(const char *text, struct pa_proc_stat *out)
{
	const char *open = strchr(text, '(');
	const char *close = strrchr(text, ')');
	const char *p;

	memset(out, 0, sizeof *out);
	/* the name may hold anything, also parentheses and newlines */
	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return -1;
	snprintf(out->comm, sizeof out->comm, "%.*s",
		 (int)(close - open - 1), open + 1);
	p = close + 2;
	out->state = *p;
	p = skip_fields(p, 6);		/* field 9 */
	out->flags = (unsigned)strtoul(p, NULL, 10);
	p = skip_fields(p, 13);		/* field 22 */
	if (*p < '0' || *p > '9')
		return -1;
	out->start_time = strtoull(p, NULL, 10);
	return 0;
}

static uint64_t line_number(const char *text, const char *key, int base)
{
	const char *p = find_line(text, key);

	return p ? strtoull(skip_blanks(p), NULL, base) : 0;
}

static void line_ids(const char *text, const char *key, uint32_t ids[4])
{
	const char *p = find_line(text, key);

	for (int i = 0; i < 4; i++) {
		char *end;

		ids[i] = UINT32_MAX;
		if (!p)
			continue;
		ids[i] = (uint32_t)strtoul(p, &end, 10);
		p = end;
	}
}

/* The last of several numbers in a line: the innermost namespace's pid. */
static pid_t last_number(const char *p)
{
	pid_t last = 0;

	for (;;) {
		p = skip_blanks(p);
		if (*p < '0' || *p > '9')
			return last;
		char *end;

		last = (pid_t)strtol(p, &end, 10);
		p = end;
	}
}

static bool line_has_word(const char *p, const char *word)
{
	const char *end = p ? strchr(p, '\n') : NULL;
	const char *at = p ? strstr(p, word) : NULL;

	return at && (!end || at < end);
}

int pa_proc_parse_status(const char *text, struct pa_proc_status *out)
{
	const char *nspid = find_line(text, "NSpid:");

	memset(out, 0, sizeof *out);
	if (!find_line(text, "Pid:") || !find_line(text, "Uid:"))
		return -1;
	out->tgid = (pid_t)line_number(text, "Tgid:", 10);
	out->tracer = (pid_t)line_number(text, "TracerPid:", 10);
	out->inner_pid = nspid ? last_number(nspid) : 0;
	if (out->inner_pid <= 0)	/* kernels before 4.1 */
		out->inner_pid = (pid_t)line_number(text, "Pid:", 10);
	line_ids(text, "Uid:", out->uid);
	line_ids(text, "Gid:", out->gid);
	out->threads = (unsigned)line_number(text, "Threads:", 10);
	out->seccomp = (int)line_number(text, "Seccomp:", 10);
	out->seccomp_filters = (int)line_number(text, "Seccomp_filters:", 10);
	out->shadow_stack = line_has_word(
		find_line(text, "x86_Thread_features:"), "shstk");
	out->has_memory = find_line(text, "VmSize:") != NULL;
	out->vm_size = line_number(text, "VmSize:", 10) << 10;
	out->vm_data = line_number(text, "VmData:", 10) << 10;
	out->signals_pending = line_number(text, "SigPnd:", 16);
	out->signals_shared = line_number(text, "ShdPnd:", 16);
	out->signals_blocked = line_number(text, "SigBlk:", 16);
	out->signals_ignored = line_number(text, "SigIgn:", 16);
	out->signals_caught = line_number(text, "SigCgt:", 16);
	out->capabilities = line_number(text, "CapEff:", 16);
	return 0;
}

int pa_proc_parse_syscall(const char *text, struct pa_proc_syscall *out)
{
	char *end;

	memset(out, 0, sizeof *out);
	if (!strncmp(text, "running", 7)) {
		out->where = PA_PROC_RUNNING;
		return 0;
	}
	out->number = strtol(text, &end, 10);
	if (end == text)
		return -1;
	out->where = out->number < 0 ? PA_PROC_IN_KERNEL : PA_PROC_IN_CALL;
	for (int i = 0; i < 6 && out->number >= 0; i++)
		out->args[i] = strtoull(end, &end, 16);
	out->sp = strtoull(end, &end, 16);
	out->pc = strtoull(end, &end, 16);
	return 0;
}

uint64_t pa_proc_parse_limit(const char *text, const char *name)
{
	const char *p = find_line(text, name);
	char *end;
	uint64_t value;

	if (!p)
		return UINT64_MAX;
	p = skip_blanks(p);
	value = strtoull(p, &end, 10);
	return end == p ? UINT64_MAX : value;
}

int pa_proc_parse_number(const char *text, uint64_t *out)
{
	char *end;
	uint64_t value;

	if (!strncmp(text, "max", 3)) {
		*out = UINT64_MAX;
		return 0;
	}
	if (*text < '0' || *text > '9')
		return -1;
	value = strtoull(text, &end, 10);
	if (*end && *end != '\n')
		return -1;
	*out = value;
	return 0;
}

int pa_proc_parse_keyed(const char *text, const char *key, uint64_t *out)
{
	const char *p;

	for (p = text; (p = find_line(p, key)); ) {
		if (*p != ' ' && *p != '\t')
			continue;
		p = skip_blanks(p);
		if (*p < '0' || *p > '9')
			return -1;
		*out = strtoull(p, NULL, 10);
		return 0;
	}
	return -1;
}

/* Is `word` one of the comma-separated words of list[n]? */
static bool in_list(const char *list, size_t n, const char *word)
{
	size_t len = strlen(word);

	while (n) {
		const char *comma = memchr(list, ',', n);
		size_t k = comma ? (size_t)(comma - list) : n;

		if (k == len && !memcmp(list, word, len))
			return true;
		if (!comma)
			return false;
		list += k + 1;
		n -= k + 1;
	}
	return false;
}

static int copy_text(char *out, size_t size, const char *from, size_t n)
{
	if (n >= size)
		return -1;
	memcpy(out, from, n);
	out[n] = 0;
	return 0;
}

int pa_proc_parse_cgroup(const char *text, const char *controller,
			 char *path, size_t size)
{
	for (const char *line = text; line && *line; ) {
		const char *end = strchrnul(line, '\n');
		const char *names = memchr(line, ':', end - line);
		const char *colon = NULL;

		if (names)
			colon = memchr(names + 1, ':', end - names - 1);
		if (colon) {
			size_t n = colon - names - 1;

			if (*controller ? in_list(names + 1, n, controller) :
					  !n)
				return copy_text(path, size, colon + 1,
						 end - colon - 1);
		}
		line = *end ? end + 1 : NULL;
	}
	return -1;
}

/* Undo the \ooo of mountinfo, in place. */
static void unescape_octal(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' &&
		    s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 +
				       (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

static size_t word_length(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && p[n] != ' ')
		n++;
	return n;
}

/* One line of mountinfo: is it the hierarchy?  Then copy root and mount. */
static bool cgroup_mount_line(const char *line, const char *end,
			      const char *controller, char *mount, char *root,
			      size_t size)
{
	const char *dash = memmem(line, end - line, " - ", 3);
	const char *p, *type, *options;
	size_t n;

	if (!dash)
		return false;
	type = dash + 3;
	n = word_length(type, end);
	options = skip_fields(type, 2);
	if (*controller) {
		if (n != 6 || memcmp(type, "cgroup", 6) || options > end ||
		    !in_list(options, end - options, controller))
			return false;
	} else if (n != 7 || memcmp(type, "cgroup2", 7)) {
		return false;
	}
	p = skip_fields(line, 3);
	n = word_length(p, end);
	if (copy_text(root, size, p, n))
		return false;
	p = skip_fields(p, 1);
	if (copy_text(mount, size, p, word_length(p, end)))
		return false;
	unescape_octal(root);
	unescape_octal(mount);
	return true;
}

int pa_proc_parse_cgroup_mount(const char *text, const char *controller,
			       char *mount, char *root, size_t size)
{
	for (const char *line = text; line && *line; ) {
		const char *end = strchrnul(line, '\n');

		if (cgroup_mount_line(line, end, controller, mount, root,
				      size))
			return 0;
		line = *end ? end + 1 : NULL;
	}
	return -1;
}

/* One line of maps, without its newline. */
static int parse_map(char *line, struct pa_map *map)
{
	char *p = line;
	uint64_t major, minor;

	map->start = strtoull(p, &p, 16);
	if (*p++ != '-')
		return -1;
	map->end = strtoull(p, &p, 16);
	if (*p++ != ' ' || strnlen(p, 5) < 5 || map->end < map->start)
		return -1;
	memcpy(map->perms, p, 4);
	map->perms[4] = 0;
	map->offset = strtoull(p + 4, &p, 16);
	major = strtoull(p, &p, 16);
	if (*p++ != ':')
		return -1;
	minor = strtoull(p, &p, 16);
	map->device = major << 32 | minor;
	map->inode = strtoull(p, &p, 10);
	map->path = skip_blanks(p);
	return 0;
}

int pa_proc_parse_id_map(const char *text, unsigned long outer,
			 unsigned long *inner)
{
	for (; text && *text; text = strchr(text, '\n')) {
		unsigned long first, from, count;

		text += *text == '\n';
		if (sscanf(text, "%lu %lu %lu", &first, &from, &count) != 3)
			continue;
		if (outer >= from && outer - from < count) {
			*inner = first + (outer - from);
			return 0;
		}
	}
	return -1;
}

int pa_proc_parse_maps(char *text, struct pa_maps *out)
{
	size_t lines = 1;

	memset(out, 0, sizeof *out);
	out->text = text;
	for (char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	out->map = calloc(lines, sizeof *out->map);
	if (!out->map)
		goto fail;
	for (char *line = text; *line; ) {
		char *end = strchrnul(line, '\n');
		char *next = *end ? end + 1 : end;

		*end = 0;
		if (parse_map(line, &out->map[out->count++]))
			goto fail;
		line = next;
	}
	return 0;
fail:
	pa_proc_free_maps(out);
	return -1;
}

void pa_proc_free_maps(struct pa_maps *maps)
{
	free(maps->map);
	free(maps->text);
	memset(maps, 0, sizeof *maps);
}

const struct pa_map *pa_proc_find_map(const struct pa_maps *maps,
				      uint64_t address)
{
	size_t low = 0, high = maps->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (maps->map[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < maps->count && maps->map[low].start <= address)
		return &maps->map[low];
	return NULL;
}

int pa_proc_open(pid_t pid)
{
	char name[32];
	int fd;

	snprintf(name, sizeof name, "/proc/%d", (int)pid);
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

ssize_t pa_proc_read(int dir, const char *name, char *text, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t k = 0;
	int error = 0;

	text[0] = 0;
	if (fd < 0)
		return -errno;
	while (n < size - 1) {
		k = read(fd, text + n, size - 1 - n);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			error = errno;
		if (k <= 0)
			break;
		n += k;
	}
	close(fd);
	text[n] = 0;
	return error ? -error : (ssize_t)n;
}

/* Read to the end of fd; NULL and errno. */
static char *read_to_end(int fd)
{
	size_t size = 64 << 10, n = 0;
	char *text = malloc(size);

	while (text) {
		ssize_t k = read(fd, text + n, size - 1 - n);
		char *more;

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			break;
		n += k;
		text[n] = 0;
		if (!k)
			return text;
		if (n < size - 1)
			continue;
		if (size >= READ_ALL_MAX) {
			errno = EFBIG;
			break;
		}
		size *= 2;
		more = realloc(text, size);
		if (!more)
			break;
		text = more;
	}
	free(text);
	return NULL;
}

char *pa_proc_read_all(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char *text;
	int saved;

	if (fd < 0)
		return NULL;
	text = read_to_end(fd);
	saved = errno;
	close(fd);
	errno = saved;
	return text;
}

int pa_proc_read_stat(int dir, const char *name, struct pa_proc_stat *out)
{
	char text[1024];
	ssize_t n = pa_proc_read(dir, name, text, sizeof text);

	if (n < 0)
		return (int)n;
	return pa_proc_parse_stat(text, out) ? -ESRCH : 0;
}

int pa_proc_read_status(int dir, const char *name, struct pa_proc_status *out)
{
	char text[PA_PROC_TEXT];
	ssize_t n = pa_proc_read(dir, name, text, sizeof text);

	if (n < 0)
		return (int)n;
	return pa_proc_parse_status(text, out) ? -ESRCH : 0;
}

int pa_proc_reread_status(int fd, struct pa_proc_status *out)
{
	char text[PA_PROC_TEXT];
	ssize_t n = pread(fd, text, sizeof text - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = 0;
	return pa_proc_parse_status(text, out) ? -ESRCH : 0;
}

pid_t pa_proc_tracer(int dir, const char *name, char comm[64])
{
	struct pa_proc_status status = { 0 };
	struct pa_proc_stat stat;
	char path[32];

	/* what a tracer that ends has traced is let go before its name is */
	for (int look = 0; look < 2; look++) {
		if (pa_proc_read_status(dir, name, &status) || !status.tracer)
			return 0;
		snprintf(path, sizeof path, "/proc/%d/stat",
			 (int)status.tracer);
		if (!pa_proc_read_stat(AT_FDCWD, path, &stat)) {
			memcpy(comm, stat.comm, sizeof stat.comm);
			return status.tracer;
		}
	}
	strcpy(comm, "?");
	return status.tracer;
}

int pa_proc_read_maps(int dir, struct pa_maps *out)
{
	char *text = pa_proc_read_all(dir, "maps");

	memset(out, 0, sizeof *out);
	if (!text)
		return -errno;
	return pa_proc_parse_maps(text, out) ? -EIO : 0;
}
