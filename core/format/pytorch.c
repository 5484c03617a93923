/*
 * PyTorch checkpoints: zip archives of torch.save (data.pkl with a storage an entry), TorchScript
 * archives, zips that nest such files (Stable-Baselines3), and pickles by themselves.
 */
#include "core/format/formats_internal.h"
#include "core/format/pytorch_internal.h"
#include "core/format/zip.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	NESTED = 2,			/* archives in archives */
	CHECKED = 16 << 20,		/* pickles up to this size have their checksum looked at */
	JSON_MAX = 64 << 20,
};

static int locate(const struct torch_part *t, const struct pick_storage *s, struct source *out, struct err *e)
{
	char name[512];
	int n = snprintf(name, sizeof name, "%s%s", t->data, s->root ? s->root : s->key);
	const struct zip_entry *z = n > 0 && (size_t)n < sizeof name ? zip_find(t->zip, name) : NULL;
	if (!z)
		return err_set(e, EINVAL, "storage '%.60s' is not in the archive", s->key);
	return zip_source(z, out, e);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);
	return n >= m && !strcmp(s + n - m, end);
}

static const struct zip_entry *in_archive(const struct zip *z, const char *top, const char *name)
{
	char path[1024];
	int n = snprintf(path, sizeof path, "%s%s", top, name);
	return n > 0 && (size_t)n < sizeof path ? zip_find(z, path) : NULL;
}

/* --- one archive --- */

struct archive {
	struct weights *w;
	uint32_t file;
	const char *path, *prefix;
	struct zip *zip;
	const char *top;		/* the directory that all of torch's entries are in: "archive/" */
	const struct zip_entry *main, *constants;	/* data.pkl and constants.pkl in there, or NULL */
	int depth;
	bool script;
	struct err *e;
};

static int check_sum(struct archive *a, const struct zip_entry *t)
{
	int r = t->size > CHECKED ? 1 : zip_check(t, a->e);
	if (r)
		return MIN(r, 0);
	return weights_warn(a->w, a->path, "checksum", "%.120s: its bytes are not those of its checksum", t->name) < 0
		       ? err_nomem(a->e)
		       : 0;
}

static int is_big_endian(struct archive *a, bool *big)
{
	const struct zip_entry *t = in_archive(a->zip, a->top, "byteorder");
	cleanup_free char *text = NULL;
	size_t len;
	*big = false;
	if (!t)
		return 0;
	int r = zip_slurp(t, 64, &text, &len, a->e);
	if (!r)
		*big = !strncmp(text, "big", 3);
	return r;
}

/* data: where its storages are, to add its tensors; NULL: only look at what it would run */
static int load_pickle(struct archive *a, const struct zip_entry *t, const char *prefix, const char *data)
{
	struct torch_part part;
	struct pickle p = {0};
	struct pick *root;
	struct source src;
	int r = check_sum(a, t);
	if (!r)
		r = zip_source(t, &src, a->e);
	if (r < 0)
		return r;
	torch_part_init(&part, a->w, a->file, prefix, src.size);
	part.pickle = src;
	part.zip = a->zip;
	part.locate = locate;
	part.data = arena_printf(&part.values, "%s%s", a->top, data ? data : "");
	r = part.data ? pickle_init(&p, src, a->w, a->path, &part.values, a->e) : err_nomem(a->e);
	p.script = a->script;
	if (!r)
		r = pickle_load(&p, &root, a->e);
	if (!r && data)
		r = is_big_endian(a, &part.big);
	if (!r && data)
		r = torch_add_tensors(&part, root, a->e);
	pickle_release(&p);
	int kept = torch_part_release(&part);
	return r < 0 ? r : kept < 0 ? err_nomem(a->e) : 0;
}

/* TorchScript carries its own program. */
static int find_script(struct archive *a)
{
	size_t files = 0, n = strlen(a->top);
	for (size_t i = 0; i < a->zip->n; i++) {
		const char *name = a->zip->entries[i].name;
		if (!strncmp(name, a->top, n) && !strncmp(name + n, "code/", 5) && ends_with(name, ".py"))
			files++;
	}
	a->constants = in_archive(a->zip, a->top, "constants.pkl");
	a->script = files || a->constants;
	if (!a->script)
		return 0;
	if (weights_hazard(a->w, a->path, "torchscript", ERR_NOPOS, true, "a program in %zu files of code", files) < 0)
		return err_nomem(a->e);
	return a->constants ? load_pickle(a, a->constants, "", NULL) : 0;
}

