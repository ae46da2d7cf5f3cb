/* SPDX-License-Identifier: MIT
 *
 * The middle of the table for people; view_table.c has its head and foot.
 */
#ifndef PA_CLIENT_VIEW_ROWS_H
#define PA_CLIENT_VIEW_ROWS_H

#include "client/view.h"

/* A blank line, the heads of the columns, the rows.  0 or PA_E_FAILED. */
int pa_view_rows(const struct pa_view *view, const struct pa_report *report);

/* Bytes of the longest start of text that fits into width columns. */
size_t pa_view_fitting(const char *text, size_t width);

#endif /* PA_CLIENT_VIEW_ROWS_H */
