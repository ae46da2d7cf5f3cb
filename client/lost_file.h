/* SPDX-License-Identifier: MIT
 *
 * What is said when a file that is mapped is cut while it is read.
 */
#ifndef PA_CLIENT_LOST_FILE_H
#define PA_CLIENT_LOST_FILE_H

#include <stdbool.h>

/* From here on such a file ends the program with the status and the sentence
 * of PA_E_TRUNCATED, as an object where `json`.  Once in a program. */
void pa_lost_file_watch(bool json);

#endif /* PA_CLIENT_LOST_FILE_H */
