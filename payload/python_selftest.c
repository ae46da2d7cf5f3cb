/* SPDX-License-Identifier: MIT
 *
 * Is our reading of this interpreter right?  With the GIL held, the frames of
 * other threads as pa_frames_walk sees them are compared with what the public
 * API says.  No Python code runs: the cyclic collector is off meanwhile (the
 * API makes frame objects from 3.11 on), and nothing that is let go here was
 * the last reference to something of the target's.
 */
#include "payload/python.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "common/error.h"
#include "payload/python_calls.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"

#define THREADS_MAX 64u
#define FRAMES_MAX 32u
#define SOUND_MAX 16u	/* frames looked at with care ... */
#define SOUND_THREADS 4u	/* ... in so many threads */
#define TIME_MAX 20000000ull	/* ns; what was compared by then counts */

static struct pa_python_frame ours[FRAMES_MAX];

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

/* ---- one frame ---- */

/* The instruction, as the frame's attribute tells it: in bytes. */
static bool same_place(void *frame, int32_t place, long *last)
{
	const struct pa_python_calls *c = &pa_python_calls;
	void *number = c->attribute(frame, "f_lasti");

	if (!number) {
		c->error_clear();
		return false;
	}
	*last = c->as_long(number);
	c->forget(number);
	if (place > 0 && pa_layout.place == PA_PLACE_POINTER)
		place *= 2;
	return (*last < 0 ? -1 : *last) == place;
}

static const char *compare_frame(void *frame, void *code,
				 const struct pa_python_frame *own)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const char *field;
	uint32_t line;
	long last;

	if (code != own->code)
		return "code object";
	field = pa_compare_code(code);
	if (field)
		return field;
	if (!same_place(frame, own->place, &last))
		return "instruction";
	/* the line of a traced frame may be what its tracer has set */
	line = pa_code_line(own->code, own->place);
	if (pa_known_line(c->frame_line(frame)) != line &&
	    pa_known_line(c->code_line(code, (int)last)) != line)
		return "line";
	return NULL;
}

/* ---- frames by the API; 3.8 lacks it, but its frames are objects ---- */

static void *first_frame(void *thread)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const char *frame;

	if (c->thread_frame)
		return c->thread_frame(thread);
	frame = pa_frames_innermost(thread);
	if (frame)
		c->keep((void *)frame);
	return (void *)frame;
}

static void *code_of(void *frame)
{
	const struct pa_python_calls *c = &pa_python_calls;

	return c->frame_code ? c->frame_code(frame) :
			       c->attribute(frame, "f_code");
}

static void *caller_of(void *frame)
{
	const struct pa_python_calls *c = &pa_python_calls;
	void *back;

	if (c->frame_back)
		return c->frame_back(frame);
	back = c->attribute(frame, "f_back");
	if (back != c->none)
		return back;
	c->forget(back);
	return NULL;
}

/* ---- one thread ---- */

static bool is_type(const char *object, const char *type)
{
	const char *found;

	return pa_safe_read(object + pa_layout.object_type, &found,
			    sizeof(found)) && found == type;
}

/* Does this look like a frame, as far as can be seen without a bad read? */
static bool frame_is_sound(const char *frame)
{
	const struct pa_layout *l = &pa_layout;
	uint8_t owner = 0;
	uintptr_t code;

	if (!pa_safe_read(frame + l->frame_code, &code, sizeof(code)))
		return false;
	if (l->frame_owner != PA_NONE &&
	    !pa_safe_read(frame + l->frame_owner, &owner, sizeof(owner)))
		return false;
	if (l->place != PA_PLACE_POINTER &&
	    !is_type(frame, pa_python_calls.frame_type))
		return false;
	code &= ~(uintptr_t)l->code_tag;
	return is_type((const char *)code, pa_python_calls.code_type) ||
	       (l->frame_owner != PA_NONE && owner >= l->owner_native);
}

/*
 * Before frames are followed as the layout says: a build with other structures
 * is found out here without a bad read.
 */
static bool chain_is_sound(const char *thread)
{
	const struct pa_layout *l = &pa_layout;
	bool indirect = l->thread_cframe != PA_NONE;
	const char *frame = thread;

	if (indirect && !pa_safe_read(thread + l->thread_cframe, &frame,
				      sizeof(frame)))
		return false;
	if (frame && !pa_safe_read(frame + (indirect ? l->cframe_frame :
					    l->thread_frame),
				   &frame, sizeof(frame)))
		return false;
	for (unsigned i = 0; frame && i < SOUND_MAX; i++)
		if (!frame_is_sound(frame) ||
		    !pa_safe_read(frame + l->frame_previous, &frame,
				  sizeof(frame)))
			return false;
	return true;
}

/* 3.11 links a thread state before it fills it, without the GIL: such a one
 * is not for the API.  Ours is whole: where it looks half made, the layout is
 * wrong. */
static bool half_made(void *thread)
{
	uint32_t offset = pa_layout.thread_cframe;

	return offset != PA_NONE && !pa_field_pointer(thread, offset);
}

static const char *compare_thread(void *thread, bool careful,
				  unsigned *compared)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const char *field = NULL;
	unsigned count, i = 0;
	void *frame, *back, *code;
	bool deeper;

	if (careful && !chain_is_sound(thread))
		return "list";
	if (half_made(thread))
		return NULL;
	count = pa_frames_walk(thread, ours, FRAMES_MAX, &deeper);
	for (frame = first_frame(thread); frame && i < count && !field;
	     frame = back, i++) {
		code = code_of(frame);
		field = compare_frame(frame, code, &ours[i]);
		if (code)
			c->forget(code);
		back = caller_of(frame);
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

	if (own && (uint64_t)pa_field_long(own, pa_layout.thread_id) !=
		   (uint64_t)pthread_self())
		return "thread";
	if (own && half_made(own))
		return "list";
	for (unsigned i = 0; thread && i < THREADS_MAX && !field; i++) {
		if (thread != own)
			field = compare_thread(thread, i < SOUND_THREADS,
					       compared);
		if (now() > end)
			break;
		thread = c->thread_next(thread);
	}
	return field;
}

/* ---- contract ---- */

bool pa_python_self_test(char *text, size_t text_size)
{
	const struct pa_python_calls *c = &pa_python_calls;
	struct text out = { text, text_size };
	const char *field = NULL;
	unsigned compared = 0;
	bool collecting;

	pa_compare_begin();
	collecting = c->gc_disable && c->gc_enable && c->gc_disable();
	pa_python_compare_first = !pa_layout.frames_have_api;
	if (!pa_layout.free_threaded)	/* else the others do not stand still */
		field = compare_threads(&compared);
	if (!field && !compared)
		field = pa_compare_probe();
	if (!field && !pa_compare_texts())
		field = "text";
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
