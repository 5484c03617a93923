/*
 * Pickles by themselves. torch.save before 1.6 wrote five after each other: a magic number, a protocol
 * version, the system, the object, and the keys of the storages that follow as (int64 count, data).
 * Any other file of pickles is walked for what tensors it holds in itself.
 */
#include "core/format/pytorch_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct torch_key { const char *key; uint64_t at, size; enum dtype dtype; bool known; };

static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};	/* 0x1950a86a20f9469cfc6c */

static const char magic_text[] = "L119547037146038801333356L\n.";	/* the same, by pickle protocol 1 */

static int by_key(const void *a, const void *b)
{
	const struct torch_key *x = a, *y = b;
	return strcmp(x->key, y->key);
}

static int locate(const struct torch_part *t, const struct pick_storage *s, struct source *out, struct err *e)
{
	struct torch_key want = {.key = s->root ? s->root : s->key};
	const struct torch_key *k = t->n_keys ? bsearch(&want, t->keys, t->n_keys, sizeof want, by_key) : NULL;
	if (!k || !k->known)
		return err_set(e, EINVAL, "storage '%.60s' is not in the file", want.key);
	*out = source_part(&t->pickle, k->at, k->size);
	return 0;
}

/* The element type of each storage, from the persistent ids. */
static int collect_types(struct torch_part *t, const struct pick_items *storages, struct err *e)
{
	t->keys = mem_array(storages->n, sizeof *t->keys);
	if (!t->keys)
		return err_nomem(e);
	for (size_t i = 0; i < storages->n; i++) {
		const struct pick_storage *s = storages->at[i]->storage;
		t->keys[i] = (struct torch_key){.key = s->root ? s->root : s->key, .dtype = s->dtype};
	}
	qsort(t->keys, storages->n, sizeof *t->keys, by_key);
	for (size_t i = 0; i < storages->n; i++)
		if (!t->n_keys || by_key(&t->keys[t->n_keys - 1], &t->keys[i]))
			t->keys[t->n_keys++] = t->keys[i];
	return 0;
}

/* The storages after the last pickle, in the order of the list of keys. */
static int find_storages(struct torch_part *t, const struct pick *list, uint64_t pos, struct err *e)
{
	if (list->kind != PICK_LIST)
		return err_at(e, EINVAL, source_pos(&t->pickle, pos), "expected a list of storage keys");
	for (size_t i = 0; i < list->items.n; i++) {
		const struct pick *v = list->items.at[i];
		struct torch_key want = {.key = v->kind == PICK_STR || v->kind == PICK_BYTES ? v->str.s : NULL};
		struct torch_key *k =
			want.key && t->n_keys ? bsearch(&want, t->keys, t->n_keys, sizeof want, by_key) : NULL;
		if (!k)
			return err_at(e, EINVAL, source_pos(&t->pickle, pos), "a storage key that no tensor has");
		unsigned char b[8];
		int r = source_pread(&t->pickle, b, sizeof b, pos, e);
		if (r < 0)
			return r;
		uint64_t n = 0, bytes = dtype_info(k->dtype)->bytes ? dtype_info(k->dtype)->bytes : 1;
		for (int j = 7; j >= 0; j--)
			n = n << 8 | b[j];
		if (__builtin_mul_overflow(n, bytes, &n) || n > t->pickle.size - pos - 8)
			return err_at(e, EINVAL, source_pos(&t->pickle, pos),
				      "storage '%.60s' has %" PRIu64 " bytes, %" PRIu64 " remain: cut short", k->key, n,
				      t->pickle.size - pos - 8);
		k->at = pos + 8;
		k->size = n;
		k->known = true;
		pos += 8 + n;
	}
	if (pos < t->pickle.size && weights_warn(t->w, t->path, "trailing bytes",
						 "%" PRIu64 " bytes after the last storage", t->pickle.size - pos) < 0)
		return err_nomem(e);
	return 0;
}

static int is_magic(const struct torch_part *t, const struct pick *v, struct err *e)
{
	char head[sizeof magic_text - 1];
	if (v->kind != PICK_LONG || t->pickle.size < sizeof head)
		return 0;
	if (v->str.s)
		return v->str.len == sizeof magic && !memcmp(v->str.s, magic, sizeof magic);
	int r = source_pread(&t->pickle, head, sizeof head, 0, e);
	return r < 0 ? r : !memcmp(head, magic_text, sizeof head);
}

/* Further pickles after the first: only looked at for what they would run. */
static int look_at_rest(struct pickle *p, struct err *e)
{
	struct pick *more;
	struct err local = ERR_INIT;
	while (p->pos < p->src.size) {
		uint64_t at = p->pos;
		int r = pickle_load(p, &more, &local);
		if (r == -ENOMEM || r == -EIO || r == -EFBIG) {
			*e = local;
			return r;
		}
		if (r < 0)
			return weights_warn(p->w, p->file, "trailing bytes", "%" PRIu64 " bytes after the pickle",
					    p->src.size - at) < 0
				       ? err_nomem(e)
				       : 0;
	}
	return 0;
}

static int open_sequence(struct torch_part *t, struct pickle *p, struct err *e)
{
	struct pick *version, *system, *object, *keys;
	int r = pickle_load(p, &version, e);
	if (!r)
		r = pickle_load(p, &system, e);
	if (!r)
		r = pickle_load(p, &object, e);
	if (r < 0)
		return r;
	r = pickle_load(p, &keys, e);
	if (!r)
		r = collect_types(t, &p->storages, e);
	if (!r)
		r = find_storages(t, keys, p->pos, e);
	return r < 0 ? r : torch_add_tensors(t, object, e);
}

