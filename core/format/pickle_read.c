/* Reading a pickle's bytes through a window, and making values of them in the arena. */
#include "core/format/pickle_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { KEEP = 64 };	/* byte strings up to this size are copied: keys, numbers */

int pickle_bad(struct pickle *p, const char *what)
{
	return err_at(p->machine->e, EINVAL, source_pos(&p->src, p->machine->at), "pickle: %s at byte %" PRIu64,
		      what, p->machine->at);
}

/* --- bytes --- */

int pickle_take(struct pickle *p, size_t n, const unsigned char **out)
{
	struct pickle_machine *m = p->machine;
	if (p->pos > p->src.size || n > p->src.size - p->pos)
		return pickle_bad(p, "it ends in the middle of the operation");
	if (p->pos < m->win || p->pos + n > m->win + m->win_len) {
		size_t len = (size_t)MIN(p->src.size - p->pos, (uint64_t)m->win_size);
		m->win_len = 0;
		int r = source_pread(&p->src, m->buf, len, p->pos, m->e);
		if (r < 0)
			return r;
		m->win = p->pos;
		m->win_len = len;
	}
	*out = m->buf + (p->pos - m->win);
	p->pos += n;
	return 0;
}

int pickle_take_number(struct pickle *p, size_t n, uint64_t *out)
{
	const unsigned char *b;
	int r = pickle_take(p, n, &b);
	if (r < 0)
		return r;
	*out = 0;
	while (n--)
		*out = *out << 8 | b[n];
	return 0;
}

int pickle_take_string(struct pickle *p, uint64_t n, struct pick *v)
{
	if (n > p->src.size - p->pos)
		return pickle_bad(p, "a string longer than what remains");
	char *s = arena_alloc(p->arena, n + 1);
	if (!s)
		return err_nomem(p->machine->e);
	v->str.s = s;
	v->str.len = n;
	v->str.pos = p->pos;
	if (n <= PICKLE_WINDOW) {
		const unsigned char *b;
		int r = pickle_take(p, n, &b);
		if (!r)
			memcpy(s, b, n);
		return r;
	}
	int r = source_pread(&p->src, s, n, p->pos, p->machine->e);
	p->pos += n;
	return r;
}

int pickle_take_bytes(struct pickle *p, uint64_t n, struct pick *v)
{
	if (n <= KEEP)
		return pickle_take_string(p, n, v);
	if (n > p->src.size - p->pos)
		return pickle_bad(p, "bytes longer than what remains");
	v->str.s = NULL;
	v->str.len = n;
	v->str.pos = p->pos;
	p->pos += n;
	return 0;
}

int pickle_take_line(struct pickle *p, const char **out, size_t *len)
{
	const struct pickle_machine *m = p->machine;
	const unsigned char *b, *nl = NULL;
	uint64_t start = p->pos, n = 0;
	if (start >= m->win && start < m->win + m->win_len) {
		b = m->buf + (start - m->win);
		nl = memchr(b, '\n', m->win_len - (size_t)(start - m->win));
	}
	if (!nl) {
		n = MIN(p->src.size - start, (uint64_t)PICKLE_WINDOW);
		int r = pickle_take(p, (size_t)n, &b);
		if (r < 0)
			return r;
		nl = memchr(b, '\n', (size_t)n);
	}
	if (!nl)
		return pickle_bad(p, n == PICKLE_WINDOW ? "a line longer than 65536 bytes" : "a line without its end");
	*out = (const char *)b;
	*len = (size_t)(nl - b);
	p->pos = start + *len + 1;
	return 0;
}

/* --- values --- */

struct pick *pick_new(struct pickle *p, enum pick_kind kind, struct err *e)
{
	struct pick *v = arena_alloc(p->arena, sizeof *v);
	if (v)
		v->kind = kind;
	else
		err_nomem(e);
	return v;
}

/* Arenas cannot grow in place: double, leaving the old half behind. */
static int grow(struct pickle *p, void **at, size_t *cap, size_t n, size_t size, struct err *e)
{
	if (n < *cap)
		return 0;
	size_t want = *cap ? *cap * 2 : 4;
	void *q = arena_array(p->arena, want, size);
	if (!q)
		return err_nomem(e);
	if (n)
		memcpy(q, *at, n * size);
	*at = q;
	*cap = want;
	return 0;
}

int pick_append(struct pickle *p, struct pick_items *l, struct pick *v, struct err *e)
{
	int r = grow(p, (void **)&l->at, &l->cap, l->n, sizeof *l->at, e);
	if (!r)
		l->at[l->n++] = v;
	return r;
}

int pick_put(struct pickle *p, struct pick_pairs *d, struct pick *key, struct pick *value, struct err *e)
{
	int r = grow(p, (void **)&d->at, &d->cap, d->n, sizeof *d->at, e);
	if (!r)
		d->at[d->n++] = (struct pick_pair){key, value};
	return r;
}

struct pick *pick_get(const struct pick *dict, const char *key)
{
	const struct pick_pairs *d = dict && dict->kind == PICK_DICT ? &dict->pairs
		: dict && dict->kind == PICK_OBJECT ? &dict->object->pairs : NULL;
	for (size_t i = d ? d->n : 0; i-- > 0;) {
		const struct pick *k = d->at[i].key;
		if ((k->kind == PICK_STR || k->kind == PICK_BYTES) && k->str.s && !strcmp(k->str.s, key))
			return d->at[i].value;
	}
	return NULL;
}

bool pick_is_global(const struct pick *v, const char *module, const char *name)
{
	return v && v->kind == PICK_GLOBAL && !strcmp(v->global.module, module) && !strcmp(v->global.name, name);
}
