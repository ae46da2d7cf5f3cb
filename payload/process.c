/* SPDX-License-Identifier: MIT
 *
 * See process.h.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "payload/process.h"

/* The start of a small file, terminated; its length. */
static int slurp(const char *path, char *buffer, int size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	buffer[0] = 0;
	if (fd < 0)
		return 0;
	n = read(fd, buffer, (size_t)size - 1);
	close(fd);
	if (n < 0)
		n = 0;
	buffer[n] = 0;
	return (int)n;
}

static unsigned digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	return 16;
}

static uint64_t number(const char *s, unsigned base)
{
	uint64_t n = 0;

	for (; digit_of(*s) < base; s++)
		n = n * base + digit_of(*s);
	return n;
}

/* The n-th word after s, from 1. */
static const char *skip_words(const char *s, int n)
{
	while (n-- && s) {
		s = strchr(s, ' ');
		if (s)
			s++;
	}
	return s ? s : "";
}

uint64_t pa_process_rss(void)
{
	char text[128];

	slurp("/proc/self/statm", text, sizeof text);
	return number(skip_words(text, 1), 10)
		* (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A field of stat, by its number in proc(5). */
static uint64_t stat_field(int field)
{
	char text[1024], *end;

	slurp("/proc/self/stat", text, sizeof text);
	/* the name may hold anything, but the last ')' ends it */
	end = strrchr(text, ')');
	return end ? number(skip_words(end, field - 2), 10) : 0;
}

uint64_t pa_process_start_time(void)
{
	return stat_field(22);
}

uint64_t pa_process_threads(void)
{
	return stat_field(20);
}

bool pa_process_alone(void)
{
	uint64_t threads = pa_process_threads();

	/* 0: /proc is not to be read; then nothing is done that is right
	 * beside one thread only */
	return threads && threads <= 2;
}

uint32_t pa_process_coredump_filter(void)
{
	char text[32];

	slurp("/proc/self/coredump_filter", text, sizeof text);
	return (uint32_t)number(text, 16);
}

bool pa_process_in_executable(const void *base)
{
	uintptr_t headers = getauxval(AT_PHDR);

	/* the program headers follow the ELF header, in its first page */
	return headers && (headers & ~(uintptr_t)4095) == (uintptr_t)base;
}

void pa_process_boot_id(uint8_t id[16])
{
	char text[64];
	int nibbles = 0;

	slurp("/proc/sys/kernel/random/boot_id", text, sizeof text);
	memset(id, 0, 16);
	for (const char *s = text; *s && nibbles < 32; s++) {
		unsigned d = digit_of(*s);

		if (d > 15)
			continue;
		id[nibbles / 2] |= (uint8_t)(nibbles % 2 ? d : d << 4);
		nibbles++;
	}
}
