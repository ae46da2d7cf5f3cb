/* SPDX-License-Identifier: MIT
 *
 * The views: a finished report in, text out.  A view decides nothing but
 * how things look.
 */
#ifndef PA_CLIENT_VIEW_H
#define PA_CLIENT_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "client/model.h"

struct pa_view {
	FILE *file;
	unsigned width;		/* columns; no line is longer */
	bool color;		/* SGR sequences are welcome */
	bool pretty;		/* JSON over several lines */
};

int pa_view_table(const struct pa_view *view, const struct pa_report *report);
int pa_view_json(const struct pa_view *view, const struct pa_report *report);
int pa_view_csv(const struct pa_view *view, const struct pa_report *report);

/* A quoted field: escaped, and never a formula for a spreadsheet. */
void pa_view_csv_field(FILE *file, const char *bytes, size_t length);
/* Words of text, filled into lines of the view's width. */
void pa_view_paragraph(const struct pa_view *view, const char *text);

#endif /* PA_CLIENT_VIEW_H */