static int open_pickles(struct torch_part *t, struct pickle *p, struct err *e)
{
	struct pick *first;
	int r = pickle_load(p, &first, e);
	if (r < 0)
		return r;
	r = is_magic(t, first, e);
	if (r)
		return r < 0 ? r : open_sequence(t, p, e);
	size_t before = t->w->n_tensors;
	r = look_at_rest(p, e);
	if (!r)
		r = torch_add_tensors(t, first, e);
	if (!r && t->w->n_tensors == before && !t->w->n_hazards) {
		const char *why = torch_why_none(t->w);
		return err_set(e, ENOTSUP, "a pickle without tensors%s%s", why ? ": " : "", why ? why : "");
	}
	return r;
}

static int forgive(struct weights *w, const char *path, int r, size_t hazards, struct err *e)
{
	if (!torch_is_broken(r) || w->n_hazards == hazards)
		return r;
	bool runs = false;
	for (size_t i = hazards; i < w->n_hazards; i++)
		runs |= w->hazards[i].runs_code;
	if (!runs)
		return r;
	if (weights_warn(w, path, "malformed", "%s", e->msg) < 0)
		return err_nomem(e);
	return 0;
}

int torch_open_legacy(struct weights *w, uint32_t file, struct source src, const char *prefix, struct err *e)
{
	struct torch_part t;
	struct pickle p;
	size_t hazards = w->n_hazards, tensors = w->n_tensors;
	torch_part_init(&t, w, file, prefix, src.size);
	t.pickle = src;
	t.locate = locate;
	int r = pickle_init(&p, src, w, t.path, &t.values, e);
	if (!r)
		r = open_pickles(&t, &p, e);
	pickle_release(&p);
	if (r < 0)
		w->n_tensors = tensors;
	r = forgive(w, t.path, r, hazards, e);
	int kept = torch_part_release(&t);
	return r < 0 ? r : kept < 0 ? err_nomem(e) : 0;
}

/* --- probing --- */

/* Length of the protocol 0 or 1 operation at s, 0 when it cannot be one (of a file of `size`), SIZE_MAX when the head ends within. */
static size_t text_operation(const unsigned char *s, size_t len, uint64_t size)
{
	static const char lines[] = "ciFILSVPgp", alone[] = "(.012NQRabdelost)]}u", one[] = "KUhq";
	unsigned char op = *s;
	if (!op)
		return 0;
	if (op == 0x81 || op == 0x93 || op == 0x94 || (op >= 0x85 && op <= 0x89))	/* without the PROTO that belongs before */
		return 1;
	if (op == 0x8c || strchr(one, op))
		return len < 2 ? SIZE_MAX : 2 + (op == 'U' || op == 0x8c ? s[1] : 0u);
	if (op == 'M')
		return 3;
	if (op == 'X' || op == 'T') {
		size_t n = len < 5 ? 0 : s[1] | (size_t)s[2] << 8 | (size_t)s[3] << 16 | (size_t)s[4] << 24;
		return len < 5 ? SIZE_MAX : n < size ? 5 + n : 0;
	}
	if (op == 'J' || op == 'j' || op == 'r' || op == 'G')
		return op == 'G' ? 9 : 5;
	if (!strchr(lines, op))
		return strchr(alone, op) ? 1 : 0;
	const unsigned char *nl = memchr(s, '\n', len);
	const unsigned char *second =
		nl && (op == 'c' || op == 'i') ? memchr(nl + 1, '\n', len - (size_t)(nl + 1 - s)) : nl;
	if (!second)
		return SIZE_MAX;
	for (const unsigned char *c = s + 1; c < second; c++) {
		bool digit = *c >= '0' && *c <= '9', letter = (*c | 32) >= 'a' && (*c | 32) <= 'z';
		bool word = digit || letter || *c == '_' || *c == '.';
		if ((strchr("gp", op) && !digit) || (strchr("ci", op) && !word && c != nl) ||
		    (strchr("IL", op) && !digit && *c != '-' && *c != 'L'))
			return 0;
	}
	if (op == 'S' && (nl - s < 3 || (s[1] != '\'' && s[1] != '"')))
		return 0;
	return nl == s + 1 || second == nl + 1 ? 0 : (size_t)(second + 1 - s);
}

/* Protocols 0 and 1 have no magic: does the head read as operations, one after the other? */
static int probe_text(const unsigned char *head, size_t len, uint64_t size)
{
	size_t at = 0, n = 0, telling = 0;
	while (at < len) {
		unsigned char op = head[at];
		size_t step = text_operation(head + at, len - at, size);
		if (!step)	/* a global runs before what is broken behind it */
			return *head == 'c' && n >= 2 ? 50 : 0;
		if (step == SIZE_MAX)
			break;
		n++;
		telling += (op > 0x80 || strchr("cipqSVIKUXT", op));
		if (op == '.')
			return telling ? 60 : 0;
		at += step;
	}
	return n >= 4 && telling >= 2 ? 60 : 0;
}

int torch_probe_pickle(const unsigned char *head, size_t len, uint64_t size)
{
	if (len >= 2 && head[0] == 0x80 && head[1] <= 5) {
		if (len >= 4 + sizeof magic && head[1] >= 2 && !memcmp(head + 4, magic, sizeof magic))
			return 100;
		return head[1] ? 70 : 0;
	}
	if (len >= sizeof magic_text - 1 && !memcmp(head, magic_text, sizeof magic_text - 1))
		return 100;
	return probe_text(head, len, size);
}
