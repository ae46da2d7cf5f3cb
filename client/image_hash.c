/* SPDX-License-Identifier: MIT
 *
 * The checks of live records.  FNV-1a is a chain of multiplications that
 * waits for itself, so many records go side by side; and as only the low half
 * of the hash is stored, 16 bits are all that must be counted with.
 */
#include "client/image_parts.h"

#include <string.h>

#define BASIS 0x9dc5u		/* the low halves of FNV's two numbers */
#define PRIME 0x0193u
#define FIRST offsetof(struct pa_live, address)

uint16_t pa_image_check(const struct pa_live *live)
{
	const unsigned char *bytes = (const unsigned char *)live;
	uint32_t hash = BASIS;

	for (size_t i = FIRST; i < sizeof *live; i++)
		hash = (hash ^ bytes[i]) * PRIME;
	return (uint16_t)hash;
}

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define HAVE_SHUFFLE 1
#endif
#endif

#ifdef HAVE_SHUFFLE

/* Vectors in an array stay in registers only where its loops are unrolled,
 * which the compiler does not do at -O2. */
#define UNROLLED _Pragma("GCC unroll 8")

#define WIDTH 8u		/* records in a vector */
#define GROUPS (PA_CHECKS / WIDTH)

typedef uint16_t vector __attribute__((vector_size(16)));

#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)

/* Two vectors interleaved by 1, 2 or 4 elements: the lower half of that,
 * and the upper. */
#define LOW1(a, b) PICK(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH1(a, b) PICK(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW2(a, b) PICK(a, b, 0, 1, 8, 9, 2, 3, 10, 11)
#define HIGH2(a, b) PICK(a, b, 4, 5, 12, 13, 6, 7, 14, 15)
#define LOW4(a, b) PICK(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH4(a, b) PICK(a, b, 4, 5, 6, 7, 12, 13, 14, 15)

/* Rows become columns: v[k] has element k of each. */
static inline void transpose(vector v[WIDTH])
{
	vector a[WIDTH], b[WIDTH];

	UNROLLED for (unsigned k = 0; k < 4; k++) {
		a[2 * k] = LOW1(v[2 * k], v[2 * k + 1]);
		a[2 * k + 1] = HIGH1(v[2 * k], v[2 * k + 1]);
	}
	UNROLLED for (unsigned k = 0; k < 8; k += 4) {
		b[k] = LOW2(a[k], a[k + 2]);
		b[k + 1] = HIGH2(a[k], a[k + 2]);
		b[k + 2] = LOW2(a[k + 1], a[k + 3]);
		b[k + 3] = HIGH2(a[k + 1], a[k + 3]);
	}
	UNROLLED for (unsigned k = 0; k < 4; k++) {
		v[2 * k] = LOW4(b[k], b[k + 4]);
		v[2 * k + 1] = HIGH4(b[k], b[k + 4]);
	}
}

/* The bytes from `from` on of 8 records, by columns of two bytes. */
static inline void load(const struct pa_live *live, size_t from,
			vector v[WIDTH])
{
	UNROLLED for (unsigned k = 0; k < WIDTH; k++)
		memcpy(&v[k], (const char *)&live[k] + from, sizeof v[k]);
	transpose(v);
}

static void check_all(const struct pa_live *live, uint16_t checks[PA_CHECKS])
{
	vector hash[GROUPS], column[GROUPS][WIDTH];
	size_t from = FIRST;
	unsigned first = 0;

	for (unsigned g = 0; g < GROUPS; g++)
		hash[g] = (vector){ 0 } + (uint16_t)BASIS;
	while (from < sizeof *live) {
		/* the last vector begins with bytes that were counted */
		if (from > sizeof *live - sizeof(vector)) {
			first = (unsigned)(from - (sizeof *live -
						   sizeof(vector))) / 2;
			from = sizeof *live - sizeof(vector);
		}
		UNROLLED for (unsigned g = 0; g < GROUPS; g++)
			load(live + g * WIDTH, from, column[g]);
		UNROLLED for (unsigned k = first; k < WIDTH; k++)
			UNROLLED for (unsigned g = 0; g < GROUPS; g++) {
				hash[g] = (hash[g] ^ (column[g][k] & 0xff)) *
					(uint16_t)PRIME;
				hash[g] = (hash[g] ^ (column[g][k] >> 8)) *
					(uint16_t)PRIME;
			}
		from += sizeof(vector);
	}
	memcpy(checks, hash, sizeof hash);
}

#else

static void check_all(const struct pa_live *live, uint16_t checks[PA_CHECKS])
{
	for (unsigned k = 0; k < PA_CHECKS; k++)
		checks[k] = pa_image_check(&live[k]);
}

#endif

void pa_image_checks(const struct pa_live *live, uint64_t n,
		     uint16_t checks[PA_CHECKS])
{
	if (n == PA_CHECKS)
		check_all(live, checks);
	else
		for (uint64_t k = 0; k < n; k++)
			checks[k] = pa_image_check(&live[k]);
}
