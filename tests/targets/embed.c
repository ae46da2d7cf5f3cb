/* SPDX-License-Identifier: MIT
 *
 * A program that is no Python by itself: it loads a libpython so that nobody
 * else sees its symbols (RTLD_LOCAL), as plugins do, and runs a script in it.
 * embed LIBPYTHON SCRIPT [ARGUMENT]...
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	void *library = argc > 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	int (*python)(int, char **);

	if (library)
		*(void **)&python = dlsym(library, "Py_BytesMain");
	if (!library || !python) {
		fprintf(stderr, "embed: %s\n", argc > 2 ? dlerror() : "usage");
		return 1;
	}
	return python(argc - 1, argv + 1);
}
