/* SPDX-License-Identifier: MIT
 *
 * Prints every field of the image with its offset and size, for comparison
 * with tests/abi.expected.  Derived from the field lists; adds no knowledge.
 */
#include <stddef.h>
#include <stdio.h>

#include "common/image.h"

#define ROW(type, name, unit)						\
	printf("  %-32s @%-4zu +%zu %s\n", #name, offsetof(STRUCT, name),	\
	       sizeof(type), unit);
#define PLAIN(name)							\
	printf("  %-32s @%-4zu +%zu\n", #name, offsetof(STRUCT, name),	\
	       sizeof(((STRUCT *)0)->name));

static void dump_records(void)
{
#define STRUCT struct pa_live
	printf("pa_live %zu\n", sizeof(STRUCT));
	PA_LIVE_FIELDS(ROW)
#undef STRUCT
#define STRUCT struct pa_site
	printf("pa_site %zu\n", sizeof(STRUCT));
	PA_SITE_FIELDS(ROW)
#undef STRUCT
#define STRUCT struct pa_node
	printf("pa_node %zu\n", sizeof(STRUCT));
	PA_NODE_FIELDS(ROW)
#undef STRUCT
#define STRUCT struct pa_frame
	printf("pa_frame %zu\n", sizeof(STRUCT));
	PA_FRAME_FIELDS(ROW)
#undef STRUCT
#define STRUCT struct pa_region
	printf("pa_region %zu\n", sizeof(STRUCT));
	PA_REGION_FIELDS(ROW)
#undef STRUCT
#define STRUCT struct pa_set
	printf("pa_set %zu\n", sizeof(STRUCT));
	PA_SET_FIELDS(ROW)
	PLAIN(region)
#undef STRUCT
}

#define STRUCT struct pa_directory
int main(void)
{
	printf("image %d.%d\n", PA_IMAGE_MAJOR, PA_IMAGE_MINOR);
	dump_records();
	printf("pa_directory %zu\n", sizeof(STRUCT));
	PLAIN(magic)
	PA_DIRECTORY_IDENTITY(ROW)
	PA_DIRECTORY_COUNTERS(ROW)
	PLAIN(payload_version)
	PLAIN(boot_id)
	PLAIN(socket)
	PLAIN(start_text)
	PLAIN(set)
	PLAIN(count)
	PLAIN(region_crc)
	PLAIN(snapshot_crc)
	PLAIN(reserved)
	PLAIN(requested_monotonic_ns)
	PLAIN(tail_crc)
	PLAIN(tail_reserved)
	return 0;
}
