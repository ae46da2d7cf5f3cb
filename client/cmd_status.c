/* SPDX-License-Identifier: MIT
 *
 * `status`: what the payload is doing and what it costs.
 */
#include <stdlib.h>
#include <string.h>

#include "client/command.h"
#include "client/human.h"

static json_t *stacks_json(const struct pa_status *s)
{
	if (s->flags & PA_FLAG_STACKS_OFF)
		return json_string("off");
	if (s->flags & PA_FLAG_STACKS_VERIFIED)
		return json_string("verified");
	return json_null();
}

static int answer_json(struct pa_command *command, const struct pa_wire *wire,
		       const struct pa_status *s)
{
	struct pa_estimate bytes = pa_estimate_bytes(&s->estimated,
						     s->rate_effective);
	struct pa_estimate calls = pa_estimate_objects(&s->estimated,
						       s->rate_effective);
	const struct { const char *key; json_t *value; } parts[] = {
		{ "pid", pa_json_count((uint64_t)wire->process.pid) },
		{ "python", pa_json_text(s->python) },
		{ "payload_version", pa_json_text(s->payload_version) },
		{ "rate", pa_json_count(s->rate) },
		{ "effective_rate", pa_json_count(s->rate_effective) },
		{ "uptime_ns", pa_json_count(s->uptime_ns) },
		{ "attached_at_ns", pa_json_known(s->attached_realtime_ns) },
		{ "hooks", json_string(pa_hooks_word(s->hooks)) },
		{ "stacks", stacks_json(s) },
		{ "dropped", pa_json_count(s->dropped) },
		{ "samples", json_pack("{s:o, s:o, s:o, s:o}",
			"live", pa_json_count(s->samples_live),
			"taken", pa_json_count(s->samples_taken),
			"thinned", pa_json_count(s->samples_thinned),
			"freed", pa_json_count(s->samples_freed)) },
		{ "requested", json_pack("{s:o, s:o, s:o, s:i}",
			"bytes", pa_json_count(s->requested_bytes),
			"calls", pa_json_count(s->requested_calls),
			"uncounted_max", pa_json_count(s->uncounted_max),
			"age_ns", 0) },
		{ "estimated", json_pack("{s:o, s:o}",
			"bytes", pa_json_estimate(&bytes),
			"calls", pa_json_estimate(&calls)) },
		{ "memory", json_pack("{s:o, s:o}",
			"used", pa_json_count(s->memory_used),
			"limit", pa_json_count(s->memory_max)) },
		{ "frames", pa_json_count(s->frames_max) },
		{ "rss", pa_json_known(s->rss) },
		{ "rss_at_attach", pa_json_known(s->rss_at_attach) },
		{ "sites_evicted", pa_json_count(s->sites_evicted) },
		{ "stacks_full", pa_json_count(s->stacks_full) },
		{ "rebuilds", pa_json_count(s->rebuilds) },
		{ "gil_wait_ns", pa_json_count(s->gil_wait_ns) },
		{ "clients", pa_json_count(s->clients) },
		{ "refused_clients", pa_json_count(s->refused_clients) },
		{ "follow_fork", json_boolean(
			s->flags & PA_FLAG_FOLLOW_FORK) },
		{ "socket", pa_json_text(wire->socket) },
	};
	json_t *object = pa_json_object("status");

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		json_object_set_new(object, parts[i].key, parts[i].value);
	return pa_command_answer(command, object);
}

static const char *hooks_sentence(uint64_t hooks)
{
	switch (hooks) {
	case PA_HOOKS_ON:
		return "on: every allocation of Python is seen";
	case PA_HOOKS_PASS_THROUGH:
		return "pass-through: somebody hooked above us, we are idle";
	case PA_HOOKS_BYPASSED:
		return "bypassed: somebody replaced the allocators, nothing "
			"is seen";
	}
	return "off";
}

static void say_samples(struct pa_command *command, const struct pa_status *s)
{
	struct pa_estimate bytes = pa_estimate_bytes(&s->estimated,
						     s->rate_effective);

	pa_command_say(command, "  samples    %s live, %s taken, %s thinned, "
		       "%s dropped",
		       pa_human_count((double)s->samples_live).s,
		       pa_human_count((double)s->samples_taken).s,
		       pa_human_count((double)s->samples_thinned).s,
		       pa_human_count((double)s->dropped).s);
	pa_command_say(command, "  requested  exactly %s in %s calls, at most "
		       "%s not yet added",
		       pa_human_bytes((double)s->requested_bytes).s,
		       pa_human_count((double)s->requested_calls).s,
		       pa_human_bytes((double)s->uncounted_max).s);
	pa_command_say(command, "  estimated  %s (%s, 95 %%): the same, from "
		       "the samples",
		       pa_human_bytes(bytes.estimate).s,
		       pa_human_range(bytes.low, bytes.high).s);
}

static int answer_table(struct pa_command *command,
			const struct pa_wire *wire, const struct pa_status *s)
{
	char name[320], thinned[96] = "";

	pa_command_name(wire->process.pid, s->python, name, sizeof name);
	if (s->rate_effective != s->rate)
		snprintf(thinned, sizeof thinned, ", thinned to one per %s",
			 pa_human_bytes((double)s->rate_effective).s);
	pa_command_say(command, "%s, attached for %s", name,
		       pa_human_time(s->uptime_ns).s);
	pa_command_say(command, "  hooks      %s", hooks_sentence(s->hooks));
	pa_command_say(command, "  rate       one sample per %s%s",
		       pa_human_bytes((double)s->rate).s, thinned);
	pa_command_say(command, "  stacks     %s, up to %llu frames",
		       s->flags & PA_FLAG_STACKS_OFF ?
		       "off: the check at attach failed" :
		       s->flags & PA_FLAG_STACKS_VERIFIED ? "verified" :
		       "not verified yet", (unsigned long long)s->frames_max);
	say_samples(command, s);
	pa_command_say(command, "  memory     %s of at most %s are ours",
		       pa_human_bytes((double)s->memory_used).s,
		       pa_human_bytes((double)s->memory_max).s);
	pa_command_say(command, "  RSS        %s, was %s at attach",
		       pa_human_bytes((double)s->rss).s,
		       pa_human_bytes((double)s->rss_at_attach).s);
	if (s->sites_evicted || s->stacks_full || s->rebuilds)
		pa_command_say(command, "  full       %s sites evicted, %s "
			       "samples without room for their stack, %s "
			       "rebuilds",
			       pa_human_count((double)s->sites_evicted).s,
			       pa_human_count((double)s->stacks_full).s,
			       pa_human_count((double)s->rebuilds).s);
	pa_command_say(command, "  clients    %llu now, %llu refused so far",
		       (unsigned long long)s->clients,
		       (unsigned long long)s->refused_clients);
	pa_command_say(command, "  socket     %s", wire->socket);
	pa_command_say(command, "  payload    %s, waited %s for the GIL",
		       s->payload_version,
		       pa_human_short_time(s->gil_wait_ns).s);
	return pa_command_flush(command);
}

int pa_cmd_status(struct pa_command *command)
{
	struct pa_status status;
	struct pa_wire wire;
	int err = pa_command_connect(command, &wire, &status);

	if (err)
		return err;
	/* The answer was asked for: --quiet is about everything else. */
	command->args.quiet = false;
	if (command->args.format == PA_FORMAT_JSON)
		err = answer_json(command, &wire, &status);
	else
		err = answer_table(command, &wire, &status);
	pa_wire_close(&wire);
	return err;
}
