/* SPDX-License-Identifier: MIT
 *
 * The Python part of the payload as a library of its own, for
 * test_python_layer.py: a small store, hooks on all three domains that take
 * a stack for requests of marked sizes, and calls for ctypes.  Linked like
 * the payload (-nostdlib, no versioned symbols), so that one file runs under
 * every C library.  Not a profiler: no sampling, no bound on memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "payload/python.h"
#include "payload/python_calls.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"
#include "payload/store.h"

/* called by ctypes only: no header */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define API __attribute__((visibility("default")))

/* ---- a store that only grows ---- */

#define STRING_BYTES (512u << 20)
#define TABLE (1u << 20)
#define CACHE_BYTES (64u << 10)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *strings;
static uint32_t strings_used = 4;
static struct pa_frame *frames;
static struct pa_node *nodes;
static uint32_t frames_used = 1, nodes_used = 1;
static uint32_t *string_index, *frame_index, *node_index;
static void *cache;
static uint64_t generation = 1;
static uint32_t nodes_limit = TABLE - 1;
static unsigned long string_calls;

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static void store_init(void)
{
	if (strings)
		return;
	strings = map(STRING_BYTES);
	frames = map(TABLE * sizeof(*frames));
	nodes = map(TABLE * sizeof(*nodes));
	string_index = map(TABLE * 4);
	frame_index = map(TABLE * 4);
	node_index = map(TABLE * 4);
	cache = map(CACHE_BYTES);
}

static uint32_t hash(const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint32_t h = 2166136261u;

	while (n--)
		h = (h ^ *p++) * 16777619u;
	return h;
}

uint32_t pa_store_string_locked(const char *bytes, uint32_t length)
{
	uint32_t i = hash(bytes, length), at;

	string_calls++;
	for (;; i++) {
		at = string_index[i % TABLE];
		if (!at)
			break;
		if (memcmp(strings + at, &length, 4) == 0 &&
		    memcmp(strings + at + 4, bytes, length) == 0)
			return at;
	}
	if (strings_used + length + 8 > STRING_BYTES)
		return 0;
	at = strings_used;
	memcpy(strings + at, &length, 4);
	memcpy(strings + at + 4, bytes, length);
	strings_used += (4 + length + 3) & ~3u;
	string_index[i % TABLE] = at;
	return at;
}

uint32_t pa_store_frame_locked(uint32_t file, uint32_t function,
			       uint32_t line, uint32_t first_line)
{
	struct pa_frame f = { file, function, line, first_line };
	uint32_t i = hash(&f, sizeof(f)), at;

	for (;; i++) {
		at = frame_index[i % TABLE];
		if (!at)
			break;
		if (memcmp(&frames[at], &f, sizeof(f)) == 0)
			return at;
	}
	if (frames_used == TABLE - 1)
		return 0;
	frames[frames_used] = f;
	return frame_index[i % TABLE] = frames_used++;
}

uint32_t pa_store_node_locked(uint32_t parent, uint32_t frame)
{
	struct pa_node n = { parent, frame };
	uint32_t i = hash(&n, sizeof(n)), at;

	for (;; i++) {
		at = node_index[i % TABLE];
		if (!at)
			break;
		if (memcmp(&nodes[at], &n, sizeof(n)) == 0)
			return at;
	}
	if (nodes_used >= nodes_limit)
		return 0;
	nodes[nodes_used] = n;
	return node_index[i % TABLE] = nodes_used++;
}

uint64_t pa_store_generation_locked(void)
{
	return generation;
}

void *pa_store_code_cache(size_t *bytes)
{
	*bytes = CACHE_BYTES;
	return cache;
}

/* ---- hooks ---- */

struct event {
	uint64_t size, thread;
	uint32_t domain, node;
	bool full, held;
};

