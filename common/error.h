/* SPDX-License-Identifier: MIT
 *
 * The errors of the project as numbers: one enum made from errors.def.
 *
 * Every function that can fail returns int: 0 or more is good, a negative
 * PA_E_* is the cause.  The numbers are the exit statuses, negated; the
 * payload sends the same words over the wire.  No I/O, no allocation, any
 * thread, async-signal-safe.
 */
#ifndef PA_COMMON_ERROR_H
#define PA_COMMON_ERROR_H

enum pa_error {
	PA_OK = 0,
	PA_E_FAILED = -1,	/* something without a number of its own */
	PA_E_USAGE = -2,	/* the command line was not understood */
#define X(symbol, word, status, sentence, hint) PA_E_##symbol = -(status),
#include "common/errors.def"
#undef X
};

/* One row of the list.  All strings are static. */
struct pa_error_info {
	int error;		/* PA_E_*: negative */
	int status;		/* exit status: positive */
	const char *word;	/* for JSON and the wire */
	const char *sentence;
	const char *hint;
};

/* All rows in the order of errors.def, PA_E_FAILED and PA_E_USAGE first. */
extern const struct pa_error_info pa_errors[];
extern const unsigned pa_error_count;

/* The row of an error; never NULL (unknown numbers give PA_E_FAILED's). */
const struct pa_error_info *pa_error_info(int error);

/* The error that a wire word stands for, PA_E_FAILED if unknown. */
int pa_error_from_word(const char *word);

#endif /* PA_COMMON_ERROR_H */
