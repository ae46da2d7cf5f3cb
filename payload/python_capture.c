/* SPDX-License-Identifier: MIT
 *
 * The Python stack of the calling thread as a node of the store: which
 * thread state is ours, the frame cache, the interning.  Runs inside an
 * allocator hook with the store lock held: no API that allocates, little of
 * the caller's stack (big buffers are static under that lock).
 */
#include "payload/python.h"

#include <pthread.h>

#include "common/image.h"
#include "payload/python_calls.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"
#include "payload/store.h"

#define FRAMES_MAX 1024u
#define TRUNCATED "<truncated>"

static bool stacks_on = true;
bool pa_python_compare_first;

/* All under the store lock. */
static struct pa_python_frame frames[FRAMES_MAX];
static char name_buffer[PA_NAME_MAX];

/* ---- the frame cache ---- */

/*
 * From what a frame shows (content hash of its code object and the
 * instruction) to its index in the store.  Keyed by content, never by an
 * address, so that an entry cannot become wrong; indexes change with the
 * store's generation, then the cache is emptied.
 */
struct cached {
	uint64_t key;		/* 0: free */
	uint32_t frame;
	uint32_t unused;
};

static struct cached *cache;
static uint32_t cache_mask;	/* entries - 1; 0: no cache */
static uint64_t cache_generation;
static bool cache_known;

static void cache_empty(uint64_t generation)
{
	size_t bytes = 0, entries = 1;

	cache = pa_store_code_cache(&bytes);
	while (cache && entries * 2 * sizeof(*cache) <= bytes &&
	       entries < 1u << 30)
		entries *= 2;
	cache_mask = entries > 1 ? (uint32_t)(entries - 1) : 0;
	if (cache_mask)
		memset(cache, 0, entries * sizeof(*cache));
	cache_generation = generation;
	cache_known = true;
}

/* The entry of a key: its own, or the one to overwrite (the second of two
 * neighbours, which is moved there from the first). */
static struct cached *cache_entry(uint64_t key, bool *hit)
{
	struct cached *pair = &cache[key >> 20 & cache_mask & ~1u];

	*hit = true;
	if (pair[0].key == key)
		return &pair[0];
	if (pair[1].key == key)
		return &pair[1];
	*hit = false;
	pair[1] = pair[0];
	return &pair[0];
}

/* ---- interning ---- */

/* A str object as a string of the store; false: no room. */
static bool intern_name(const char *text, uint32_t *string)
{
	struct pa_characters characters = pa_name_characters(text);
	uint32_t length;
	const char *bytes = pa_name_utf8(&characters, name_buffer, &length);

	*string = length ? pa_store_string_locked(bytes, length) : 0;
	return *string || !length;
}

static uint32_t intern_frame(const struct pa_python_frame *frame)
{
	const struct pa_layout *l = &pa_layout;
	int32_t first = pa_field_int(frame->code, l->code_first_line);
	uint32_t file, function;

	if (!intern_name(pa_field_pointer(frame->code, l->code_file), &file) ||
	    !intern_name(pa_field_pointer(frame->code, l->code_name),
			 &function))
		return 0;
	return pa_store_frame_locked(file, function,
				     pa_code_line(frame->code, frame->place),
				     first > 0 ? (uint32_t)first : 0);
}

static uint32_t find_frame(const struct pa_python_frame *frame)
{
	struct cached *entry;
	uint64_t key;
	bool hit;

	if (!cache_mask)
		return intern_frame(frame);
	key = pa_code_hash(frame->code) ^
	      (uint64_t)(uint32_t)frame->place * 0x9e3779b97f4a7c15ull;
	key = key ? key : 1;
	entry = cache_entry(key, &hit);
	if (hit)
		return entry->frame;
	entry->frame = intern_frame(frame);
	entry->key = entry->frame ? key : 0;
	return entry->frame;
}

/* The outer end of a stack that was cut. */
static uint32_t truncated_node(void)
{
	uint32_t name, frame;

	name = pa_store_string_locked(TRUNCATED, sizeof(TRUNCATED) - 1);
	frame = name ? pa_store_frame_locked(0, name, 0, 0) : 0;
	return frame ? pa_store_node_locked(0, frame) : 0;
}