/* A frozen program has no parameters any more: its weights are constants, CONSTANTS.c0 and so on in its code. */
static int load_constants(struct archive *a)
{
	const char *prefix = arena_printf(&a->w->arena, "%sCONSTANTS.c", a->prefix);
	return prefix ? load_pickle(a, a->constants, prefix, "constants/") : err_nomem(a->e);
}

/* Entries that torch itself writes beside data.pkl and that hold no pickle. Of two of one name a loader may take the
 * other. */
static bool is_torchs_own(const struct archive *a, const struct zip_entry *t)
{
	static const char *const own[] = {"version", "byteorder", ".format_version", ".storage_alignment"};
	static const char *const below[] = {"data/", ".data/", "code/", "constants/", "extra/", "tensors/"};
	const char *name = t->name;
	size_t n = a->top ? strlen(a->top) : 0;
	if (t == a->main || t == a->constants)
		return true;
	if (!a->top || strncmp(name, a->top, n))
		return false;
	for (size_t i = 0; i < COUNT(own); i++)
		if (!strcmp(name + n, own[i]))
			return true;
	for (size_t i = 0; i < COUNT(below); i++)
		if (!strncmp(name + n, below[i], strlen(below[i])))
			return true;
	return false;
}

/* Stable-Baselines3 keeps pickled objects in base64 in its JSON and unpickles them when loading. */
static int look_at_json(struct archive *a, const struct zip_entry *t)
{
	cleanup_free char *text = NULL;
	size_t len;
	int r = t->size > JSON_MAX ? 0 : zip_slurp(t, JSON_MAX, &text, &len, a->e);
	if (r < 0 || !text || !memmem(text, len, "\":serialized:\"", 14))
		return r;
	return weights_hazard(a->w, a->path, "serialized-objects", source_pos(&a->zip->src, t->data), true,
			      "%.120s: pickled objects in JSON", t->name) < 0 ? err_nomem(a->e) : 0;
}

static int open_zip(struct weights *w, uint32_t file, struct source src, const char *prefix, int depth,
		    struct err *e);

static int open_nested(struct archive *a, const struct zip_entry *t, const struct source *src, bool zip)
{
	const char *base = strrchr(t->name, '/');
	base = base ? base + 1 : t->name;
	size_t n = strcspn(base, ".");
	bool whole = n == 6 && !strncmp(base, "policy", 6);
	if (strstr(base, "optim"))
		return weights_warn(a->w, a->path, "training state", "%.120s: an optimizer's, not listed", t->name) < 0
			? err_nomem(a->e) : 0;
	const char *prefix =
		whole ? a->prefix : arena_printf(&a->w->arena, "%s%.*s.", a->prefix, (int)MIN(n, (size_t)200), base);
	if (!prefix)
		return err_nomem(a->e);
	return zip ? open_zip(a->w, a->file, *src, prefix, a->depth - 1, a->e)
		   : torch_open_legacy(a->w, a->file, *src, prefix, a->e);
}

/* An entry that is not torch's own: a nested archive, a pickle that something may load, or neither. */
static int look_at_other(struct archive *a, const struct zip_entry *t)
{
	unsigned char head[64];
	struct source src;
	if (!t->size || t->refused || is_torchs_own(a, t))
		return 0;
	size_t n = (size_t)MIN(t->size, (uint64_t)sizeof head);
	int r = zip_source(t, &src, a->e);
	if (!r)
		r = source_pread(&src, head, n, 0, a->e);
	if (r < 0)
		return r;
	bool zip = n >= 4 && !memcmp(head, "PK\3\4", 4);
	if (n && *head == '{' && !a->top)
		return look_at_json(a, t);
	if (!zip && torch_probe_pickle(head, n, t->size) < 60)
		return 0;
	if (!a->top && a->depth > 0)
		return open_nested(a, t, &src, zip);
	return zip ? 0 : load_pickle(a, t, "", NULL);
}

