/* SPDX-License-Identifier: MIT
 *
 * What a request means and what its answer looks like; the words come from
 * common/wire.h.
 */
#include <string.h>

#include "common/error.h"
#include "common/image.h"
#include "payload/hooks.h"
#include "payload/process.h"
#include "payload/server_internal.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

#define RATE_MAX (1ull << 40)
#define FORCE_ROUNDS 8
#define MS 1000000l

/* ---- answers ---- */

/* "OK <length>\n" and the body. */
static void succeed(struct pa_client *client, const char *body,
		    size_t length)
{
	struct pa_text text;

	pa_text_init(&text, client->text, sizeof client->text);
	pa_text_string(&text, "OK ");
	pa_text_number(&text, length);
	pa_text_string(&text, "\n");
	if (body)
		pa_text_bytes(&text, body, length);
	client->text_length = text.length;
}

void pa_request_fail(struct pa_client *client, int error,
		     const char *object, size_t length)
{
	const struct pa_error_info *info = pa_error_info(error);
	struct pa_text text;

	pa_text_init(&text, client->text, sizeof client->text);
	pa_text_string(&text, "ERR ");
	pa_text_string(&text, info->word);
	pa_text_string(&text, " ");
	pa_text_string(&text, info->sentence);
	pa_text_string(&text, ": \"");
	pa_text_escaped(&text, object, length);
	pa_text_string(&text, "\"\n");
	client->text_length = text.length;
}

/* ---- STATUS ---- */

/* The directory's fields by name, and what STATUS has beside them. */
#define MEMBER(type, name, unit) type name;
struct view {
	uint32_t protocol;
	uint64_t uptime_ns;
	union {
		struct pa_directory directory;
		struct {
			uint8_t magic[16];
			PA_DIRECTORY_IDENTITY(MEMBER)
			PA_DIRECTORY_COUNTERS(MEMBER)
			char payload_version[16];
			uint8_t boot_id[16];
			char socket[112];
		};
	};
};
#undef MEMBER
_Static_assert(offsetof(struct view, socket)
	       - offsetof(struct view, directory)
	       == offsetof(struct pa_directory, socket), "same fields");

static void put_number(struct pa_text *out, const char *name, uint64_t value)
{
	if (strcmp(name, "flags") == 0)
		pa_text_hex(out, value);
	else
		pa_text_number(out, value);
}

static void put_double(struct pa_text *out, const char *name, double value)
{
	(void)name;
	pa_text_double(out, value);
}

static void put_string(struct pa_text *out, const char *name,
		       const char *value)
{
	(void)name;
	pa_text_escaped(out, value, strlen(value));
}

