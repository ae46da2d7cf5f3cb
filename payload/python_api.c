/* SPDX-License-Identifier: MIT
 *
 * CPython found by name: its functions, its version, where it is loaded.
 * Nothing here knows an offset (python_layout.c) or runs Python code.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* RTLD_DEFAULT, dladdr, dl_iterate_phdr */
#endif
#include "payload/python.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "common/error.h"
#include "payload/python_calls.h"
#include "payload/python_layout.h"

struct pa_python_api pa_python_api;
struct pa_python_calls pa_python_calls;

static void *handle;	/* where to look names up */
static const void *base;

/* ---- the library ---- */

static int find_libpython(struct dl_phdr_info *info, size_t size, void *path)
{
	const char *name = info->dlpi_name, *slash = strrchr(name, '/');

	(void)size;
	if (strncmp(slash ? slash + 1 : name, "libpython3.", 11) != 0 ||
	    strlen(name) >= 4096)
		return 0;
	memcpy(path, name, strlen(name) + 1);
	return 1;
}

/* Global scope first; an embedder may have loaded libpython RTLD_LOCAL.  The
 * handle is kept: our hooks stay in that library's tables. */
static bool choose_handle(void)
{
	static char path[4096];

	handle = RTLD_DEFAULT;
	if (dlsym(handle, "Py_GetVersion"))
		return true;
	if (!dl_iterate_phdr(find_libpython, path))
		return false;
	handle = dlopen(path, RTLD_NOLOAD | RTLD_LAZY);
	return handle && dlsym(handle, "Py_GetVersion");
}

static void *find(const char *name, const char *older)
{
	void *address = dlsym(handle, name);

	if (!address && *older)
		address = dlsym(handle, older);
	return address;
}

static void find_calls(void)
{
	struct pa_python_calls *c = &pa_python_calls;
	struct pa_python_api *a = &pa_python_api;

	/* a function's address through the bytes of the pointer: ISO C knows
	 * no cast from void * */
#define FIND(member, name, older) do {					\
	void *address = find(name, older);				\
	memcpy(&(member), &address, sizeof(address));			\
} while (0)
#define C(member, result, parameters, name, older) \
	FIND(c->member, name, older);
	PA_PYTHON_CALLS(C)
#undef C
	FIND(a->get_allocator, "PyMem_GetAllocator", "");
	FIND(a->set_allocator, "PyMem_SetAllocator", "");
	FIND(a->allocator_name, "_PyMem_GetCurrentAllocatorName", "");
	FIND(a->add_pending_call, "Py_AddPendingCall", "");
	FIND(a->is_initialized, "Py_IsInitialized", "");
	FIND(a->is_finalizing, "Py_IsFinalizing", "_Py_IsFinalizing");
#undef FIND
	c->runtime = find("_PyRuntime", "");
	c->code_type = find("PyCode_Type", "");
	c->frame_type = find("PyFrame_Type", "");
	c->none = find("_Py_NoneStruct", "");
}

/* What every supported version exports. */
static bool complete(void)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const struct pa_python_api *a = &pa_python_api;

	return a->get_allocator && a->set_allocator && a->add_pending_call &&
	       a->is_initialized && a->is_finalizing && c->runtime &&
	       c->code_type && c->thread_unchecked && c->thread_of_gilstate &&
	       c->eval_frame && c->frame_line && c->interpreter_main &&
	       c->thread_first && c->thread_next && c->thread_new &&
	       c->gil_ensure &&
	       c->gil_release && c->thread_save && c->thread_restore &&
	       c->code_empty && c->code_line && c->attribute &&
	       c->text && c->encoded && c->bytes_data && c->bytes_size &&
	       c->as_long && c->keep && c->forget &&
	       c->frame_type && c->none && c->error_clear;
}

/* ---- the version ---- */

static unsigned number(const char **text)
{
	unsigned value = 0;

	while (**text >= '0' && **text <= '9' && value < 255)
		value = value * 10 + (unsigned)(*(*text)++ - '0');
	return value < 255 ? value : 255;
}

/* "3.13.0rc2+ (main, ...": as PY_VERSION_HEX. */
static uint32_t parse_version(const char *text)
{
	uint32_t version = number(&text) << 24, level = 0xf, serial = 0;

	if (*text == '.') {
		text++;
		version |= number(&text) << 16;
	}
	if (*text == '.') {
		text++;
		version |= number(&text) << 8;
	}
	if (*text == 'a' || *text == 'b')
		level = *text == 'a' ? 0xa : 0xb;
	else if (text[0] == 'r' && text[1] == 'c')
		level = 0xc, text++;
	if (level != 0xf) {
		text++;
		serial = number(&text) & 0xf;
	}
	return version | level << 4 | serial;
}

static uint32_t read_version(void)
{
	const uint32_t *exported = dlsym(handle, "Py_Version");

	if (exported)
		return *exported;
	return parse_version(pa_python_calls.get_version());
}

/* ---- contract ---- */

int pa_python_init(void)
{
	void *address;
	Dl_info where;
	int error;

	if (!choose_handle())
		return PA_E_NOT_PYTHON;
	find_calls();
	error = pa_layout_pick(read_version(), pa_python_calls.runtime);
	if (error)
		return error;
	if (!complete())
		return PA_E_NOT_PYTHON;
	if (pa_python_api.is_finalizing())
		return PA_E_FINALISING;
	if (!pa_python_api.is_initialized())
		return PA_E_NOT_READY;
	memcpy(&address, &pa_python_api.set_allocator, sizeof(address));
	if (dladdr(address, &where))
		base = where.dli_fbase;
	return 0;
}

uint32_t pa_python_version(void)
{
	return pa_layout.version;
}

bool pa_python_free_threaded(void)
{
	return pa_layout.free_threaded;
}

const void *pa_python_base(void)
{
	return base;
}
