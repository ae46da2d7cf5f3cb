/* SPDX-License-Identifier: MIT
 *
 * The words of the socket protocol (doc/PROTOCOL.md).
 *
 * A request is one line of text, at most PA_WIRE_REQUEST_MAX bytes with its
 * newline.  The answer is "OK <bytes>\n" and that many bytes, or
 * "ERR <word> <text>\n" with a word of errors.def.  A connection may send
 * several requests, one after the other.  STATUS and DETACH stay as they are
 * for ever.
 */
#ifndef PA_COMMON_WIRE_H
#define PA_COMMON_WIRE_H

#define PA_WIRE_REQUEST_MAX 256
#define PA_WIRE_CLIENTS_MAX 8
#define PA_WIRE_TIMEOUT_MS 10000	/* a silent or slow client is let go */

/* X(WORD, argument or "", what it does) */
#define PA_WIRE_REQUESTS(X)						\
	X(STATUS,   "",	     "lines `name value` about the payload")	\
	X(SNAPSHOT, "",	     "the image")				\
	X(RATE,	    "BYTES", "set the rate; the body is the old rate")	\
	X(DETACH,   "",	     "put the allocators back; the body is the last STATUS") \
	X(HELP,	    "",	     "this list")

/* The body of STATUS: one `name value` a line.  X(name), in this order; the
 * names are those of the directory's fields where there is one. */
#define PA_WIRE_STATUS(X)						\
	X(protocol) X(payload_version) X(pid) X(start_time) X(python_version)	\
	X(state) X(hooks) X(flags) X(rate) X(rate_effective) X(frames_max)	\
	X(memory_max) X(memory_used) X(attached_realtime_ns)		\
	X(uptime_ns) X(samples_live) X(samples_taken) X(samples_thinned)	\
	X(samples_freed) X(dropped) X(sites_evicted) X(stacks_full) X(rebuilds)	\
	X(requested_bytes) X(requested_calls) X(uncounted_max)		\
	X(estimated_bytes) X(estimated_bytes_variance)			\
	X(estimated_bytes_weight_max) X(estimated_objects)		\
	X(estimated_objects_variance) X(estimated_objects_weight_max)	\
	X(rss) X(rss_at_attach) X(gil_wait_ns) X(server_tid) X(clients)	\
	X(refused_clients) X(attach_generation) X(socket)

#define PA_WIRE_PROTOCOL 1

#endif /* PA_COMMON_WIRE_H */
