/* SPDX-License-Identifier: MIT
 *
 * To be preloaded: a thread called pyattach is slow to give a semaphore back.
 * The locks of Python before 3.13 are semaphores; a fork that does not wait
 * for what our thread holds leaves the child without it for ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <semaphore.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* in every C library that a target may have */
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");

int sem_post(sem_t *semaphore)
{
	const struct timespec pause = { .tv_nsec = 3000000 };
	int (*post)(sem_t *) = (int (*)(sem_t *))dlsym(RTLD_NEXT, "sem_post");
	char name[16] = "";

	prctl(PR_GET_NAME, name);
	if (strcmp(name, "pyattach") == 0)
		nanosleep(&pause, NULL);
	return post(semaphore);
}
