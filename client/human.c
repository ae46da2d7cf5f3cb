/* SPDX-License-Identifier: MIT
 *
 * Numbers as people read them; see human.h.  Nothing machine-readable is
 * made here.
 */
#include "client/human.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

static const char *const byte_units[] = {
	"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB",
};
static const char *const count_units[] = { "", "k", "M", "G", "T", "P", "E" };

#define UNITS 7u

/* The unit in which a value reads below `step` (1024 or 1000). */
static unsigned pick_unit(double value, double step, double *divisor)
{
	unsigned unit = 0;

	*divisor = 1;
	while (unit + 1 < UNITS && value / *divisor >= step - 0.5) {
		*divisor *= step;
		unit++;
	}
	return unit;
}

/* Decimals that make three significant digits. */
static int decimals(double value)
{
	if (value >= 99.95 || value == 0)
		return 0;
	return value >= 9.995 ? 1 : 2;
}

/* How many of these decimals are zeros at the end. */
static int needed_decimals(double value, int n)
{
	char text[64];
	int length = snprintf(text, sizeof text, "%.*f", n, value);

	while (n > 0 && text[--length] == '0')
		n--;
	return n;
}

static double sane(double value)
{
	return isfinite(value) && value > 0 ? value : 0;
}

static struct pa_text scaled(double value, double step,
			     const char *const *units)
{
	struct pa_text text;
	double divisor;
	unsigned unit;
	int digits;

	value = sane(value);
	unit = pick_unit(value, step, &divisor);
	value /= divisor;
	digits = unit ? needed_decimals(value, decimals(value)) : 0;
	snprintf(text.s, sizeof text.s, "%.*f%s%s", digits, value,
		 units[unit][0] ? " " : "", units[unit]);
	return text;
}

struct pa_text pa_human_bytes(double bytes)
{
	return scaled(bytes, 1024, byte_units);
}

struct pa_text pa_human_count(double count)
{
	return scaled(count, 1000, count_units);
}

struct pa_text pa_human_share(double share)
{
	struct pa_text text;

	snprintf(text.s, sizeof text.s, "%.*f %%",
		 share > 0 && share < 0.00995 ? 1 : 0, sane(share) * 100);
	return text;
}

struct pa_text pa_human_range(double low, double high)
{
	struct pa_text text;
	double divisor;
	unsigned unit;
	int digits, more;

	low = sane(low);
	high = sane(high);
	unit = pick_unit(high, 1024, &divisor);
	digits = unit ? decimals(high / divisor) : 0;
	more = needed_decimals(low / divisor, digits);
	digits = needed_decimals(high / divisor, digits);
	digits = digits > more ? digits : more;
	snprintf(text.s, sizeof text.s, "%.*f … %.*f %s", digits,
		 low / divisor, digits, high / divisor, byte_units[unit]);
	return text;
}

struct pa_text pa_human_time(uint64_t ns)
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" } };
	uint64_t s = ns / 1000000000;
	struct pa_text text;

	for (unsigned i = 0; i < 2; i++) {
		if (s < units[i].seconds)
			continue;
		snprintf(text.s, sizeof text.s,
			 "%" PRIu64 " %s %" PRIu64 " %s", s / units[i].seconds,
			 units[i].name,
			 s % units[i].seconds / units[i + 1].seconds,
			 units[i + 1].name);
		return text;
	}
	if (s >= 120)
		snprintf(text.s, sizeof text.s, "%" PRIu64 " min", s / 60);
	else if (s >= 10)
		snprintf(text.s, sizeof text.s, "%" PRIu64 " s", s);
	else
		snprintf(text.s, sizeof text.s, "%.1f s", (double)ns / 1e9);
	return text;
}

struct pa_text pa_human_short_time(uint64_t ns)
{
	struct pa_text text;

	if (ns < 1000000)
		snprintf(text.s, sizeof text.s, "%.0f us", (double)ns / 1e3);
	else if (ns < 100000000)
		snprintf(text.s, sizeof text.s, "%.1f ms", (double)ns / 1e6);
	else
		snprintf(text.s, sizeof text.s, "%.2f s", (double)ns / 1e9);
	return text;
}

struct pa_text pa_human_date(uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct pa_text text;
	struct tm tm;

	if (!localtime_r(&seconds, &tm) ||
	    !strftime(text.s, sizeof text.s, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(text.s, sizeof text.s, "?");
	return text;
}
