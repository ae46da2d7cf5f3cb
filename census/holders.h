/* SPDX-License-Identifier: MIT
 *
 * Who holds the memory: the tree of holders, shortest paths to a type,
 * garbage, and what only C code holds.
 *
 * Built by pa_census_run_asked over the conservative reference graph: each
 * aligned word of a block that points at a block is an edge.  Roots are asked
 * in an order, and what an earlier kind reaches belongs to it alone: modules,
 * frames, stacks, static data, C code, then garbage.  So a word forgotten
 * on a stack takes nothing away from a module.  A holder retains what would be
 * free without it; weak references hold nothing.
 *
 * A holder stands for all objects of one type in one place (all orders in one
 * list): never for single ones.  Its tables and the dict of its attributes
 * are part of it.  Sizes are bytes.  Names are hostile: UTF-8 or anything.
 * All pointers live until pa_holders_free.  Not for several threads.
 */
#ifndef PA_CENSUS_HOLDERS_H
#define PA_CENSUS_HOLDERS_H

#include "census/census.h"

#define PA_NO_HOLDER UINT32_MAX

enum pa_holder_kind {
	PA_HOLDER_ALL = 0,	/* holder 0: everything */
	PA_HOLDER_MODULE,	/* name: of the module */
	PA_HOLDER_CLASS,	/* name: of a class that no one module holds */
	PA_HOLDER_ATTRIBUTE,	/* name: of the attribute of what is above */
	PA_HOLDER_KEY,		/* name: the str key in the dict above */
	PA_HOLDER_ITEMS,	/* no name: elements, by type */
	PA_HOLDER_FRAME,	/* name: of the function whose frame it is */
	/* collections below PA_HOLDER_ALL, without a type */
	PA_HOLDER_SHARED,	/* several modules or classes hold these */
	PA_HOLDER_FRAMES,	/* local variables of running functions */
	PA_HOLDER_STACKS,	/* found on the stack of a thread only */
	PA_HOLDER_STATIC,	/* name: file whose static data points here */
	PA_HOLDER_NATIVE,	/* only C code holds these, somewhere */
	PA_HOLDER_GARBAGE,	/* nobody does: the collector will free them */
	PA_HOLDER_KINDS,
};

/* Their words in JSON: "module", "attribute", ... "garbage". */
extern const char *const pa_holder_words[PA_HOLDER_KINDS];

struct pa_holder {
	enum pa_holder_kind kind;
	uint32_t parent;	/* PA_NO_HOLDER for holder 0 */
	uint32_t depth;		/* 0 for holder 0 */
	const char *name;	/* "" = none */
	/* of the objects: "", "" for collections; "", "<buffer>" for blocks
	 * that hold no object */
	const char *module, *type;
	uint64_t objects;	/* of this holder itself */
	uint64_t own;		/* their blocks, tables, attributes */
	uint64_t retained;	/* own and all that depends on them */
	uint64_t retained_objects;
};

struct pa_path_step {
	enum pa_holder_kind kind;
	const char *name, *module, *type;	/* as in a holder */
};

/* A way from a root to instances of the type that was asked for. */
struct pa_path {
	const struct pa_path_step *step;	/* root first, instance last */
	uint32_t n_steps;
	uint64_t instances;	/* that are reached by a path of this shape */
	bool cut;		/* longer than it is shown: the start is left out */
};

struct pa_holders {
	/* Parents first, a holder's own below it, largest first.  What is
	 * below `least` is in its parent's `retained` only. */
	struct pa_holder *holder;
	uint32_t n_holders;
	struct pa_path *path;		/* most instances first */
	uint32_t n_paths;
	uint64_t instances;		/* of the type asked for */
	uint64_t unreached;		/* of these: garbage, or only C has them */
	uint64_t no_path;		/* shapes that were left out */
	uint64_t garbage_objects, garbage_bytes;
	uint64_t native_objects, native_bytes;
	uint64_t blocks, references;	/* size of the graph */
	bool damaged;			/* some were left out: too many */
	/* the owners of the pointers above */
	char *names;
	struct pa_path_step *steps;
};

struct pa_holders_ask {
	bool tree;
	double least;		/* share of the whole for a holder, 0.001 */
	uint32_t most;		/* holders, 10000; 0 = 10000 */
	/* "list", "app.models.Order", "Order": of any module; NULL = none */
	const char *path_to;
	uint32_t paths_most;	/* distinct shapes, 0 = 10 */
};

/*
 * pa_census_run that answers this as well; ask and holders may both be NULL.
 * 0, PA_E_FAILED without memory, PA_E_TIMEOUT where progress said so; frees
 * everything on errors.
 */
int pa_census_run_asked(const struct pa_census_source *source,
			const struct pa_holders_ask *ask,
			struct pa_census *census, struct pa_holders *holders);
void pa_holders_free(struct pa_holders *holders);

#endif /* PA_CENSUS_HOLDERS_H */
