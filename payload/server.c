/* SPDX-License-Identifier: MIT
 *
 * The server's loop: who is ready, who is new, is it time to leave.  See
 * server.h; it must not take the GIL, block on a client or believe that a
 * descriptor's number is still ours.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "common/error.h"
#include "payload/hooks.h"
#include "payload/life.h"
#include "payload/server.h"
#include "payload/server_internal.h"
#include "payload/store.h"
#include "payload/sys.h"
#include "payload/threads.h"

#define IDLE_MS 5000		/* then look whether the descriptors live */
#define PUBLISH_MS IDLE_MS	/* the totals in memory are never older */
#define BUSY_MS 250		/* with clients: their time limits */
#define BACK_OFF_NS 200000000ull	/* no descriptor was left */
#define BLIND_MS 50		/* where poll() does not work */
#define LAST_ANSWER_MS 1000
#define RETRY_NS 1000000000ull	/* a lost socket that cannot be made anew */

/* Two connected sockets, not an eventfd: all of those have one inode, and one
 * of the target's under our number would pass for ours. */
static struct pa_owned waker = PA_OWNED_NONE, woken = PA_OWNED_NONE;
static struct pa_client clients[PA_WIRE_CLIENTS_MAX];
static bool clients_ready;	/* their descriptors are set to none */
static uint64_t accept_after_ns, reopen_after_ns;
static uint64_t published_ns;	/* when the directory got the exact totals */

static uint64_t now_ns(void)
{
	return pa_clock_ns(CLOCK_MONOTONIC);
}

/* ---- open and close ---- */

static bool can_be_woken(void)
{
	return pa_owned_good(&waker) && pa_owned_good(&woken);
}

static void close_waker(void)
{
	pa_owned_close(&waker);
	pa_owned_close(&woken);
}

static bool open_waker(void)
{
	int ends[2];
	bool good;

	close_waker();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       ends) != 0)
		return false;
	good = pa_owned_take(&woken, ends[0]);
	if (pa_owned_take(&waker, ends[1]) && good)
		return true;
	close_waker();
	return false;
}

int pa_server_open(struct pa_text *why)
{
	if (!clients_ready)
		for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++)
			clients[i].socket.fd = -1;
	clients_ready = true;
	accept_after_ns = reopen_after_ns = 0;
	if (!can_be_woken() && !open_waker()) {
		pa_text_string(why, "no file descriptor is left");
		return PA_E_NO_FD_LEFT;
	}
	if (pa_owned_good(&pa_listener))
		return 0;
	return pa_socket_open(why);
}

static void close_all(void)
{
	for (int i = 0; clients_ready && i < PA_WIRE_CLIENTS_MAX; i++)
		pa_client_close(&clients[i]);
	pa_owned_close(&pa_listener);
	close_waker();
}

void pa_server_close(void)
{
	pa_socket_unlink();
	close_all();
}

void pa_server_in_child(void)
{
	pa_socket_forget();
	for (int i = 0; clients_ready && i < PA_WIRE_CLIENTS_MAX; i++) {
		/* the image it was sent belongs to the parent's store */
		clients[i].image = NULL;
		pa_client_close(&clients[i]);
	}
	pa_owned_close(&pa_listener);
	close_waker();
}

void pa_server_unlink(void)
{
	pa_socket_unlink();
}

bool pa_server_wake(void)
{
	/* what is full wakes as well */
	return can_be_woken()
		&& (send(waker.fd, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0
		    || errno == EAGAIN);
}

/* ---- what requests need of the whole ---- */

static void publish_totals_locked(void)
{
	struct pa_directory *d = pa_store_directory();
	struct pa_totals totals;

	pa_threads_totals_locked(&totals);
	d->requested_bytes = totals.bytes;
	d->requested_calls = totals.calls;
	d->uncounted_max = totals.uncounted_max;
	d->requested_monotonic_ns = published_ns = now_ns();
}

void pa_server_refresh(void)
{
	uint32_t hooks = pa_hooks_state();

	pa_store_lock();
	/* also finds those whose mark was overwritten late */
	pa_threads_force_again_locked();
	publish_totals_locked();
	pa_store_directory()->hooks = hooks;
	pa_store_unlock();
}

/* Nobody asks: for the reader of a core. */
static void publish_if_old(void)
{
	if (now_ns() - published_ns < PUBLISH_MS * 1000000ull)
		return;
	pa_store_lock();
	publish_totals_locked();
	pa_store_unlock();
}

static int publish_in_ms(void)
{
	uint64_t age_ms = (now_ns() - published_ns) / 1000000;

	return age_ms < PUBLISH_MS ? (int)(PUBLISH_MS - age_ms) : 0;
}

static void write_last_counters(uint32_t hooks)
{
	struct pa_directory *d = pa_store_directory();

	pa_store_lock();
	publish_totals_locked();
	d->hooks = hooks;
	d->detached_realtime_ns = pa_clock_ns(CLOCK_REALTIME);
	d->state = PA_STATE_DETACHED;
	pa_store_seal_identity();
	pa_store_unlock();
}

void pa_server_detach(void)
{
	write_last_counters((uint32_t)pa_hooks_remove());
}

/* ---- one round ---- */

static void count_clients(void)
{
	uint32_t n = 0;

	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++)
		n += clients[i].socket.fd >= 0;
	pa_store_directory()->clients = n;
}

static struct pa_client *free_client(void)
{
	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++)
		if (clients[i].socket.fd < 0)
			return &clients[i];
	return NULL;
}

