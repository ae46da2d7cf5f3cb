/* SPDX-License-Identifier: MIT
 *
 * The headers that cmocka wants, in the order it wants them.  One group a
 * program: TAP allows one plan.
 */
#ifndef PA_TESTS_UNIT_H
#define PA_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Leave a test whose surroundings do not allow it.  cmocka's own skip() prints
 * "not ok ... # SKIP", which Automake's driver takes for a failure. */
#define LEAVE_OUT(why)						\
	do {							\
		print_message("# left out: %s\n", (why));	\
		return;						\
	} while (0)

#endif /* PA_TESTS_UNIT_H */
