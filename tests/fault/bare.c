/* SPDX-License-Identifier: MIT
 *
 * Code without unwind tables, like that of a JIT: built with and without a
 * frame pointer.  A thread of the target waits in it.
 */
#include <unistd.h>

long pa_bare_wait(int fd, int *tid, int (*get_tid)(void));

long pa_bare_wait(int fd, int *tid, int (*get_tid)(void))
{
	volatile char room[3][16];
	char c = 0;
	ssize_t n;

	for (int i = 0; i < 3; i++)
		room[i][fd % 16] = (char)fd;
	*tid = get_tid();
	do {
		n = read(fd, &c, 1);
	} while (n == 1 && c == 'x');
	return n == 1 ? c + room[0][fd % 16] - room[2][fd % 16] : -1;
}
