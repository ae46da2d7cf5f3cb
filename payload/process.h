/* SPDX-License-Identifier: MIT
 *
 * What /proc says about the process that we live in.  Opens a file for a
 * moment; 0 where there is no /proc or no descriptor is left.  Any thread.
 */
#ifndef PA_PAYLOAD_PROCESS_H
#define PA_PAYLOAD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

uint64_t pa_process_rss(void);		/* bytes */
uint64_t pa_process_start_time(void);	/* field 22 of stat, clock ticks */
uint32_t pa_process_coredump_filter(void);
/* The threads of the process, ours among them; 0 where it is not known. */
uint64_t pa_process_threads(void);
/* No thread but ours and one of the target's; true where it is not known. */
bool pa_process_alone(void);
void pa_process_boot_id(uint8_t id[16]);

/* Is the module that begins at `base` the program itself? */
bool pa_process_in_executable(const void *base);

#endif /* PA_PAYLOAD_PROCESS_H */
