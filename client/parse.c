/* SPDX-License-Identifier: MIT
 *
 * Sizes, times, pids and rates as words; see options.h.  It must not depend
 * on the locale.
 */
#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "client/options.h"

bool pa_is_number(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (*text < '0' || *text > '9')
			return false;
	return true;
}

/* Digits with an optional fraction.  The rest of the text, or NULL. */
static const char *parse_decimal(const char *text, long double *value)
{
	long double scale = 1;
	bool digits = false;

	for (*value = 0; *text >= '0' && *text <= '9'; text++, digits = true)
		*value = *value * 10 + (*text - '0');
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9';
		     text++, digits = true)
			*value += (long double)(*text - '0') / (scale *= 10);
	return digits ? text : NULL;
}

static const char size_letters[] = "kMGTPE";

/* The factor of a unit, 0 where it is none. */
static long double size_unit(const char *unit)
{
	long double factor = 1;

	if (!*unit || !strcasecmp(unit, "B"))
		return 1;
	for (const char *letter = size_letters; *letter; letter++) {
		factor *= 1024;
		if (tolower((unsigned char)unit[0]) !=
		    tolower((unsigned char)*letter))
			continue;
		if (!unit[1] || !strcasecmp(unit + 1, "iB"))
			return factor;
	}
	return 0;
}

/* KB, MB, GB, TB: powers of 1000 to some, of 1024 to others. */
static bool is_ambiguous(const char *unit)
{
	return strlen(unit) == 2 && strchr("kKmMgGtTpPeE", unit[0]) &&
		(unit[1] == 'B' || unit[1] == 'b');
}

/* A size as a number, which may be negative or larger than any memory. */
static int parse_size(const char *text, long double *value,
		      struct pa_diag *diag)
{
	const char *digits = text + (*text == '-');
	const char *unit = parse_decimal(digits, value);
	long double factor = unit ? size_unit(unit) : 0;

	if (unit && is_ambiguous(unit))
		return pa_fail(diag, PA_E_USAGE, "'%s' is ambiguous: write "
			       "%.*s%ciB for powers of 1024", text,
			       (int)(unit - text), text,
			       unit[0] == 'k' ? 'K' : toupper(unit[0]));
	if (!factor)
		return pa_fail(diag, PA_E_USAGE, "'%s' is not a size such as "
			       "512KiB, 1.5M or 4096", text);
	*value *= *text == '-' ? -factor : factor;
	return 0;
}

int pa_parse_size(const char *text, uint64_t *value, struct pa_diag *diag)
{
	long double size;
	int err = parse_size(text, &size, diag);

	if (err)
		return err;
	if (*text == '-' || size > (long double)INT64_MAX)
		return pa_fail(diag, PA_E_USAGE, "the size '%s' is out of "
			       "range", text);
	*value = (uint64_t)(size + 0.5L);
	return 0;
}

int pa_parse_rate(const char *text, uint64_t *rate, struct pa_diag *diag)
{
	long double size;
	int err = parse_size(text, &size, diag);

	if (err)
		return err;
	if (size < 1 || size > (long double)PA_RATE_MAX)
		return pa_fail(diag, PA_E_BAD_RATE, "a rate of '%s' is "
			       "outside 1 B to 1 TiB", text);
	*rate = (uint64_t)(size + 0.5L);
	return 0;
}

int pa_parse_time(const char *text, uint64_t *ns, struct pa_diag *diag)
{
	static const struct {
		const char *name;
		long double seconds;
	} units[] = {
		{ "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
		{ "d", 86400 }, { "ms", 0.001L },
	};
	long double value;
	const char *unit = parse_decimal(text, &value);

	for (size_t i = 0; unit && i < sizeof units / sizeof units[0]; i++) {
		if (strcmp(unit, units[i].name))
			continue;
		value *= units[i].seconds;
		if (value > 1e9L)
			return pa_fail(diag, PA_E_USAGE, "the time '%s' is "
				       "too long", text);
		*ns = (uint64_t)(value * 1e9L);
		return 0;
	}
	return pa_fail(diag, PA_E_USAGE, "'%s' is not a time such as 30s, 5m "
		       "or 1.5h", text);
}

int pa_parse_pid(const char *text, pid_t *pid, struct pa_diag *diag)
{
	long value = 0;

	if (!pa_is_number(text))
		return pa_fail(diag, PA_E_USAGE, "'%s' is not a PID", text);
	for (; *text && value <= INT_MAX; text++)
		value = value * 10 + (*text - '0');
	if (value < 1 || value > INT_MAX)
		return pa_fail(diag, PA_E_USAGE, "a PID is a number from 1 to "
			       "%d", INT_MAX);
	*pid = (pid_t)value;
	return 0;
}
