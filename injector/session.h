/* SPDX-License-Identifier: MIT
 *
 * One attach under way: what attach.c prepares, search.c commits and answer.c
 * waits for.  Internal to the injector.
 */
#ifndef PA_INJECTOR_SESSION_H
#define PA_INJECTOR_SESSION_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "injector/arch.h"
#include "injector/injector.h"
#include "injector/memory.h"
#include "injector/modules.h"
#include "injector/place.h"
#include "injector/safepoint.h"
#include "injector/threads.h"

struct pa_session {
	const struct pa_target *target;
	const struct pa_attach_options *options;
	struct pa_attach_result *result;
	struct pa_diag *diag;
	uint64_t started_ns, deadline_ns;	/* CLOCK_MONOTONIC */
	sigset_t old_mask;	/* signals are blocked all the time */
	int dir;		/* /proc/PID */
	int mem;		/* /proc/PID/mem */
	struct pa_memory memory;
	struct pa_modules modules;
	struct pa_safepoint *safe;
	struct pa_place place;
	struct pa_block block;
	uint64_t cave;
	struct pa_attempt attempt;	/* the last one */
	pid_t confined;		/* a thread that may not start ours, or 0 */
	const char *confined_call;	/* which call its filters forbid */
};

uint64_t pa_session_now(void);

/* Tell a step to who wants to know. */
void pa_session_step(const struct pa_session *session, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Has the user asked us to end? */
bool pa_session_is_interrupted(const struct pa_session *session);
/* If so, while the process is untouched: PA_E_FAILED with a text, else 0. */
int pa_session_check_interrupted(const struct pa_session *session);

/* 0 while the process of the session lives, else PA_E_EXITED with a text. */
int pa_session_check_alive(const struct pa_session *session);

/* Wait a while, or until a signal that asks us to end. */
void pa_session_sleep(const struct pa_session *session, uint64_t ns);

/* (Re)read the target's modules and all that hangs on them. */
int pa_session_load(struct pa_session *session);

/* attach.c: a new address for the stub's mapping, into the block. */
int pa_session_choose_scratch(struct pa_session *session);

/* memfd.c: have the target make a memfd, and fill it. */
int pa_session_place_in_memfd(struct pa_session *session);

/* attach.c: where the stub goes, in code that is never unloaded. */
int pa_session_find_cave(struct pa_session *session);

/* attach.c: dlopen and the like of the modules, into the block. */
int pa_session_find_loader(struct pa_session *session);

/* search.c: find a safe point before deadline and commit session->block. */
int pa_session_commit(struct pa_session *session, uint64_t deadline_ns);

/*
 * filters.c: the seccomp filters of all threads, for what our hooks do in
 * them.  PA_E_SECCOMP; else session->confined and the payload's options.
 */
int pa_session_judge_filters(struct pa_session *session);

/* The number of filters over a thread and one more; 0 for none, INT_MAX for
 * strict mode. */
int pa_session_count_filters(const struct pa_session *session, pid_t tid);

/* search.c: one attempt that commits nothing; 1: go on, else an error. */
int pa_session_look(struct pa_session *session, struct pa_attempt *attempt);

/* answer.c: wait for the end of a stub that does not start the payload. */
int pa_session_wait_stub(struct pa_session *session,
			 struct pa_scratch *scratch);

/* answer.c: wait for the payload whose directory shows our ticket. */
int pa_session_wait_payload(struct pa_session *session, uint64_t address);

/* answer.c: wait for stub and payload; fills result->directory. */
int pa_session_wait_answer(struct pa_session *session);

#endif /* PA_INJECTOR_SESSION_H */
