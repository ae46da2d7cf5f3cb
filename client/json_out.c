/* SPDX-License-Identifier: MIT
 *
 * JSON building blocks; see json_out.h.  It must not know any verb.
 */
#include "client/json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "common/error.h"

json_t *pa_json_object(const char *kind)
{
	return json_pack("{s:s++}", "schema", "pyattach-sample/", kind, "/1");
}

json_t *pa_json_bytes(const char *bytes, size_t length)
{
	char *text = pa_escape_json(bytes, length, &length);
	json_t *value = text ? json_stringn(text, length) : NULL;

	free(text);
	return value ? value : json_null();
}

json_t *pa_json_text(const char *text)
{
	return text && *text ? pa_json_bytes(text, strlen(text)) : json_null();
}

json_t *pa_json_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

json_t *pa_json_known(uint64_t value)
{
	return value ? pa_json_count(value) : json_null();
}

json_t *pa_json_real(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *pa_json_estimate(const struct pa_estimate *estimate)
{
	return json_pack("{s:o, s:o, s:o}",
			 "estimate", pa_json_real(estimate->estimate),
			 "low", pa_json_real(estimate->low),
			 "high", pa_json_real(estimate->high));
}

int pa_json_write(FILE *file, json_t *object, bool pretty)
{
	size_t flags = JSON_REAL_PRECISION(15) |
		(pretty ? JSON_INDENT(2) : 0);
	char *text = object ? json_dumps(object, flags) : NULL;

	json_decref(object);
	if (!text)
		return PA_E_FAILED;
	fputs(text, file);
	fputc('\n', file);
	free(text);
	return 0;
}