#define EVENTS (1u << 18)
static struct event events[EVENTS];
static uint32_t event_count;
static struct pa_allocator old[PA_DOMAIN_COUNT];
static size_t size_low, size_high;
static unsigned domains, frames_max = 128;
static unsigned long capture_ns, captures;
static int (*gil_check)(void);
static __thread int inside;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void take(int domain, size_t size)
{
	struct event event = { size, (uint64_t)pthread_self(),
			       (uint32_t)domain, 0, false, true };
	uint64_t start;

	if (size < size_low || size > size_high || !(domains >> domain & 1))
		return;
	if (gil_check)
		event.held = gil_check();
	pthread_mutex_lock(&lock);
	start = now();
	event.node = pa_python_capture_locked(domain, frames_max, &event.full);
	capture_ns += now() - start;
	captures++;
	if (event_count < EVENTS)
		events[event_count++] = event;
	pthread_mutex_unlock(&lock);
}

#define HOOKS(d)							\
static void *malloc_##d(void *ctx, size_t size)				\
{									\
	bool outer = !inside++;						\
	void *p = old[d].malloc(old[d].ctx, size);			\
									\
	(void)ctx;							\
	if (outer && p)							\
		take(d, size);						\
	inside--;							\
	return p;							\
}									\
static void *calloc_##d(void *ctx, size_t count, size_t size)		\
{									\
	bool outer = !inside++;						\
	void *p = old[d].calloc(old[d].ctx, count, size);		\
									\
	(void)ctx;							\
	if (outer && p)							\
		take(d, count * size);					\
	inside--;							\
	return p;							\
}									\
static void *realloc_##d(void *ctx, void *block, size_t size)		\
{									\
	bool outer = !inside++;						\
	void *p = old[d].realloc(old[d].ctx, block, size);		\
									\
	(void)ctx;							\
	if (outer && p)							\
		take(d, size);						\
	inside--;							\
	return p;							\
}									\
static void free_##d(void *ctx, void *block)				\
{									\
	(void)ctx;							\
	old[d].free(old[d].ctx, block);					\
}
HOOKS(0)
HOOKS(1)
HOOKS(2)

/* ---- for ctypes ---- */

API int pt_init(void)
{
	void *check = dlsym(RTLD_DEFAULT, "PyGILState_Check");

	memcpy(&gil_check, &check, sizeof(check));
	store_init();
	return pa_python_init();
}

#define NAME(name) #name,
API const char *pt_field_names[64] = { PA_LAYOUT_OFFSETS(NAME) };

/* Move an offset of the layout; false: the version has no such field. */
API int pt_shift_field(int index, int by)
{
	uint32_t *field[] = {
#define FIELD(name) &pa_layout.name,
		PA_LAYOUT_OFFSETS(FIELD)
	};

	if (*field[index] == PA_NONE)
		return 0;
	*field[index] += (uint32_t)by;
	return 1;
}

/* As if _PyRuntime were the bytes at `runtime`; spoils the layout. */
API int pt_pick(uint32_t version, const void *runtime)
{
	return pa_layout_pick(version, runtime);
}

/* Is a byte at the address readable?  process_vm_readv or the pipe. */
API int pt_readable(const void *address)
{
	char byte;

	return pa_safe_read(address, &byte, 1);
}

API uint32_t pt_version(void)
{
	return pa_python_version();
}

API const void *pt_base(void)
{
	return pa_python_base();
}

API int pt_self_test(char *text, size_t size)
{
	return pa_python_self_test(text, size);
}

API int pt_stacks_on(void)
{
	return pa_python_stacks_on();
}

API void pt_install(void)
{
	struct pa_allocator ours[PA_DOMAIN_COUNT] = {
		{ NULL, malloc_0, calloc_0, realloc_0, free_0 },
		{ NULL, malloc_1, calloc_1, realloc_1, free_1 },
		{ NULL, malloc_2, calloc_2, realloc_2, free_2 },
	};

	for (int d = 0; d < PA_DOMAIN_COUNT; d++) {
		pa_python_api.get_allocator(d, &old[d]);
		ours[d].ctx = old[d].ctx;
		pa_python_api.set_allocator(d, &ours[d]);
	}
}

API void pt_uninstall(void)
{
	for (int d = 0; d < PA_DOMAIN_COUNT; d++)
		pa_python_api.set_allocator(d, &old[d]);
}

/* Take stacks for requests of low .. high bytes of the domains in the mask. */
API void pt_watch(unsigned mask, size_t low, size_t high, unsigned depth)
{
	pthread_mutex_lock(&lock);
	domains = mask;
	size_low = low;
	size_high = high;
	frames_max = depth;
	pthread_mutex_unlock(&lock);
}

