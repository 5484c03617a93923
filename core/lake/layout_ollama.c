/*
 * Ollama's store: manifests/HOST/NAMESPACE/NAME/TAG, JSON files that name blobs/sha256-HEX by what they
 * are (github.com/ollama/ollama, docs of the server's manifests). A tag is a model, NAMESPACE/NAME:TAG;
 * a host other than Ollama's own stands in front. Its weights are the layer of type image.model.
 */
#include "core/lake/layouts_internal.h"

#include "core/base/value.h"
#include "core/lake/open.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { LEVELS = 4, MANIFEST_MAX = 1 << 20, DIGEST = 64 };

struct store {
	const struct place *place;	/* of the store */
	const struct scan_dir *blobs;	/* NULL in a names-only scan */
	char (*named)[DIGEST];		/* digests that manifests name */
	size_t n_named, cap;
};

static bool match(const struct walker *w, const struct place *p, const struct listing *l)
{
	(void)w;
	(void)p;
	return listing_has_dir(l, "manifests") && listing_has_dir(l, "blobs");
}

/* "sha256:HEX" (or with '-'): the 64 digits, NULL for anything else. */
static const char *digest_of(const char *s)
{
	if (!s || strncmp(s, "sha256", 6) != 0 || (s[6] != ':' && s[6] != '-'))
		return NULL;
	return strspn(s + 7, "0123456789abcdef") == DIGEST && !s[7 + DIGEST] ? s + 7 : NULL;
}

/* What a layer is called below files/. */
static const char *layer_name(const char *type, enum scan_kind *kind)
{
	static const struct { const char *type, *name; enum scan_kind kind; } layers[] = {
		{"model", "model.gguf", SCAN_WEIGHTS}, {"adapter", "adapter.gguf", SCAN_OTHER},
		{"projector", "mmproj.gguf", SCAN_OTHER},
		{"license", "LICENSE", SCAN_OTHER}, {"template", "template", SCAN_OTHER},
		{"system", "system", SCAN_OTHER},
		{"params", "ollama-params.json", SCAN_OTHER}, {"messages", "messages.json", SCAN_OTHER},
		{"config", "ollama-config.json", SCAN_OTHER},
	};
	const char *dot = type ? strrchr(type, '.') : NULL;
	for (size_t i = 0; dot && i < COUNT(layers); i++)
		if (strcmp(dot + 1, layers[i].type) == 0) {
			*kind = layers[i].kind;
			return layers[i].name;
		}
	if (dot && strstr(type, "vnd.docker.container.image.v1+json")) {
		*kind = SCAN_OTHER;
		return "ollama-config.json";
	}
	return NULL;
}

static void stat_blob(struct walker *w, const struct place *p, const char *path, struct scan_file *f)
{
	struct stat st;
	if (w->names_only)
		return;
	cleanup_fd int fd = lake_open_at(w->lake, p->root, path, O_PATH);
	f->broken = fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
	if (f->broken)
		return;
	f->id = io_id_of(&st);
	f->uid = st.st_uid;
	f->gid = st.st_gid;
	f->mode = st.st_mode & 07777;
}

/* The same name for the second of a kind: LICENSE.2 */
static const char *distinct(struct walker *w, const struct owner *o, const char *name)
{
	char other[96];
	unsigned same = 1;
	for (size_t i = 0; i < o->n_files; i++)
		same += strcmp(o->files[i].name, name) == 0 ||
			(strncmp(o->files[i].name, name, strlen(name)) == 0 && o->files[i].name[strlen(name)] == '.');
	if (same == 1)
		return name;
	snprintf(other, sizeof other, "%s.%u", name, same);
	return walk_str(w, other, strlen(other));
}

static int add_file(struct walker *w, struct owner *o, const char *path, const char *name, enum scan_kind kind,
		    const struct scan_dir *in)
{
	if (!path || !name || mem_grow(&o->files, &o->cap, o->n_files + 1) < 0)
		return -ENOMEM;
	struct scan_file f = {.path = path, .name = name, .kind = kind, .in = in};
	stat_blob(w, o->place, path, &f);
	if (f.broken && kind == SCAN_WEIGHTS)
		f.kind = SCAN_OTHER;
	o->reads |= f.kind == SCAN_WEIGHTS;
	o->own = true;
	o->files[o->n_files++] = f;
	return f.broken ? walk_unread(w, o->place->root, path, "", 0,
	    "a blob that a manifest names and that is not there") : 0;
}

static int add_layer(struct walker *w, struct store *s, struct owner *o, const struct value *layer)
{
	enum scan_kind kind = SCAN_OTHER;
	const char *type = value_str(value_get(layer, "mediaType"));
	const char *hex = digest_of(value_str(value_get(layer, "digest")));
	const char *name = layer_name(type, &kind);
	char blob[8 + DIGEST + 8];
	if (!hex)
		return walk_unread(w, o->place->root, o->files[0].path /* its manifest */, "", 0,
				   "a manifest with a digest that is no SHA-256");
	if (mem_grow(&s->named, &s->cap, s->n_named + 1) < 0)
		return -ENOMEM;
	memcpy(s->named[s->n_named++], hex, DIGEST);
	snprintf(blob, sizeof blob, "blobs/sha256-%s", hex);
	const char *path = walk_join(w, s->place->path, blob);
	if (!path)
		return -ENOMEM;
	return add_file(w, o, path, distinct(w, o, name ? name : strrchr(path, '/') + 1), kind, s->blobs);
}

