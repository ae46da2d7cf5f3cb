/* SPDX-License-Identifier: MIT
 *
 * The walk of a thread's Python frames, for frame objects (up to 3.10) and
 * interpreter frames (3.11 on).  Must not follow a pointer that a live frame
 * cannot have: foreign owners, None and dying code objects are passed over.
 */
#include "payload/python_calls.h"
#include "payload/python_walk.h"

/* Frames passed over that a stack may have besides those kept. */
#define PASSED_MAX 256

const char *pa_frames_innermost(const char *thread)
{
	const struct pa_layout *l = &pa_layout;
	const char *holder;

	if (l->thread_cframe == PA_NONE)
		return pa_field_pointer(thread, l->thread_frame);
	holder = pa_field_pointer(thread, l->thread_cframe);
	return holder ? pa_field_pointer(holder, l->cframe_frame) : NULL;
}

/* A code object that may be read: a live one of the right type.  While one
 * is being destroyed a weak reference's callback may run and allocate. */
static bool usable_code(const char *code)
{
	const struct pa_layout *l = &pa_layout;

	return code &&
	       pa_field_pointer(code, l->object_type) ==
	       pa_python_calls.code_type &&
	       (l->object_references == PA_NONE ||
		pa_field_int(code, l->object_references) != 0);
}

/* Where the bytecode that a frame runs begins. */
static const char *bytecode(const char *frame, const char *code)
{
	const struct pa_layout *l = &pa_layout;
	const char *copies;

	if (l->code_tlbc == PA_NONE)
		return code + l->code_code;
	/* a count, then one pointer a thread-local copy */
	copies = pa_field_pointer(code, l->code_tlbc);
	return pa_field_pointer(copies, 8 + 8 *
			(uint32_t)pa_field_int(frame, l->frame_tlbc));
}

/* The instruction of a frame.  False: the frame is not complete yet, its
 * caller still prepares it and Python does not show it. */
static bool find_place(const char *frame, const char *code, int32_t *place)
{
	const struct pa_layout *l = &pa_layout;
	int64_t bytes;

	if (l->place != PA_PLACE_POINTER) {
		int32_t last = pa_field_int(frame, l->frame_place);

		*place = last < 0 ? -1 :
			 l->place == PA_PLACE_UNITS ? last * 2 : last;
		return true;
	}
	bytes = pa_field_pointer(frame, l->frame_place) -
		bytecode(frame, code);
	*place = bytes < 0 ? -1 : (int32_t)(bytes / 2);
	return (uint8_t)frame[l->frame_owner] == l->owner_generator ||
	       bytes / 2 >= pa_field_int(code, l->code_traceable);
}

static bool read_frame(const char *frame, struct pa_python_frame *out)
{
	const struct pa_layout *l = &pa_layout;
	uintptr_t code;

	if (l->frame_owner != PA_NONE &&
	    (uint8_t)frame[l->frame_owner] >= l->owner_native)
		return false;
	code = (uintptr_t)pa_field_pointer(frame, l->frame_code) &
	       ~(uintptr_t)l->code_tag;
	out->code = (const char *)code;
	return usable_code(out->code) &&
	       find_place(frame, out->code, &out->place);
}

unsigned pa_frames_walk(const char *thread, struct pa_python_frame *frames,
			unsigned max, bool *deeper)
{
	const char *frame = pa_frames_innermost(thread);
	unsigned kept = 0, steps = 0;
	struct pa_python_frame one;

	*deeper = false;
	for (; frame; frame = pa_field_pointer(frame, pa_layout.frame_previous)) {
		if (++steps > 2 * max + PASSED_MAX) {
			*deeper = true;
			break;
		}
		if (!read_frame(frame, &one))
			continue;
		if (kept == max) {
			*deeper = true;
			break;
		}
		frames[kept++] = one;
	}
	return kept;
}