/* What goes wrong in an entry that no loader of tensors reads does not keep the model from being read. */
static int look_at_others(struct archive *a)
{
	for (size_t i = 0; i < a->zip->n; i++) {
		size_t tensors = a->w->n_tensors;
		int r = look_at_other(a, &a->zip->entries[i]);
		if (r == -EINVAL || r == -ENOTSUP || r == -EFBIG) {
			a->w->n_tensors = tensors;
			if (weights_warn(a->w, a->path, r == -EFBIG ? "too large" : "entry", "%.120s: %s",
					 a->zip->entries[i].name, a->e->msg) < 0)
				return err_nomem(a->e);
			*a->e = ERR_INIT;
			r = 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct zip_entry *find_main(struct archive *a)
{
	for (size_t i = 0; i < a->zip->n; i++) {
		const struct zip_entry *t = &a->zip->entries[i];
		const char *slash = strchr(t->name, '/');
		const char *rest = slash ? slash + 1 : t->name;
		if (strcmp(rest, "data.pkl"))
			continue;
		a->top = arena_strndup(&a->w->arena, t->name, (size_t)(rest - t->name));
		return a->top ? t : NULL;
	}
	return NULL;
}

static const char *refusal(const struct zip *z)
{
	for (size_t i = 0; i < z->n; i++)
		if (z->entries[i].refused)
			return z->entries[i].refused;
	return NULL;
}

static int open_entries(struct archive *a)
{
	size_t tensors = a->w->n_tensors, hazards = a->w->n_hazards;
	int r = 0;
	a->main = find_main(a);
	if (a->main) {
		r = find_script(a);
		if (!r)
			r = load_pickle(a, a->main, a->prefix, "data/");
		if (!r && a->constants && a->w->n_tensors == tensors)
			r = load_constants(a);
	}
	if (torch_is_broken(r) && a->w->n_hazards > hazards) {
		if (weights_warn(a->w, a->path, "malformed", "%s", a->e->msg) < 0)
			return err_nomem(a->e);
		a->w->n_tensors = tensors;
		r = 0;
	}
	if (!r)
		r = look_at_others(a);
	if (!r && a->w->n_tensors == tensors && a->w->n_hazards == hazards) {
		const char *why = refusal(a->zip);
		if (why)
			return err_set(a->e, ENOTSUP, "a zip whose entries cannot be read: %s", why);
		why = torch_why_none(a->w);
		return err_set(a->e, ENOTSUP, "%s%s%s",
			       a->main ? "an archive without tensors" : "a zip archive without models that are known",
			       why ? ": " : "", why ? why : "");
	}
	return r;
}

static int open_zip(struct weights *w, uint32_t file, struct source src, const char *prefix, int depth,
		    struct err *e)
{
	struct zip *z = stored_zip(w, e);
	if (!z)
		return -e->code;
	struct archive a = {.w = w, .file = file, .path = w->files[file].path, .prefix = prefix, .zip = z,
			    .depth = depth, .e = e};
	int r = zip_open(z, src, w, a.path, e);
	return r < 0 ? r : open_entries(&a);
}

/* --- the format --- */

static int pytorch_probe(const unsigned char *head, size_t len, uint64_t size)
{
	if (len >= 4 && (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "PK\5\6", 4)))
		return len > 30 && memmem(head, len, "/data.pkl", 9) ? 90 : 50;
	return torch_probe_pickle(head, len, size);
}

static int pytorch_open(struct weights *w, struct err *e)
{
	int r = stored_init(w, e);
	for (uint32_t i = 0; !r && i < w->n_files; i++) {
		struct weights_file *f = &w->files[i];
		unsigned char head[4] = {0};
		w->reading = i;
		r = head_pread(f, head, (size_t)MIN(f->io.size, (uint64_t)4), 0, e);
		if (r < 0)
			return r;
		r = !memcmp(head, "PK", 2) ? open_zip(w, i, source_file(&f->io), "", NESTED, e)
					   : torch_open_legacy(w, i, source_file(&f->io), "", e);
	}
	return r < 0 ? r : weights_check_names(w, e);
}

const struct format format_pytorch = {
	.name = "pytorch",
	.extensions = " bin pt pth ckpt th jit pkl pickle ",
	.probe = pytorch_probe,
	.open = pytorch_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};
