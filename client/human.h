/* SPDX-License-Identifier: MIT
 *
 * Numbers as people read them: three significant digits, binary units for
 * bytes, k M G for counts.  Pure functions; the text is returned by value.
 */
#ifndef PA_CLIENT_HUMAN_H
#define PA_CLIENT_HUMAN_H

#include <stdint.h>

struct pa_text {
	char s[64];
};

struct pa_text pa_human_bytes(double bytes);		/* 1.31 GiB */
struct pa_text pa_human_count(double count);		/* 402 k */
struct pa_text pa_human_share(double share);		/* 0.7 -> 70 % */
struct pa_text pa_human_time(uint64_t ns);		/* 12 min */
struct pa_text pa_human_short_time(uint64_t ns);	/* 91 us */
/* Both ends in the unit of the higher one: 132 … 166 MiB */
struct pa_text pa_human_range(double low, double high);
/* Local time of a CLOCK_REALTIME value: 2025-01-31 12:00:05 */
struct pa_text pa_human_date(uint64_t realtime_ns);

#endif /* PA_CLIENT_HUMAN_H */