API void pt_reset(void)
{
	pthread_mutex_lock(&lock);
	event_count = 0;
	pthread_mutex_unlock(&lock);
}

API uint32_t pt_events(void)
{
	return event_count;
}

/* The store starts anew, indexes mean something else. */
API void pt_new_generation(void)
{
	pthread_mutex_lock(&lock);
	generation++;
	event_count = 0;
	frames_used = nodes_used = 1;
	strings_used = 4 * (uint32_t)(1 + generation % 7);
	memset(string_index, 0, TABLE * 4);
	memset(frame_index, 0, TABLE * 4);
	memset(node_index, 0, TABLE * 4);
	pthread_mutex_unlock(&lock);
}

API void pt_limit_nodes(uint32_t limit)
{
	nodes_limit = limit ? limit : TABLE - 1;
}

API unsigned long pt_string_calls(void)
{
	return string_calls;
}

API double pt_capture_mean_ns(void)
{
	double mean = captures ? (double)capture_ns / (double)captures : 0;

	capture_ns = captures = 0;
	return mean;
}

/* Compare the line of every instruction of a code object with the API's.
 * With the GIL. */
API unsigned pt_check_lines(char *code, int bytes, unsigned long *count)
{
	bool units = pa_layout.place == PA_PLACE_POINTER;
	unsigned wrong = 0;

	*count = 0;
	for (int at = -2; at < bytes; at += 2) {
		int place = at < 0 ? -1 : units ? at / 2 : at;
		int line = pa_python_calls.code_line(code, at < 0 ? -1 : at);

		wrong += pa_code_line(code, place) !=
			 (line > 0 ? (uint32_t)line : 0);
		++*count;
	}
	return wrong;
}

/* Random tables that end at an unreadable page: a parser that reads beyond
 * the end dies.  Returns a sum, so that nothing is optimised away. */
API uint64_t pt_fuzz_lines(uint64_t seed, unsigned rounds)
{
	const size_t page = 4096;
	uint8_t *room = map(2 * page);
	uint64_t sum = 0;

	if (mprotect(room + page, page, PROT_NONE) != 0)
		abort();
	while (rounds--) {
		size_t size = (seed >> 40) % 64;
		uint8_t *table = room + page - size;

		for (size_t i = 0; i < size; i++) {
			seed = seed * 6364136223846793005ull + 1;
			table[i] = (uint8_t)(seed >> 56);
		}
		seed = seed * 6364136223846793005ull + 1;
		for (int format = 0; format < 3; format++)
			sum += pa_lines_find((enum pa_line_format)format,
					     table, size, (int32_t)seed,
					     (int32_t)(seed >> 54) - 2);
	}
	munmap(room, 2 * page);
	return sum;
}

static uint64_t *out_word(uint64_t *out, uint64_t value)
{
	*out = value;
	return out + 1;
}

/* An event as 64-bit words: size, thread, domain, full + 2 * GIL held, then for each frame
 * from the innermost: file address and length, function likewise, line,
 * first line.  Returns the number of words. */
API uint32_t pt_event(uint32_t index, uint64_t *words, uint32_t room)
{
	const struct event *e = &events[index];
	uint64_t *out = words;

	out = out_word(out, e->size);
	out = out_word(out, e->thread);
	out = out_word(out, e->domain);
	out = out_word(out, e->full | (uint64_t)e->held << 1);
	for (uint32_t n = e->node; n && (uint32_t)(out - words) + 6 <= room;
	     n = nodes[n].parent) {
		const struct pa_frame *f = &frames[nodes[n].frame];
		uint32_t length;

		memcpy(&length, strings + f->file, 4);
		out = out_word(out, (uint64_t)(strings + f->file + 4));
		out = out_word(out, f->file ? length : 0);
		memcpy(&length, strings + f->function, 4);
		out = out_word(out, (uint64_t)(strings + f->function + 4));
		out = out_word(out, f->function ? length : 0);
		out = out_word(out, f->line);
		out = out_word(out, f->first_line);
	}
	return (uint32_t)(out - words);
}
