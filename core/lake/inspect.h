#ifndef TARN_LAKE_INSPECT_H
#define TARN_LAKE_INSPECT_H
/*
 * One model looked into: its documents read, its weights' headers opened, its tensors placed, and all of
 * it said as facts. Header bytes only; small documents whole, large ones not at all. A broken file is a
 * row among the problems, and everything else is still found out.
 */
#include "core/lake/canon.h"
#include "core/lake/facts.h"
#include "core/lake/scan.h"

struct inspect_input {
	const struct lake *lake;
	uint32_t root;
	const char *id;			/* of the model; may be NULL */
	const char *dir;		/* relative to the root: metadata/path; may be NULL */
	const char *layout;		/* as scan_model's; may be NULL */
	const char *revision;		/* may be NULL */
	const struct scan_file *files;
	size_t n_files;
};

/* A file that the weights name and that lies beside them: as it was when it was opened, zeros where it could not be. */
struct inspect_beside {
	const char *path;		/* relative to the root */
	struct io_id id;
};

struct inspect {
	struct facts facts;
	bool open;			/* weights and canon hold the model's tensors */
	struct weights weights;		/* paths: scan_file's names */
	struct canon canon;
	struct inspect_beside *beside;	/* in facts' arena */
	size_t n_beside;
	struct canon_hints hints;	/* from the config and the container; strings live in `facts` or `weights` */
};

/* Fails only with -ENOMEM (the model may be tried again); whatever else is wrong stands in facts.problems. */
int inspect_model(struct inspect *out, const struct inspect_input *in, struct err *e);
void inspect_release(struct inspect *i);

#endif
