/* SPDX-License-Identifier: MIT
 *
 * The table behind error.h.  Uses no libc: the payload links it too.
 */
#include "common/error.h"

const struct pa_error_info pa_errors[] = {
	{ PA_E_FAILED, 1, "failed", "failed", "see the reason in the message" },
	{ PA_E_USAGE, 2, "usage", "the command line was not understood",
	  "see pyattach-sample --help" },
#define X(symbol, word, status, sentence, hint) \
	{ PA_E_##symbol, status, word, sentence, hint },
#include "common/errors.def"
#undef X
};

const unsigned pa_error_count = sizeof pa_errors / sizeof pa_errors[0];

const struct pa_error_info *pa_error_info(int error)
{
	for (unsigned i = 0; i < pa_error_count; i++)
		if (pa_errors[i].error == error)
			return &pa_errors[i];
	return &pa_errors[0];
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

int pa_error_from_word(const char *word)
{
	for (unsigned i = 0; i < pa_error_count; i++)
		if (same(pa_errors[i].word, word))
			return pa_errors[i].error;
	return PA_E_FAILED;
}
