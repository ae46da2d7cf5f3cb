/* SPDX-License-Identifier: MIT
 *
 * Where an error's sentence is recorded.  It is printed elsewhere, once.
 */
#include "injector/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "injector/injector.h"

int pa_fail(struct pa_diag *diag, int error, const char *format, ...)
{
	va_list args;

	if (!diag)
		return error;
	diag->hint[0] = 0;
	va_start(args, format);
	vsnprintf(diag->text, sizeof diag->text, format, args);
	va_end(args);
	return error;
}

const char *pa_escape(const char *name, char *out, size_t size)
{
	static const char digit[] = "0123456789abcdef";
	size_t n = 0;

	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (n + 8 > size) {	/* room for \xNN, "..." and NUL */
			memcpy(out + n, "...", 4);
			return out;
		}
		if (c >= 0x20 && c < 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = digit[c >> 4];
		out[n++] = digit[c & 15];
	}
	out[n] = 0;
	return out;
}