static int read_manifest(struct walker *w, struct store *s, struct owner *o, const char *path)
{
	struct err ignored = ERR_INIT;
	struct value v;
	struct arena a __attribute__((__cleanup__(arena_release))) = {0};
	cleanup_free char *text = NULL;
	cleanup_io struct io io = IO_INIT;
	size_t len;
	static const char broken[] = "a manifest that cannot be read";
	if (lake_open_file(w->lake, o->place->root, path, &io, &ignored) < 0 ||
	    io_slurp(&io, MANIFEST_MAX, &text, &len, &ignored) < 0 ||
	    json_parse_loose(&a, text, len, &(struct value_limits){.depth = 8, .count = 4096}, &v, &ignored) < 0)
		return ignored.code == ENOMEM ? -ENOMEM : walk_unread(w, o->place->root, path, "", io.size, broken);
	const struct value *layers = value_get(&v, "layers"), *config = value_get(&v, "config");
	int r = add_file(w, o, path, "manifest.json", SCAN_OTHER, o->place->in);
	if (r == 0 && value_count(config))
		r = add_layer(w, s, o, config);
	for (size_t i = 0; r == 0 && layers && layers->kind == VALUE_ARRAY && i < layers->arr.n; i++)
		r = add_layer(w, s, o, &layers->arr.items[i]);
	return r;
}

/* path: STORE/manifests/HOST/NAMESPACE/NAME, in `at`; words: where HOST, NAMESPACE and NAME begin in it. */
static int take_tag(struct walker *w, struct store *s, const struct place *at, const char *const words[],
		    const char *tag)
{
	const char *host = words[0], *from = strncmp(host, "registry.ollama.ai/", 19) == 0 ? words[1] : host;
	cleanup_free char *id = mem_alloc(strlen(from) + strlen(tag) + 2);
	const char *path = walk_join(w, at->path, tag);
	struct place p = *at;
	if (!id || !path)
		return -ENOMEM;
	stpcpy(stpcpy(stpcpy(id, from), ":"), tag);
	p.id = id;
	cleanup_owner struct owner o = {.place = &p, .layout = "ollama"};
	size_t rows = w->n_unread;
	int r = read_manifest(w, s, &o, path);
	if (r == 0 && !o.reads && w->n_unread == rows)	/* a tensor a layer, or none */
		r = walk_unread(w, p.root, path, "", 0, "a manifest without a model in GGUF");
	return r < 0 ? r : owner_finish(w, &o);
}

static int walk_manifests(struct walker *w, struct store *s, const struct place *p, const char **words, size_t level);

static int walk_deeper(struct walker *w, struct store *s, const struct place *p, const char **words, size_t level,
		       const char *name)
{
	struct place below = *p;
	cleanup_free char *path = path_join(p->path, name);
	const char *inner[LEVELS];
	if (!path)
		return -ENOMEM;
	for (size_t k = 0; k < level; k++)
		inner[k] = path + (words[k] - p->path);
	inner[level] = path + strlen(p->path) + 1;
	below.path = below.id = path;
	return walk_manifests(w, s, &below, inner, level + 1);
}

static int walk_manifests(struct walker *w, struct store *s, const struct place *p, const char **words, size_t level)
{
	struct listing *l;
	struct place here = *p;
	int r = listing_get(w, p, &l);
	if (r < 0)
		return r;
	here.in = l->in;
	for (size_t i = 0; i < l->n && r == 0; i++) {
		const struct entry *e = &l->entries[i];
		if (!e->dir) {
			r = level == LEVELS - 1 && !e->broken && !e->special && !e->linked_dir && e->name[0] != '.' ?
				take_tag(w, s, &here, words, e->name) : 0;
			continue;
		}
		if (level < LEVELS - 1)
			r = walk_deeper(w, s, &here, words, level, e->name);
	}
	listing_put(w, l);
	return r;
}

static bool is_named(const struct store *s, const char *digest)
{
	for (size_t i = 0; i < s->n_named; i++)
		if (memcmp(s->named[i], digest, DIGEST) == 0)
			return true;
	return false;
}

static int look_at_blobs(struct walker *w, struct store *s, const struct place *p)
{
	struct listing *l;
	int r = listing_get(w, p, &l);
	if (r < 0)
		return r;
	for (size_t i = 0; i < l->n && r == 0; i++) {
		const struct entry *e = &l->entries[i];
		const char *hex = digest_of(e->name);
		if (e->dir || e->linked_dir || e->special || e->broken)
			continue;
		if (strstr(e->name, "-partial"))
			r = walk_unread(w, p->root, p->path, e->name, e->id.size, "an unfinished download");
		else if (hex && !is_named(s, hex))
			r = walk_unread(w, p->root, p->path, e->name, e->id.size, "a blob that no manifest names");
	}
	listing_put(w, l);
	return r;
}

static int blobs_in(struct walker *w, struct store *s, const struct place *p, const char *blobs)
{
	struct stat st;
	cleanup_fd int fd = w->names_only ? -1 : lake_open_at(w->lake, p->root, blobs, O_PATH | O_DIRECTORY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	s->blobs = walk_in(w, &st, p->in);
	return s->blobs ? 0 : -ENOMEM;
}

static int take(struct walker *w, struct place *p, struct listing *l)
{
	struct store s = {.place = p};
	struct place at = *p;
	const char *words[LEVELS] = {0};
	(void)l;
	cleanup_free char *manifests = path_join(p->path, "manifests"), *blobs = path_join(p->path, "blobs");
	if (!manifests || !blobs)
		return -ENOMEM;
	at.blobs = true;	/* extensions in tags mean nothing */
	at.quiet = true;
	at.owner = NULL;
	at.path = at.id = manifests;
	int r = blobs_in(w, &s, p, blobs);
	if (r == 0)
		r = walk_manifests(w, &s, &at, words, 0);
	at.path = at.id = blobs;
	if (r == 0)
		r = look_at_blobs(w, &s, &at);
	free(s.named);
	return r;
}

const struct layout layout_ollama = {.name = "ollama", .match = match, .take = take};
