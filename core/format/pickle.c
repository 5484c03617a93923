/* The opcodes of the pickle machine: a stack, marks on it, and a memo. */
#include "core/format/pickle.h"
#include "core/format/pickle_internal.h"

#include "core/base/hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int pickle_init(struct pickle *p, struct source src, struct weights *w, const char *file, struct arena *a,
		struct err *e)
{
	*p = (struct pickle){.src = src, .w = w, .file = file, .arena = a};
	size_t window = (size_t)MIN(src.size, (uint64_t)PICKLE_WINDOW);
	p->machine = mem_alloc(sizeof *p->machine + window);
	if (!p->machine)
		return err_nomem(e);
	p->machine->win_size = window;
	p->machine->nested = src.size > UINT64_MAX / 4 ? UINT64_MAX : src.size * 4;
	return 0;
}

void pickle_release(struct pickle *p)
{
	if (!p->machine)
		return;
	free(p->machine->stack);
	free(p->machine->marks);
	free(p->machine->memo);
	free(p->machine->globals);
	free(p->machine);
	p->machine = NULL;
}

/* --- stack, marks, memo --- */

/* An operation of a byte takes 8 and more of ours here; what was saved has fewer values than this at once. */
enum { PLACES = 1 << 24 };

static int too_large(struct pickle *p)
{
	return err_set(p->machine->e, EFBIG, "pickle: its values would take too much memory");
}

static int push(struct pickle *p, struct pick *v)
{
	struct pickle_machine *m = p->machine;
	if (!v)
		return -m->e->code;
	if (m->n >= PLACES)
		return too_large(p);
	if (mem_grow(&m->stack, &m->cap, m->n + 1) < 0)
		return err_nomem(m->e);
	m->stack[m->n++] = v;
	return 0;
}

static int push_new(struct pickle *p, enum pick_kind kind)
{
	return push(p, pick_new(p, kind, p->machine->e));
}

static int push_int(struct pickle *p, int64_t i)
{
	struct pick *v = pick_new(p, PICK_INT, p->machine->e);
	if (v)
		v->i = i;
	return push(p, v);
}

static int push_bool(struct pickle *p, bool b)
{
	struct pick *v = pick_new(p, PICK_BOOL, p->machine->e);
	if (v)
		v->b = b;
	return push(p, v);
}

static int push_float(struct pickle *p, double f)
{
	struct pick *v = pick_new(p, PICK_FLOAT, p->machine->e);
	if (v)
		v->f = f;
	return push(p, v);
}