/* A place whose client has gone since the round began; NULL: none has. */
static struct pa_client *left_client(void)
{
	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++) {
		struct pollfd p = { clients[i].socket.fd, 0, 0 };

		if (poll(&p, 1, 0) != 1 || !(p.revents & POLLHUP))
			continue;
		pa_client_step(&clients[i], POLLIN | POLLHUP);
		if (clients[i].socket.fd < 0)
			return &clients[i];
	}
	return NULL;
}

static void accept_clients(void)
{
	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++) {
		int fd = accept4(pa_listener.fd, NULL, NULL,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct pa_client *client = free_client();

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE
			    || errno == ENOBUFS || errno == ENOMEM)
				accept_after_ns = now_ns() + BACK_OFF_NS;
			return;
		}
		if (!client)
			client = left_client();
		if (!client)
			pa_client_turn_away(fd);
		else
			pa_client_open(client, fd);
	}
	count_clients();
}

/* The target closed our numbers, or uses them itself by now; or somebody
 * tidied up where the socket's file lay. */
static void mend(void)
{
	char text[96];
	struct pa_text why;
	bool lost = pa_socket_lost();

	if (can_be_woken() && pa_owned_good(&pa_listener) && !lost)
		return;
	if (now_ns() < reopen_after_ns)
		return;
	reopen_after_ns = now_ns() + RETRY_NS;
	if (!can_be_woken())
		open_waker();
	if (!pa_owned_good(&pa_listener) || lost) {
		pa_owned_close(&pa_listener);
		pa_text_init(&why, text, sizeof text);
		pa_socket_open(&why);
	}
}

static int lower(int a, int b)
{
	return a < b ? a : b;
}

/*
 * poll() refuses more descriptors than the target's limit allows, be they
 * open or none; a target may have lowered it to nothing.  Then look at all of
 * them now and again: nothing that follows blocks.
 */
static void wait_for(struct pollfd *fds, unsigned count, int timeout_ms)
{
	if (poll(fds, count, timeout_ms) >= 0 || errno == EINTR)
		return;
	pa_sleep_ns(lower(timeout_ms, BLIND_MS) * 1000000l);
	for (unsigned i = 0; i < count; i++)
		fds[i].revents = fds[i].fd >= 0 ? fds[i].events : 0;
}

struct round {
	struct pollfd fds[2 + PA_WIRE_CLIENTS_MAX];
	int timeout;
};

static void prepare(struct round *round)
{
	bool accepting = now_ns() >= accept_after_ns;

	round->timeout = lower(publish_in_ms(), accepting
			       && can_be_woken()
			       && pa_owned_good(&pa_listener)
			       ? IDLE_MS : BUSY_MS);
	round->fds[0] = (struct pollfd){
		can_be_woken() ? woken.fd : -1, POLLIN, 0 };
	round->fds[1] = (struct pollfd){
		accepting && pa_owned_good(&pa_listener) ? pa_listener.fd : -1,
		POLLIN, 0 };
	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++) {
		struct pa_client *c = &clients[i];
		short events = pa_client_wants_to_send(c) ? POLLOUT : POLLIN;

		round->fds[2 + i] = (struct pollfd){ c->socket.fd, events, 0 };
		if (c->socket.fd >= 0)
			round->timeout = c->more ? 0
				: lower(round->timeout, BUSY_MS);
	}
}

static void drain_waker(void)
{
	char bytes[64];

	/* what does not fit wakes again */
	if (pa_owned_good(&woken)
	    && recv(woken.fd, bytes, sizeof bytes, MSG_DONTWAIT) < 0)
		return;
}

/* True if a client had the answer to DETACH prepared. */
static bool serve_round(void)
{
	struct round round;

	mend();
	prepare(&round);
	wait_for(round.fds, 2 + PA_WIRE_CLIENTS_MAX, round.timeout);
	publish_if_old();
	if (round.fds[0].revents)
		drain_waker();
	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++) {
		if (clients[i].socket.fd < 0)
			continue;
		pa_client_step(&clients[i], round.fds[2 + i].revents);
		if (clients[i].detach)
			return true;
	}
	if (round.fds[1].revents && pa_owned_good(&pa_listener))
		accept_clients();
	count_clients();
	return false;
}

/* ---- the end ---- */

static struct pa_client *detaching_client(void)
{
	for (int i = 0; i < PA_WIRE_CLIENTS_MAX; i++)
		if (clients[i].detach)
			return &clients[i];
	return NULL;
}

static bool asked_to_leave(void)
{
	return __atomic_load_n(&pa_life_leave, __ATOMIC_ACQUIRE) != 0;
}

/*
 * The socket goes first and the memory next, so that whoever reads the last
 * answer to its end finds nothing of ours but this thread's exit.
 */
static void end_service(void)
{
	struct pa_client *last = detaching_client();
	struct pa_owned socket = last->socket;
	uint64_t end = now_ns() + LAST_ANSWER_MS * 1000000ull;

	pa_socket_unlink();
	while (last->socket.fd >= 0 && pa_client_wants_to_send(last)
	       && now_ns() < end && !asked_to_leave()) {
		struct pollfd p = { socket.fd, POLLOUT, 0 };

		wait_for(&p, 1, 100);
		pa_client_step(last, p.revents);
	}
	last->detach = false;
	if (last->socket.fd >= 0)
		socket = last->socket;
	else
		socket.fd = -1;
	last->socket.fd = -1;
	close_all();
	pa_store_directory()->clients = 0;
	pa_store_stop();
	pa_life_ended();
	pa_owned_close(&socket);
}

void pa_server_run(void)
{
	for (;;) {
		if (asked_to_leave()) {
			drain_waker();
			pa_life_left();
			return;
		}
		if (serve_round()) {
			end_service();
			return;
		}
	}
}
