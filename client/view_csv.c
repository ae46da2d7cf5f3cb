/* SPDX-License-Identifier: MIT
 *
 * The report's rows as CSV (RFC 4180): one line of names, then one a row.
 * A field that a spreadsheet would take for a formula gets a quote in front.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/escape.h"
#include "client/view.h"

void pa_view_csv_field(FILE *file, const char *bytes, size_t length)
{
	char *text = pa_escape_terminal(bytes, length);

	fputc('"', file);
	if (text && *text && strchr("=+-@\t\r", *text))
		fputc('\'', file);
	for (const char *c = text; c && *c; c++) {
		if (*c == '"')
			fputc('"', file);
		fputc(*c, file);
	}
	fputc('"', file);
	free(text);
}

static void put_name(FILE *file, const struct pa_report *r, uint32_t name)
{
	pa_view_csv_field(file, r->names.names[name].bytes,
		 r->names.names[name].length);
}

/* "f a.py:1;g b.py:2", innermost first. */
static void put_stack(FILE *file, const struct pa_report *r, uint32_t step)
{
	const struct pa_names *names = &r->names;
	char *text = NULL;
	size_t length = 0;
	FILE *memory = open_memstream(&text, &length);

	for (uint32_t i = step; memory && i; i = names->steps[i].parent) {
		const struct pa_call *call =
			&names->calls[names->steps[i].call];
		const struct pa_name *file_name = &names->names[call->file];
		const struct pa_name *function = &names->names[call->function];

		fwrite(function->bytes, 1, function->length, memory);
		fputc(' ', memory);
		fwrite(file_name->bytes, 1, file_name->length, memory);
		fprintf(memory, ":%" PRIu32 "%s", call->line,
			names->steps[i].parent ? ";" : "");
	}
	if (memory && !fclose(memory))
		pa_view_csv_field(file, text, length);
	free(text);
}

static void put_key(FILE *file, const struct pa_report *r,
		    const struct pa_row *row)
{
	const char *special = pa_special_name(row->special);
	enum pa_group_by by = r->question.group_by;

	if (special) {
		pa_view_csv_field(file, special, strlen(special));
		if (by == PA_BY_LINE)
			fputs(",,", file);
		else if (by == PA_BY_FUNCTION)
			fputc(',', file);
	} else if (by == PA_BY_THREAD) {
		fprintf(file, "%" PRIu32, row->number);
	} else if (by == PA_BY_DOMAIN) {
		fputs(pa_domain_words[row->number], file);
	} else if (by == PA_BY_TRACEBACK) {
		put_stack(file, r, row->step);
	} else {
		put_name(file, r, row->file);
		if (by == PA_BY_LINE)
			fprintf(file, ",%" PRIu32, row->line);
		if (by != PA_BY_FILE) {
			fputc(',', file);
			put_name(file, r, row->function);
		}
	}
}

int pa_view_csv(const struct pa_view *view, const struct pa_report *report)
{
	static const char *const heads[] = {
		[PA_BY_LINE] = "file,line,function",
		[PA_BY_FUNCTION] = "file,function", [PA_BY_FILE] = "file",
		[PA_BY_TRACEBACK] = "stack", [PA_BY_THREAD] = "thread",
		[PA_BY_DOMAIN] = "domain",
	};

	fprintf(view->file, "%s,bytes,bytes_low,bytes_high,objects,"
		"objects_low,objects_high,samples,share\r\n",
		heads[report->question.group_by]);
	for (uint32_t i = 0; i < report->n_shown; i++) {
		const struct pa_row *row = &report->rows[i];

		put_key(view->file, report, row);
		fprintf(view->file, ",%.15g,%.15g,%.15g,%.15g,%.15g,%.15g,"
			"%" PRIu64 ",%.6g\r\n", row->bytes.estimate,
			row->bytes.low, row->bytes.high,
			row->objects.estimate, row->objects.low,
			row->objects.high, row->sum.samples, row->share);
	}
	return 0;
}