static size_t floor_of(const struct pickle_machine *m)
{
	return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

static int pop(struct pickle *p, struct pick **out)
{
	struct pickle_machine *m = p->machine;
	if (m->n <= floor_of(m))
		return pickle_bad(p, "nothing on the stack");
	*out = m->stack[--m->n];
	return 0;
}

static int top(struct pickle *p, struct pick **out)
{
	struct pickle_machine *m = p->machine;
	if (m->n <= floor_of(m))
		return pickle_bad(p, "nothing on the stack");
	*out = m->stack[m->n - 1];
	return 0;
}

static int mark(struct pickle *p)
{
	struct pickle_machine *m = p->machine;
	if (m->n_marks >= PLACES)
		return too_large(p);
	if (mem_grow(&m->marks, &m->marks_cap, m->n_marks + 1) < 0)
		return err_nomem(m->e);
	m->marks[m->n_marks++] = m->n;
	return 0;
}

/* What stands above the last mark, which goes; the items stay in place until the next push. */
static int pop_mark(struct pickle *p, struct pick_items *above)
{
	struct pickle_machine *m = p->machine;
	if (!m->n_marks)
		return pickle_bad(p, "no mark on the stack");
	size_t from = m->marks[--m->n_marks];
	*above = (struct pick_items){m->stack ? m->stack + from : NULL, m->n - from, 0};
	m->n = from;
	return 0;
}

/* Indices are anyone's choice: the seed keeps them from being chosen to collide. */
static size_t memo_slot(const struct pickle_machine *m, uint64_t key)
{
	size_t i = hash_mix(key ^ (uintptr_t)m) & (m->memo_size - 1);
	while (m->memo[i].value && m->memo[i].key != key)
		i = (i + 1) & (m->memo_size - 1);
	return i;
}

static int memo_grow(struct pickle *p)
{
	struct pickle_machine *m = p->machine;
	struct memo *old = m->memo;
	size_t old_size = m->memo_size, size = old_size ? old_size * 2 : 64;
	struct memo *fresh = mem_array(size, sizeof *fresh);
	if (!fresh)
		return err_nomem(m->e);
	m->memo = fresh;
	m->memo_size = size;
	for (size_t i = 0; i < old_size; i++)
		if (old[i].value)
			m->memo[memo_slot(m, old[i].key)] = old[i];
	free(old);
	return 0;
}

static int memo_put(struct pickle *p, uint64_t key)
{
	struct pickle_machine *m = p->machine;
	struct pick *v;
	int r = top(p, &v);
	if (!r && m->memo_n >= PLACES)
		r = too_large(p);
	if (!r && (m->memo_n + 1) * 2 > m->memo_size)
		r = memo_grow(p);
	if (r < 0)
		return r;
	struct memo *slot = &m->memo[memo_slot(m, key)];
	m->memo_n += !slot->value;
	*slot = (struct memo){key, v};
	return 0;
}

static int memo_get(struct pickle *p, uint64_t key)
{
	struct pickle_machine *m = p->machine;
	struct pick *v = m->memo_size ? m->memo[memo_slot(m, key)].value : NULL;
	return v ? push(p, v) : pickle_bad(p, "a memo that was never put");
}

static int line_number(struct pickle *p, uint64_t *out)
{
	const char *s;
	size_t n;
	int r = pickle_take_line(p, &s, &n);
	*out = 0;
	if (!r && (!n || n > 18))
		return pickle_bad(p, "not a memo index");
	for (size_t i = 0; !r && i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return pickle_bad(p, "not a memo index");
		*out = *out * 10 + (uint64_t)(s[i] - '0');
	}
	return r;
}

/* --- longer operations --- */

static int binary_long(struct pickle *p, uint64_t n)
{
	const unsigned char *b;
	if (n > 8) {
		struct pick *v = pick_new(p, PICK_LONG, p->machine->e);
		int r = v ? pickle_take_bytes(p, n, v) : -p->machine->e->code;
		return r < 0 ? r : push(p, v);
	}
	int r = pickle_take(p, n, &b);
	if (r < 0)
		return r;
	uint64_t u = n && b[n - 1] & 0x80 ? UINT64_MAX : 0;
	for (size_t i = n; i-- > 0;)
		u = u << 8 | b[i];
	return push_int(p, (int64_t)u);
}

static int binary_string(struct pickle *p, size_t width, enum pick_kind kind)
{
	uint64_t n;
	int r = pickle_take_number(p, width, &n);
	if (r < 0)
		return r;
	struct pick *v = pick_new(p, kind, p->machine->e);
	if (!v)
		return -p->machine->e->code;
	r = kind == PICK_BYTES ? pickle_take_bytes(p, n, v) : pickle_take_string(p, n, v);
	return r < 0 ? r : push(p, v);
}

/* The top `n` (or those above the mark) as a tuple, list or set. */
static int gather_items(struct pickle *p, enum pick_kind kind, const struct pick_items *above)
{
	struct pick *v = pick_new(p, kind, p->machine->e);
	if (!v)
		return -p->machine->e->code;
	v->items.at = arena_array(p->arena, above->n, sizeof *v->items.at);
	if (!v->items.at)
		return err_nomem(p->machine->e);
	if (above->n)
		memcpy(v->items.at, above->at, above->n * sizeof *above->at);
	v->items.n = v->items.cap = above->n;
	return push(p, v);
}

static int small_tuple(struct pickle *p, size_t n)
{
	struct pickle_machine *m = p->machine;
	if (m->n - floor_of(m) < n)
		return pickle_bad(p, "nothing on the stack");
	m->n -= n;
	struct pick_items above = {m->stack + m->n, n, 0};
	return gather_items(p, PICK_TUPLE, &above);
}

static int marked(struct pickle *p, enum pick_kind kind)
{
	struct pick_items above;
	int r = pop_mark(p, &above);
	return r < 0 ? r : gather_items(p, kind, &above);
}

static int add_pairs(struct pickle *p, struct pick *into, const struct pick_items *above)
{
	struct pick_pairs *d = into->kind == PICK_DICT     ? &into->pairs
			       : into->kind == PICK_OBJECT ? &into->object->pairs
							   : NULL;
	if (above->n % 2)
		return pickle_bad(p, "a key without a value");
	for (size_t i = 0; d && i < above->n; i += 2) {
		int r = pick_put(p, d, above->at[i], above->at[i + 1], p->machine->e);
		if (r < 0)
			return r;
	}
	return d || into->kind == PICK_GLOBAL ? 0 : pickle_bad(p, "items for what is not a dict");
}

static int add_items(struct pickle *p, struct pick *into, const struct pick_items *above)
{
	struct pick_items *l = into->kind == PICK_LIST || into->kind == PICK_SET ? &into->items
		: into->kind == PICK_OBJECT ? &into->object->items : NULL;
	for (size_t i = 0; l && i < above->n; i++) {
		int r = pick_append(p, l, above->at[i], p->machine->e);
		if (r < 0)
			return r;
	}
	return l || into->kind == PICK_GLOBAL ? 0 : pickle_bad(p, "items for what is not a list");
}

/* SETITEM(S), APPEND(S), ADDITEMS: n above the container, or those above the mark (SIZE_MAX) */
static int extend(struct pickle *p, size_t n, bool pairs)
{
	struct pickle_machine *m = p->machine;
	struct pick_items above = {NULL, n, 0};
	struct pick *into;
	int r = 0;
	if (n == SIZE_MAX) {
		r = pop_mark(p, &above);
	} else if (m->n - floor_of(m) < n) {
		return pickle_bad(p, "nothing on the stack");
	} else {
		m->n -= n;
		above.at = m->stack + m->n;
	}
	if (!r)
		r = top(p, &into);
	return r < 0 ? r : pairs ? add_pairs(p, into, &above) : add_items(p, into, &above);
}

static int dict_of_marked(struct pickle *p)
{
	struct pick_items above;
	struct pick *v = pick_new(p, PICK_DICT, p->machine->e);
	if (!v)
		return -p->machine->e->code;
	int r = pop_mark(p, &above);
	if (!r)
		r = add_pairs(p, v, &above);
	return r < 0 ? r : push(p, v);
}

static int text_value(struct pickle *p, unsigned char op)
{
	struct pick *v = NULL;
	int r = op == 'F' ? pickle_text_float(p, &v) : op == 'I' || op == 'L' ? pickle_text_int(p, op == 'L', &v)
						     : pickle_text_string(p, op == 'V', &v);
	return r < 0 ? r : push(p, v);
}

/* --- globals and calls --- */

static int text_global(struct pickle *p)
{
	const char *module, *name;
	char kept[PICKLE_NAME];
	size_t n, m;
	struct pick *v;
	int r = pickle_take_line(p, &module, &n);
	if (r < 0)
		return r;
	memcpy(kept, module, MIN(n, sizeof kept));	/* the window may move */
	r = pickle_take_line(p, &name, &m);
	if (!r)
		r = pickle_global(p, kept, n, name, m, &v);
	return r < 0 ? r : push(p, v);
}

static int stack_global(struct pickle *p)
{
	struct pick *module, *name, *v;
	int r = pop(p, &name);
	if (!r)
		r = pop(p, &module);
	if (r < 0)
		return r;
	if (name->kind != PICK_STR || module->kind != PICK_STR) {
		r = pickle_hazard(p, "pickle-global", TOLD_NO_STRING, p->machine->at,
				  "a global whose name is not a string", p->machine->e);
		return r < 0 ? r : pickle_bad(p, "a global's name that is not a string");
	}
	r = pickle_global(p, module->str.s, module->str.len, name->str.s, name->str.len, &v);
	return r < 0 ? r : push(p, v);
}

static int call(struct pickle *p, struct pick *callable, struct pick *args, bool construct)
{
	struct pick *out;
	int r = construct ? pickle_construct(p, callable, args, &out, p->machine->e)
			  : pickle_call(p, callable, args, p->machine->at, &out, p->machine->e);
	return r < 0 ? r : push(p, out);
}

static int reduce(struct pickle *p, bool construct, bool kwargs)
{
	struct pick *callable, *args, *named;
	int r = kwargs ? pop(p, &named) : 0;
	if (!r)
		r = pop(p, &args);
	if (!r)
		r = pop(p, &callable);
	return r < 0 ? r : call(p, callable, args, construct);
}

/* INST names its class in the pickle, OBJ has it as the first thing above the mark. */
static int instance(struct pickle *p, bool named)
{
	struct pick_items above;
	struct pick *cls, *args;
	if (named) {
		int r = text_global(p);
		if (r < 0)
			return r;
		cls = p->machine->stack[--p->machine->n];
	}
	int r = pop_mark(p, &above);
	if (r < 0)
		return r;
	if (!named) {
		if (!above.n)
			return pickle_bad(p, "no class above the mark");
		cls = above.at[0];
		above.at++;
		above.n--;
	}
	r = gather_items(p, PICK_TUPLE, &above);
	if (!r)
		r = pop(p, &args);
	return r < 0 ? r : call(p, cls, args, false);
}

static int build(struct pickle *p)
{
	struct pick *state, *v;
	int r = pop(p, &state);
	if (!r)
		r = top(p, &v);
	return r < 0 ? r : pickle_set_state(p, v, state, p->machine->e);
}

static int persistent(struct pickle *p, bool text)
{
	struct pick *id, *out;
	int r = 0;
	if (text) {
		const char *s;
		size_t n;
		r = pickle_take_line(p, &s, &n);
		if (r < 0)
			return r;
		id = pick_new(p, PICK_STR, p->machine->e);
		if (!id || !(id->str.s = arena_strndup(p->arena, s, n)))
			return err_nomem(p->machine->e);
		id->str.len = n;
	} else {
		r = pop(p, &id);
	}
	if (!r)
		r = pickle_persistent(p, id, &out, p->machine->e);
	return r < 0 ? r : push(p, out);
}

static int extension(struct pickle *p, size_t width)
{
	uint64_t code;
	int r = pickle_take_number(p, width, &code);
	if (!r)
		r = pickle_hazard(p, "pickle-extension", TOLD_EXTENSION, p->machine->at,
				  "a global by its number in copyreg's registry", p->machine->e);
	return r < 0 ? r : push_new(p, PICK_NONE);
}

static int pop_any(struct pickle *p)
{
	struct pickle_machine *m = p->machine;
	if (m->n_marks && m->n == m->marks[m->n_marks - 1]) {
		m->n_marks--;
		return 0;
	}
	struct pick *v;
	return pop(p, &v);
}

static int simple(struct pickle *p, unsigned char op, bool *known);

static int with_number(struct pickle *p, unsigned char op, size_t width)
{
	uint64_t u;
	int r = pickle_take_number(p, width, &u);
	if (r < 0)
		return r;
	switch (op) {
	case 'J': return push_int(p, (int32_t)(uint32_t)u);
	case 'K': case 'M': return push_int(p, (int64_t)u);
	case 'h': case 'j': return memo_get(p, u);
	case 'q': case 'r': return memo_put(p, u);
	case 0x8a: case 0x8b: return u > INT32_MAX ? pickle_bad(p, "a negative length") : binary_long(p, u);
	case 0x80: return u > 5 ? pickle_bad(p, "a protocol newer than 5") : 0;
	default: return 0;	/* FRAME: a hint */
	}
}

static int binary_float(struct pickle *p)
{
	const unsigned char *b;
	int r = pickle_take(p, 8, &b);
	if (r < 0)
		return r;
	union { uint64_t u; double f; } v = {0};
	for (int i = 0; i < 8; i++)
		v.u = v.u << 8 | b[i];
	return push_float(p, v.f);
}

static int duplicate(struct pickle *p)
{
	struct pick *v;
	int r = top(p, &v);
	return r < 0 ? r : push(p, v);
}

static int get_put(struct pickle *p, bool put)
{
	uint64_t u;
	int r = line_number(p, &u);
	return r < 0 ? r : put ? memo_put(p, u) : memo_get(p, u);
}

static int pop_to_mark(struct pickle *p)
{
	struct pick_items above;
	return pop_mark(p, &above);
}

static int run(struct pickle *p, unsigned char op)
{
	switch (op) {
	case '(': return mark(p);
	case '0': return pop_any(p);
	case '1': return pop_to_mark(p);
	case '2': return duplicate(p);
	case 'F': case 'I': case 'L': case 'S': case 'V': return text_value(p, op);
	case 'G': return binary_float(p);
	case 'J': case 'r': case 'j': case 0x8b: return with_number(p, op, 4);
	case 'K': case 'h': case 'q': case 0x80: case 0x8a: return with_number(p, op, 1);
	case 'M': return with_number(p, op, 2);
	case 0x95: return with_number(p, op, 8);
	case 'P': return persistent(p, true);
	case 'Q': return persistent(p, false);
	case 'R': return reduce(p, false, false);
	case 0x81: return reduce(p, true, false);
	case 0x92: return reduce(p, true, true);
	case 'T': return binary_string(p, 4, PICK_STR);
	case 'U': return binary_string(p, 1, PICK_STR);
	case 'X': return binary_string(p, 4, PICK_STR);
	case 0x8c: return binary_string(p, 1, PICK_STR);
	case 0x8d: return binary_string(p, 8, PICK_STR);
	case 'B': return binary_string(p, 4, PICK_BYTES);
	case 'C': return binary_string(p, 1, PICK_BYTES);
	case 0x8e: case 0x96: return binary_string(p, 8, PICK_BYTES);
	case 'a': return extend(p, 1, false);
	case 'e': case 0x90: return extend(p, SIZE_MAX, false);
	case 's': return extend(p, 2, true);
	case 'u': return extend(p, SIZE_MAX, true);
	case 'b': return build(p);
	case 'c': return text_global(p);
	case 0x93: return stack_global(p);
	case 'i': return instance(p, true);
	case 'o': return instance(p, false);
	case 'd': return dict_of_marked(p);
	case 'l': return marked(p, PICK_LIST);
	case 't': return marked(p, PICK_TUPLE);
	case 0x91: return marked(p, PICK_SET);
	case 0x85: case 0x86: case 0x87: return small_tuple(p, op - 0x84u);
	case 'g': return get_put(p, false);
	case 'p': return get_put(p, true);
	case 0x94: return memo_put(p, p->machine->memo_n);
	case 0x82: case 0x83: case 0x84: return extension(p, (size_t)1 << (op - 0x82));
	default: break;
	}
	bool known;
	int r = simple(p, op, &known);
	return r < 0 || known ? r : pickle_bad(p, "an unknown operation");
}

static int simple(struct pickle *p, unsigned char op, bool *known)
{
	*known = true;
	switch (op) {
	case 'N': return push_new(p, PICK_NONE);
	case '}': return push_new(p, PICK_DICT);
	case ']': return push_new(p, PICK_LIST);
	case ')': return push_new(p, PICK_TUPLE);
	case 0x8f: return push_new(p, PICK_SET);
	case 0x88: return push_bool(p, true);
	case 0x89: return push_bool(p, false);
	case 0x97: return push_new(p, PICK_NONE);	/* a buffer that is not in the file */
	case 0x98: return 0;
	default:
		*known = false;
		return 0;
	}
}

/* Clearing costs no more than filling did, however many small pickles follow a large one. */
static void forget(struct pickle_machine *m)
{
	if (m->memo_n < m->memo_size / 8) {
		free(m->memo);
		m->memo = NULL;
		m->memo_size = 0;
	} else if (m->memo) {
		memset(m->memo, 0, m->memo_size * sizeof *m->memo);
	}
	m->memo_n = m->n = m->n_marks = 0;
}

static int run_all(struct pickle *p, struct pick **root)
{
	struct pickle_machine *m = p->machine;
	for (;;) {
		const unsigned char *b;
		m->at = p->pos;
		int r = pickle_take(p, 1, &b);
		if (r < 0)
			return r;
		if (*b == '.')
			return pop(p, root);
		r = run(p, *b);
		if (r < 0)
			return r;
	}
}

int pickle_load(struct pickle *p, struct pick **root, struct err *e)
{
	struct err local = ERR_INIT;
	p->machine->e = e ? e : &local;
	forget(p->machine);
	int r = run_all(p, root);
	return r == -ENOMEM && p->arena->full ? too_large(p) : r;
}
