/* SPDX-License-Identifier: MIT
 *
 * Is our reading of this interpreter right?  With the GIL held, the frames of
 * other threads as pa_frames_walk sees them are compared with what the public
 * API says.  No Python code runs: the cyclic collector is off meanwhile (the
 * API makes frame objects from 3.11 on), and nothing that is let go here was
 * the last reference to something of the target's.
 */
#include "payload/python.h"

#include <string.h>
#include <time.h>

#include "common/error.h"
#include "payload/python_calls.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"

#define THREADS_MAX 64u
#define FRAMES_MAX 32u
#define TIME_MAX 20000000ull	/* ns; what was compared by then counts */

#define PROBE_FILE "<pyattach self-test>"
#define PROBE_NAME "probe"
#define PROBE_LINE 4711

static struct pa_python_frame ours[FRAMES_MAX];
static char name_buffer[PA_NAME_MAX];

/* ---- the text of a mismatch ---- */

struct text {
	char *at;
	size_t room;	/* with the final NUL */
};

static void add(struct text *text, const char *words)
{
	for (; *words && text->room > 1; words++, text->room--)
		*text->at++ = *words;
	if (text->room)
		*text->at = '\0';
}

static void add_number(struct text *text, unsigned long number)
{
	char digits[24], *p = digits + sizeof(digits);

	*--p = '\0';
	do
		*--p = (char)('0' + number % 10);
	while (number /= 10);
	add(text, p);
}

/* The API says -1 where a line is not known. */
static uint32_t known(int line)
{
	return line > 0 ? (uint32_t)line : 0;
}

/* ---- one code object ---- */

/* A str attribute against the str object that we read. */
static bool same_name(void *object, const char *attribute, const char *str)
{
	const struct pa_python_calls *c = &pa_python_calls;
	struct pa_characters characters = pa_name_characters(str);
	void *theirs = c->attribute(object, attribute), *encoded = NULL;
	uint32_t length;
	const char *name = pa_name_utf8(&characters, name_buffer, &length);
	bool same = false;

	if (theirs)
		encoded = c->encoded(theirs, "utf-8", "surrogatepass");
	if (encoded && length < PA_NAME_MAX - 3)
		same = c->bytes_size(encoded) == (ptrdiff_t)length &&
		       memcmp(c->bytes_data(encoded), name, length) == 0;
	else if (encoded)	/* cut: its length says enough */
		same = c->bytes_size(encoded) >= (ptrdiff_t)length;
	if (encoded)
		c->forget(encoded);
	if (theirs)
		c->forget(theirs);
	if (!theirs || !encoded)
		c->error_clear();
	return same;
}

static const char *compare_names(void *code)
{
	const struct pa_layout *l = &pa_layout;
	const char *name = l->qualified ? "co_qualname" : "co_name";

	if (!same_name(code, "co_filename",
		       pa_field_pointer(code, l->code_file)))
		return "file";
	if (!same_name(code, name, pa_field_pointer(code, l->code_name)))
		return "function";
	return NULL;
}

/* ---- one frame ---- */

/* A tracer may have set the line that the API tells; then the instruction
 * itself must agree. */
static bool same_instruction(void *frame, void *code,
			     const struct pa_python_frame *own, uint32_t line)
{
	const struct pa_python_calls *c = &pa_python_calls;
	void *number = c->attribute(frame, "f_lasti");
	long last, place = own->place;

	if (!number) {
		c->error_clear();
		return false;
	}
	last = c->as_long(number);
	c->forget(number);
	if (pa_layout.place == PA_PLACE_POINTER && place >= 0)
		place *= 2;
	return (last < 0 ? -1 : last) == place &&
	       known(c->code_line(code, (int)last)) == line;
}

/* The field that differs, or NULL. */
static const char *compare_frame(void *frame,
				 const struct pa_python_frame *own)
{
	const struct pa_python_calls *c = &pa_python_calls;
	void *code = c->frame_code(frame);
	const char *field = NULL;
	uint32_t line;

	if (code != own->code) {
		field = "code object";
	} else {
		line = pa_code_line(own->code, own->place);
		if (known(c->frame_line(frame)) != line &&
		    !same_instruction(frame, code, own, line))
			field = "line";
		else
			field = compare_names(code);
	}
	if (code)
		c->forget(code);
	return field;
}

/* ---- one thread ---- */

static const char *compare_thread(void *thread, unsigned *compared)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const char *field = NULL;
	unsigned count, i = 0;
	void *frame, *back;
	bool deeper;

	count = pa_frames_walk(thread, ours, FRAMES_MAX, &deeper);
	for (frame = c->thread_frame(thread); frame && i < count && !field;
	     frame = back, i++) {
		field = compare_frame(frame, &ours[i]);
		back = c->frame_back(frame);
		c->forget(frame);
	}
	if (!field && (i < count || (frame && !deeper)))
		field = "depth";
	if (frame)
		c->forget(frame);
	*compared += i;
	return field;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static const char *compare_threads(unsigned *compared)
{
	const struct pa_python_calls *c = &pa_python_calls;
	void *own = c->thread_unchecked();
	void *thread = c->thread_first(c->interpreter_main());
	uint64_t end = now() + TIME_MAX;
	const char *field = NULL;

	for (unsigned i = 0; thread && i < THREADS_MAX && !field; i++) {
		if (thread != own)
			field = compare_thread(thread, compared);
		if (now() > end)
			break;
		thread = c->thread_next(thread);
	}
	return field;
}

/* ---- no frame to compare ---- */

/* A code object of our own: names, first line and line table at least. */
static const char *compare_probe(void)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const char *field, *type;
	void *code = c->code_empty(PROBE_FILE, PROBE_NAME, PROBE_LINE);

	if (!code) {
		c->error_clear();
		return NULL;
	}
	type = pa_field_pointer(code, pa_layout.object_type);
	if (type != c->code_type)
		field = "type";
	else if (pa_code_line(code, -1) != PROBE_LINE ||
		 pa_code_line(code, 0) != known(c->code_line(code, 0)))
		field = "line";
	else
		field = compare_names(code);
	c->forget(code);
	return field;
}

/* ---- contract ---- */

/* Frames of other threads may be looked at: they stand still. */
static bool frames_comparable(void)
{
	return pa_layout.frames_have_api && !pa_layout.free_threaded &&
	       pa_python_calls.thread_frame && pa_python_calls.frame_code &&
	       pa_python_calls.frame_back;
}

bool pa_python_self_test(char *text, size_t text_size)
{
	const struct pa_python_calls *c = &pa_python_calls;
	struct text out = { text, text_size };
	const char *field = NULL;
	unsigned compared = 0;
	bool collecting;

	collecting = c->gc_disable && c->gc_enable && c->gc_disable();
	pa_python_compare_first = !pa_layout.frames_have_api;
	if (frames_comparable())
		field = compare_threads(&compared);
	if (!field && !compared)
		field = compare_probe();
	if (collecting)
		c->gc_enable();
	if (!field) {
		add(&out, "stacks verified on ");
		add_number(&out, compared);
		add(&out, " frames");
		return true;
	}
	add(&out, "stacks are off: the ");
	add(&out, field);
	add(&out, " of a frame differs from what Python says, at frame ");
	add_number(&out, compared);
	return false;
}