static void put_status(struct pa_text *out, const struct view *v)
{
#define X(name)								\
	pa_text_string(out, #name " ");					\
	_Generic((v->name), double: put_double, const char *: put_string, \
		 char *: put_string, default: put_number)		\
		(out, #name, v->name);					\
	pa_text_string(out, "\n");
	PA_WIRE_STATUS(X)
#undef X
}

static void status(struct pa_client *client)
{
	static struct view view;
	static char buffer[PA_CLIENT_TEXT - 32];
	struct pa_text body;

	view.directory = *pa_store_directory();
	view.protocol = PA_WIRE_PROTOCOL;
	view.uptime_ns = pa_clock_ns(CLOCK_MONOTONIC)
		- view.attached_monotonic_ns;
	view.rss = pa_process_rss();
	pa_text_init(&body, buffer, sizeof buffer);
	put_status(&body, &view);
	succeed(client, buffer, body.length);
}

/* ---- the requests ---- */

static void answer_status(struct pa_client *client, const char *argument,
			  size_t length)
{
	(void)argument;
	(void)length;
	pa_server_refresh();
	status(client);
}

static void answer_snapshot(struct pa_client *client, const char *argument,
			    size_t length)
{
	const void *image;
	size_t bytes;
	int error;

	(void)argument;
	(void)length;
	pa_server_refresh();
	pa_store_directory()->rss = pa_process_rss();
	error = pa_store_snapshot_begin(&image, &bytes);
	if (error) {
		pa_request_fail(client, error, "SNAPSHOT", 8);
		return;
	}
	succeed(client, NULL, bytes);
	client->image = image;
	client->image_length = bytes;
	client->image_sent = 0;
}

/*
 * Threads that count down at the old rate come to the slow path at once.
 * One that was between its load and its store has overwritten the mark: look
 * again until two rounds in a row found none.
 */
static void force_threads(void)
{
	unsigned again, quiet = 0;

	pa_store_lock();
	pa_threads_force_locked();
	pa_store_unlock();
	for (int i = 0; i < FORCE_ROUNDS && quiet < 2; i++) {
		pa_sleep_ns(MS);
		pa_store_lock();
		again = pa_threads_force_again_locked();
		pa_store_unlock();
		quiet = again ? 0 : quiet + 1;
	}
}

static void hook_free_for(uint64_t rate)
{
	struct pa_directory *d = pa_store_directory();

	if (rate >= PA_HOOKS_POOL_RATE || pa_hooks_free_hooked())
		return;
	pa_hooks_hook_free();
	if (!pa_hooks_free_hooked())
		return;
	pa_store_lock();
	d->flags |= PA_FLAG_FREE_HOOKED;
	pa_store_seal_identity();
	pa_store_unlock();
}

static void answer_rate(struct pa_client *client, const char *argument,
			size_t length)
{
	uint64_t rate, old = pa_store_directory()->rate;
	char buffer[32];
	struct pa_text body;

	if (pa_text_parse(argument, length, &rate) != 0 || rate < 1
	    || rate > RATE_MAX) {
		pa_request_fail(client, PA_E_BAD_RATE, argument, length);
		return;
	}
	hook_free_for(rate);
	pa_store_lock();
	pa_store_set_rate_locked(rate);
	pa_store_unlock();
	force_threads();
	pa_text_init(&body, buffer, sizeof buffer);
	pa_text_number(&body, old);
	pa_text_string(&body, "\n");
	succeed(client, buffer, body.length);
}

static void answer_detach(struct pa_client *client, const char *argument,
			  size_t length)
{
	(void)argument;
	(void)length;
	pa_server_detach();
	status(client);
	client->detach = true;
}

static void answer_help(struct pa_client *client, const char *argument,
			size_t length)
{
	static const char body[] =
#define X(word, argument, does) #word " " argument "\t" does "\n"
		PA_WIRE_REQUESTS(X)
#undef X
		;

	(void)argument;
	(void)length;
	succeed(client, body, sizeof body - 1);
}

/* ---- telling them apart ---- */

typedef void answer_function(struct pa_client *client, const char *argument,
			     size_t length);

#define answer_STATUS answer_status
#define answer_SNAPSHOT answer_snapshot
#define answer_RATE answer_rate
#define answer_DETACH answer_detach
#define answer_HELP answer_help

static const struct {
	const char *word;
	bool argument;
	answer_function *answer;
} requests[] = {
#define X(word, argument, does) { #word, sizeof argument > 1, answer_##word },
	PA_WIRE_REQUESTS(X)
#undef X
};

void pa_request_answer(struct pa_client *client, const char *line,
		       size_t length)
{
	for (unsigned i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		size_t n = strlen(requests[i].word);

		if (length < n || memcmp(line, requests[i].word, n) != 0)
			continue;
		if (!requests[i].argument && length == n) {
			requests[i].answer(client, line + n, 0);
			return;
		}
		if (requests[i].argument && length > n && line[n] == ' ') {
			requests[i].answer(client, line + n + 1,
					   length - n - 1);
			return;
		}
	}
	pa_request_fail(client, PA_E_BAD_REQUEST, line, length);
}
