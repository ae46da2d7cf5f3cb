/* SPDX-License-Identifier: MIT
 *
 * The rows of layout.h, taken from the headers of each version.
 */
#include "census/layout.h"

#include <stddef.h>

#define T true
#define F false
static const struct pa_layout rows[] = {
	{ 8, 8, 864, 872, 48, 72, 0, F, F, F, F, F, F, F, 112, 0 },
	{ 9, 9, 856, 864, 48, 72, 0, F, F, F, F, F, F, F, 112, 0 },
	{ 10, 10, 864, 872, 48, 72, 0, F, F, F, F, F, F, F, 112, 0 },
	{ 11, 11, 864, 872, 48, 72, 32, F, T, F, T, F, F, F, 128, 16 },
	{ 12, 12, 872, 880, 40, 56, 24, T, T, F, T, F, F, F, 128, 16 },
	{ 13, 13, 872, 880, 40, 56, 0, F, T, F, F, T, F, F, 128, 16 },
	{ 14, 14, 872, 880, 40, 56, 0, F, T, T, F, T, T, T, 128, 24 },
	{ 15, 15, 880, 888, 40, 56, 0, F, T, T, F, T, T, T, 128, 24 },
};
#define N_ROWS (sizeof rows / sizeof rows[0])

const struct pa_layout *pa_layout_of(int minor)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (minor >= rows[i].first && minor <= rows[i].last)
			return &rows[i];
	return &rows[N_ROWS - 1];
}
