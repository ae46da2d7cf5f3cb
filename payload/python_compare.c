/* SPDX-License-Identifier: MIT
 *
 * The self-test's comparisons below frames: strings, bytes, code objects, as
 * we read them and as the public API tells them.  Part of python_selftest.c's
 * work and bound by its rules.
 */
#include "payload/python_calls.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"

#define PROBE_FILE "<pyattach self-test>"
#define PROBE_NAME "probe"
#define PROBE_LINE 4711

/* So many strings are looked at with care; then the layout has proven right. */
#define LOOKS_MAX 64u

static char name_buffer[PA_NAME_MAX];
static unsigned looked;

void pa_compare_begin(void)
{
	looked = 0;
}

uint32_t pa_known_line(int line)
{
	return line > 0 ? (uint32_t)line : 0;
}

/* ---- one code object ---- */

/* May the characters be read where the layout says they are? */
static bool readable(const struct pa_characters *characters, ptrdiff_t utf8)
{
	size_t n = characters->length;
	const char *data = characters->data;
	char byte;

	if (n == 0 || n > (size_t)utf8)
		return n == 0;
	return ++looked > LOOKS_MAX ||
	       (pa_safe_read(data, &byte, 1) &&
		pa_safe_read(data + n * characters->size - 1, &byte, 1));
}

/* The text of a str object, ours against the API's. */
static bool same_text(void *str)
{
	const struct pa_python_calls *c = &pa_python_calls;
	struct pa_characters characters = pa_name_characters(str);
	void *encoded = c->encoded(str, "utf-8", "surrogatepass");
	bool same = false;
	const char *name;
	uint32_t length;

	if (!encoded) {
		c->error_clear();
		return false;
	}
	if (readable(&characters, c->bytes_size(encoded))) {
		name = pa_name_utf8(&characters, name_buffer, &length);
		/* a name that was cut: its length says enough */
		same = length >= PA_NAME_MAX - 3 ?
		       c->bytes_size(encoded) >= (ptrdiff_t)length :
		       c->bytes_size(encoded) == (ptrdiff_t)length &&
		       memcmp(c->bytes_data(encoded), name, length) == 0;
	}
	c->forget(encoded);
	return same;
}

/* A bytes object's size and data lie where we look for them. */
static bool same_bytes(void *bytes)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const struct pa_layout *l = &pa_layout;

	return pa_field_long(bytes, l->bytes_size) == c->bytes_size(bytes) &&
	       c->bytes_data(bytes) == (char *)bytes + l->bytes_data;
}

/* An attribute must be the very object that we find at the offset; only then
 * may that be read. */
static bool same_object(void *object, const char *attribute, uint32_t offset,
			bool (*same)(void *object))
{
	const struct pa_python_calls *c = &pa_python_calls;
	void *theirs = c->attribute(object, attribute);
	bool good;

	if (!theirs) {
		c->error_clear();
		return false;
	}
	good = theirs == pa_field_pointer(object, offset) && same(theirs);
	c->forget(theirs);
	return good;
}

const char *pa_compare_code(void *code)
{
	const struct pa_layout *l = &pa_layout;
	const char *name = l->qualified ? "co_qualname" : "co_name";
	const char *lines = l->line_format == PA_LINES_LNOTAB ?
			    "co_lnotab" : "co_linetable";

	if (!same_object(code, "co_filename", l->code_file, same_text))
		return "file";
	if (!same_object(code, name, l->code_name, same_text))
		return "function";
	if (!same_object(code, lines, l->code_lines, same_bytes))
		return "line table";
	return NULL;
}

/* ---- probes ---- */

/* Strings of all widths: the names that are compared may all be ASCII. */
bool pa_compare_texts(void)
{
	static const char *const probes[] = {
		"ascii", "latin \xc3\xa9", "wide \xe2\x82\xac",
		"wider \xf0\x9f\x90\x8d",
	};
	const struct pa_python_calls *c = &pa_python_calls;
	bool good = true;

	for (unsigned i = 0; i < sizeof(probes) / sizeof(*probes); i++) {
		void *text = c->text(probes[i]);

		if (!text) {
			c->error_clear();
			continue;
		}
		good = good && same_text(text);
		c->forget(text);
	}
	return good;
}

const char *pa_compare_probe(void)
{
	const struct pa_python_calls *c = &pa_python_calls;
	const char *field;
	void *code = c->code_empty(PROBE_FILE, PROBE_NAME, PROBE_LINE);

	if (!code) {
		c->error_clear();
		return NULL;
	}
	if (pa_field_pointer(code, pa_layout.object_type) != c->code_type)
		field = "type";
	else
		field = pa_compare_code(code);
	if (!field && (pa_code_line(code, -1) != PROBE_LINE ||
		       pa_code_line(code, 0) != pa_known_line(c->code_line(code, 0))))
		field = "line";
	c->forget(code);
	return field;
}