static uint32_t intern_stack(unsigned count, bool deeper)
{
	uint32_t node = 0;

	if (deeper) {
		node = truncated_node();
		if (!node)
			return 0;
	}
	while (count) {
		uint32_t frame = find_frame(&frames[--count]);

		node = frame ? pa_store_node_locked(node, frame) : 0;
		if (!node)
			return 0;
	}
	return node;
}

/* ---- whose thread state ---- */

static bool is_own(const char *thread)
{
	return (uint64_t)pa_field_long(thread, pa_layout.thread_id) ==
	       (uint64_t)pthread_self();
}

/* A state that PyGILState remembers for this thread.  Without the GIL it is
 * safe to read as long as nobody frees thread states: not at the end. */
static const char *remembered(void)
{
	if (pa_python_api.is_finalizing())
		return NULL;
	return pa_python_calls.thread_of_gilstate();
}

static bool has_subinterpreters(void)
{
	const char *at = pa_python_calls.runtime + pa_layout.runtime_head;

	return pa_field_pointer(at, 0) != pa_field_pointer(at, 8);
}

/*
 * The getter of 3.12 and later tells our own state (NULL: detached).  The one
 * before tells who holds the GIL: in MEM and OBJ that is us; in RAW it may be
 * another thread, whose state may vanish while we look.
 */
static const char *own_thread(int domain)
{
	const char *current = pa_python_calls.thread_unchecked();
	const char *ours;
	uint64_t owner;

	/* a detached thread's copies of the bytecode may be freed by others */
	if (pa_layout.own_thread_state)
		return current || pa_layout.code_tlbc != PA_NONE ?
		       current : remembered();
	if (domain != PA_DOMAIN_RAW && current && is_own(current))
		return current;
	ours = remembered();
	if (ours == current || !ours || !current)
		return ours;
	/* in a sub-interpreter PyGILState knows the main one's state only */
	if (has_subinterpreters() &&
	    pa_safe_read(current + pa_layout.thread_id, &owner,
			 sizeof(owner)) && owner == (uint64_t)pthread_self())
		return current;
	return ours;
}

/* ---- contract ---- */

void pa_python_stacks_off(void)
{
	__atomic_store_n(&stacks_on, false, __ATOMIC_RELEASE);
}

bool pa_python_stacks_on(void)
{
	return __atomic_load_n(&stacks_on, __ATOMIC_ACQUIRE);
}

void pa_python_forget_locked(void)
{
	cache_known = false;
}

/* The one check that 3.8 allows: it has no API for other threads' frames,
 * but frames are objects there and asking for one's own allocates nothing. */
static bool first_agrees(const char *thread, unsigned count)
{
	const char *frame = pa_python_calls.eval_frame();

	if (frame != pa_frames_innermost(thread))
		return false;
	if (!frame || !count)
		return true;
	pa_python_compare_first = false;
	return (uint32_t)pa_python_calls.frame_line((void *)frame) ==
	       pa_code_line(frames[0].code, frames[0].place);
}

uint32_t pa_python_capture_locked(int domain, unsigned frames_max, bool *full)
{
	const char *thread;
	uint64_t generation;
	unsigned count;
	uint32_t node;
	bool deeper;

	*full = false;
	if (!pa_python_stacks_on())
		return 0;
	thread = own_thread(domain);
	if (!thread)
		return 0;
	if (frames_max > FRAMES_MAX)
		frames_max = FRAMES_MAX;
	count = pa_frames_walk(thread, frames, frames_max ? frames_max : 1,
			       &deeper);
	if (pa_python_compare_first && domain != PA_DOMAIN_RAW &&
	    thread == pa_python_calls.thread_unchecked() &&
	    !first_agrees(thread, count)) {
		pa_python_stacks_off();
		return 0;
	}
	if (!count)
		return 0;
	generation = pa_store_generation_locked();
	if (!cache_known || cache_generation != generation)
		cache_empty(generation);
	node = intern_stack(count, deeper);
	*full = !node;
	return node;
}
