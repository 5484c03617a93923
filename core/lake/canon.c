/* From names and shapes to parts: which tensor plays which role, and how a fused one is cut. */
#include "core/lake/canon_internal.h"

#include "core/base/hash.h"

#include <string.h>

/* What has to be known of all tensors before one can be placed. */
struct survey {
	struct tensor_name *name;	/* scratch: large */
	bool conv1d;		/* GPT-2's own modules store inputs x outputs */
	bool post_ff;		/* the feed-forward has norms of its own name */
	bool ssm;		/* there are state spaces */
	bool gate;		/* there is a separate gate */
	bool rope;		/* q and k rows are in llama.cpp's order */
	bool plus_one;		/* norms' weights are stored with 1 added */
	bool contiguous_qkv;	/* query_key_value holds q, k, v one after the other */
	struct { const char *component; bool encoder, decoder; } sides[16];
	size_t n_components;
	struct { const char *family; size_t votes; } votes[24];
};

static const struct role_entry *look_up(const struct tensor_name *n)
{
	return n->opaque ? NULL : n->in_block ? role_in_block(n->module) : role_outside(n->module);
}

static void note_component(struct survey *s, const struct tensor_name *n, bool known)
{
	size_t i = 0;

	if (!known && !*n->component)
		return;
	while (i < s->n_components && strcmp(s->sides[i].component, n->component))
		i++;
	if (i == COUNT(s->sides))
		return;
	if (i == s->n_components) {
		s->sides[i].component = n->component;
		s->n_components++;
	}
	if (known) {
		s->sides[i].encoder |= n->side == 'e';
		s->sides[i].decoder |= n->side == 'd';
	}
}

static void vote(struct survey *s, const char *family)
{
	for (size_t i = 0; family && i < COUNT(s->votes); i++) {
		if (s->votes[i].family && s->votes[i].family != family && strcmp(s->votes[i].family, family))
			continue;
		s->votes[i].family = family;
		s->votes[i].votes++;
		return;
	}
}

static void survey_tensor(struct survey *s, const struct tensor *t)
{
	struct tensor_name *n = s->name;
	const struct role_entry *r;

	tensor_name_parse(n, t->name);
	r = look_up(n);
	note_component(s, n, r);
	if (!r)
		return;
	vote(s, r->family);
	/* 3 h outputs: whichever side they are on tells how the family stores its modules */
	if (!strcmp(n->module, "attn.c_attn") && t->ndim == 2 && !n->bias && !n->lora)
		s->conv1d = (t->shape[1] > t->shape[0]) != n->kernel;
	if (!strcmp(n->module, "pre_feedforward_layernorm") || !strcmp(n->module, "post_feedforward_layernorm"))
		s->post_ff = true;
	if (!strcmp(r->role, "mlp.gate"))
		s->gate = true;
	if (!strcmp(r->role, "ssm.a_log"))
		s->ssm = true;
	if (n->side == 'e' && !strcmp(n->module, "self_attention.query_key_value"))
		s->contiguous_qkv = true;
}

static bool contains(const char *s, const char *what)
{
	return s && strstr(s, what);
}

static const char *family_of(const struct survey *s)
{
	size_t best = 0;

	for (size_t i = 1; i < COUNT(s->votes); i++)
		if (s->votes[i].votes > s->votes[best].votes)
			best = i;
	return s->votes[best].family ? s->votes[best].family : "other";
}

/* Two models differ in a prefix alone when each has but one component: it is said only where it tells things apart. */
static void prefix_of(const struct survey *s, const struct tensor_name *n, char out[64])
{
	char *p = out;
	bool both = false;

	for (size_t i = 0; i < s->n_components; i++)
		if (!strcmp(s->sides[i].component, n->component))
			both = s->sides[i].encoder && s->sides[i].decoder;
	*p = 0;
	if (s->n_components > 1 && *n->component) {
		p = stpcpy(p, n->component);
		p = stpcpy(p, ":");
	}
	if (both && n->side)
		stpcpy(p, n->side == 'e' ? "encoder:" : "decoder:");
}

/* Strings that appear many times are kept once. Open addressing, power of two. */
struct intern {
	struct arena *arena;
	const char **slot;
	size_t cap, n;
};

static int intern_grow(struct intern *in)
{
	size_t cap = in->cap ? in->cap * 2 : 256;
	const char **slot = mem_array(cap, sizeof *slot);

	if (!slot)
		return -ENOMEM;
	for (size_t i = 0; i < in->cap; i++) {
		size_t h = in->slot[i] ? hash64(in->slot[i], strlen(in->slot[i]), 0) : 0;

		while (in->slot[i] && slot[h & (cap - 1)])
			h++;
		if (in->slot[i])
			slot[h & (cap - 1)] = in->slot[i];
	}
	free(in->slot);
	in->slot = slot;
	in->cap = cap;
	return 0;
}

static const char *intern(struct intern *in, const char *s)
{
	size_t h = hash64(s, strlen(s), 0);

	if (in->n * 2 >= in->cap && intern_grow(in))
		return NULL;
	for (; in->slot[h & (in->cap - 1)]; h++)
		if (!strcmp(in->slot[h & (in->cap - 1)], s))
			return in->slot[h & (in->cap - 1)];
	s = arena_strdup(in->arena, s);
	if (s) {
		in->slot[h & (in->cap - 1)] = s;
		in->n++;
	}
	return s;
}

/* An embedding is stored as its own transpose: what PEFT calls A holds the vocabulary, the outputs here. */
static const char *const lora_suffix[] = {
	[LORA_NONE] = "", [LORA_A] = ".lora_a", [LORA_B] = ".lora_b", [LORA_A_T] = ".lora_a", [LORA_B_T] = ".lora_b",
	[LORA_EMBED_A] = ".lora_b", [LORA_EMBED_B] = ".lora_a", [LORA_MAGNITUDE] = ".lora_magnitude",
	[LORA_ALPHA] = ".lora_alpha", [LORA_MID] = ".lora_mid",
};

struct maker {
	struct canon *c;
	struct survey *s;
	const struct canon_hints *h;
	const struct weights *w;
	struct intern in;
	size_t cap;
	bool known_layers;
};

/* The tensor seen as one matrix in the canonical orientation. */
static struct part whole(const struct tensor *t, uint32_t index, bool transposed)
{
	struct part p = {.tensor = index, .layer = -1, .expert = -1, .rows = 1, .cols = 1};

	if (t->ndim) {
		p.rows = t->shape[0];
		p.cols = p.rows ? t->elements / p.rows : 0;
	}
	p.ld = p.cols;
	if (transposed && t->ndim == 2) {
		p.transposed = true;
		p.rows = t->shape[1];
		p.cols = t->shape[0];
		p.ld = p.rows;
	}
	return p;
}

/* An opaque name is no role of anything else: it stands alone. */
static const char *full_role(struct maker *m, const struct tensor_name *n, const char *base)
{
	char role[2 * TENSOR_NAME_MAX + 128], prefix[64];

	prefix_of(m->s, n, prefix);
	if (n->opaque || (!*prefix && !n->bias && !n->lora))
		return intern(&m->in, base);
	stpcpy(stpcpy(stpcpy(stpcpy(role, prefix), base), n->bias ? ".bias" : ""), lora_suffix[n->lora]);
	return intern(&m->in, role);
}

static int add(struct maker *m, const struct tensor_name *n, const char *base, struct part p, struct err *e)
{
	struct canon *c = m->c;

	p.role = full_role(m, n, base);
	if (!p.role || mem_grow(&c->parts, &m->cap, c->n_parts + 1))
		return err_nomem(e);
	p.layer = n->layer;
	if (p.expert < 0)
		p.expert = n->expert;
	c->parts[c->n_parts++] = p;
	return 0;
}

/* A run of rows [from, from + rows) of p. */
static struct part slice(struct part p, uint64_t from, uint64_t rows)
{
	p.first += from;
	p.rows = rows;
	return p;
}

/* Heads as the hints have them, if they divide this tensor's rows. The hints speak of the main component. */
static bool qkv_heads(const struct maker *m, const struct tensor_name *n, uint64_t rows, uint64_t *heads, uint64_t *kv)
{
	*heads = m->h->heads;
	*kv = m->h->kv_heads ? m->h->kv_heads : *heads;
	return *heads && *kv <= *heads && !strcmp(n->component, "") && rows % (*heads + 2 * *kv) == 0;
}

static int add_qkv(struct maker *m, const struct tensor_name *n, const char *q, struct part p, struct err *e)
{
	static const char *const roles[] = {"attn.q", "attn.k", "attn.v"};
	uint64_t heads, kv, size[3], from = 0;
	int r = 0;

	if (qkv_heads(m, n, p.rows, &heads, &kv)) {
		size[1] = size[2] = p.rows / (heads + 2 * kv) * kv;
		size[0] = p.rows - 2 * size[1];
	} else if (p.rows && p.rows % 3 == 0 &&
		   (p.transposed || p.cols == 1 || p.rows == 3 * p.cols || !m->h->kv_heads)) {
		size[0] = size[1] = size[2] = p.rows / 3;
	} else {
		return add(m, n, q, p, e);
	}
	for (int i = 0; i < 3 && !r; from += size[i++])
		r = add(m, n, roles[i], slice(p, from, size[i]), e);
	return r;
}

/* For each of the kv heads: its q rows, its k rows, its v rows. */
static int add_qkv_groups(struct maker *m, const struct tensor_name *n, const char *whole_role, struct part p,
			  struct err *e)
{
	static const char *const roles[] = {"attn.q", "attn.k", "attn.v"};
	uint64_t heads, kv, head, group;
	int r = 0;

	if (m->s->contiguous_qkv)
		return add_qkv(m, n, whole_role, p, e);
	if (!qkv_heads(m, n, p.rows, &heads, &kv) || heads % kv || p.rows > UINT32_MAX)
		return add(m, n, whole_role, p, e);
	if (kv == 1)
		return add_qkv(m, n, whole_role, p, e);
	head = p.rows / (heads + 2 * kv);
	group = (heads / kv + 2) * head;
	for (int i = 0; i < 3 && !r; i++) {
		struct part s = p;

		s.stride = (uint32_t)group;
		s.run = (uint32_t)(i ? head : group - 2 * head);
		s.phase = (uint32_t)(i ? group - (uint64_t)(3 - i) * head : 0);
		s.rows = s.run * kv;
		r = add(m, n, roles[i], s, e);
	}
	return r;
}

static int add_halves(struct maker *m, const struct tensor_name *n, const char *role, struct part p, const char *first,
		      const char *second, struct err *e)
{
	int r;

	if (p.rows % 2 || !p.rows)
		return add(m, n, role, p, e);
	r = add(m, n, first, slice(p, 0, p.rows / 2), e);
	return r ? r : add(m, n, second, slice(p, p.rows / 2, p.rows / 2), e);
}

/* Experts stacked in front: [E, out, in], or [E, in, out] where the inputs come first (Llama 4, gpt-oss). */
static int add_experts(struct maker *m, const struct tensor_name *n, const struct role_entry *re,
		       const struct tensor *t, uint32_t index, struct err *e)
{
	bool up = re->split == SPLIT_EXPERTS_GATE_UP, oss = contains(m->h->architecture, "GptOss");
	/* a parameter, not a layer's weight, and as it is computed with, not as MXFP4 stores it */
	size_t len = strlen(t->name);
	bool layer = len > 7 && !strcmp(t->name + len - 7, ".weight");
	bool inputs_first = oss && !layer && t->dtype != DTYPE_CT_MXFP4;
	uint64_t experts = t->shape[0], out, in;
	struct part p = whole(t, index, false);
	int r = 0;

	if (t->ndim < 2 || t->ndim > 3 || !experts || experts > 4096 ||
	    m->c->n_parts > 4 * m->w->n_tensors + (1u << 20))
		return add(m, n, re->role, p, e);
	out = t->shape[1];
	in = t->ndim == 3 ? t->shape[2] : 1;
	p.transposed = t->ndim == 3 && (inputs_first || (m->h->hidden && (up ? out : in) == m->h->hidden &&
							 (up ? in : out) != m->h->hidden));
	p.rows = p.transposed ? in : out;
	p.cols = p.transposed ? out : in;
	p.ld = in;
	for (uint64_t i = 0; i < experts && !r; i++) {
		p.expert = (int32_t)i;
		p.base = i * out * in;
		if (up && oss && p.rows % 2 == 0) {	/* gate and up alternate */
			struct part g = p, u = p;

			g.rows = u.rows = p.rows / 2;
			g.stride = u.stride = 2;
			g.run = u.run = 1;
			u.phase = 1;
			r = add(m, n, "mlp.gate", g, e);
			r = r ? r : add(m, n, "mlp.up", u, e);
		} else if (up) {
			r = add_halves(m, n, re->role, p, "mlp.gate", "mlp.up", e);
		} else {
			r = add(m, n, re->role, p, e);
		}
	}
	return r;
}

/* Rows in llama.cpp's order come in pairs (i, i + d/2): so many heads of an even size. */
static uint32_t rope_heads(const struct maker *m, const struct role_entry *re, const struct part *p)
{
	uint64_t heads = re->flags & ROLE_ROPE_K && m->h->kv_heads ? m->h->kv_heads : m->h->heads;

	if (!(re->flags & (ROLE_ROPE_Q | ROLE_ROPE_K)) || !(m->s->rope || re->flags & ROLE_META))
		return 0;
	if (m->h->head_dim && p->rows % m->h->head_dim)
		return 0;	/* not whole heads: a piece of a tensor, whose order cannot be known */
	if (m->h->head_dim)
		heads = p->rows / m->h->head_dim;
	return heads && heads <= UINT32_MAX && p->rows % (2 * heads) == 0 ? (uint32_t)heads : 0;
}

char canon_factor(const char *role)
{
	size_t n = strlen(role);
	const char *end = n > CANON_FACTOR ? role + n - CANON_FACTOR : "";
	return !strcmp(end, ".lora_a") || !strcmp(end, ".lora_b") ? end[CANON_FACTOR - 1] : 0;
}

static const char *known_role(const struct maker *m, const struct tensor_name *n, const struct role_entry *re)
{
	if (re->flags & ROLE_POST && m->s->post_ff)
		return "norm.attn.post";
	if (re->flags & ROLE_SSM && m->s->ssm)
		return "ssm.out";
	if (re->flags & ROLE_CROSS && n->side == 'd')
		return "norm.xattn";
	return re->role;
}

static bool is_transposed(const struct maker *m, const struct tensor_name *n, const struct role_entry *re)
{
	if (n->lora)
		return n->lora == LORA_A_T || n->lora == LORA_B_T || n->lora == LORA_EMBED_A || n->lora == LORA_EMBED_B;
	return (re && re->flags & ROLE_CONV1D && m->s->conv1d && !n->bias) != n->kernel;
}

static bool is_norm(const char *role)
{
	return !strncmp(role, "norm.", 5) || !strcmp(role, "attn.q_norm") || !strcmp(role, "attn.k_norm");
}

static int add_known(struct maker *m, const struct tensor_name *n, const struct role_entry *re, const struct tensor *t,
		     uint32_t index, struct err *e)
{
	struct part p = whole(t, index, is_transposed(m, n, re));
	const char *role = known_role(m, n, re);

	/* an adapter's A belongs to the fused module as a whole, and so B stays with it */
	if (!n->lora || n->lora == LORA_B)
		p.rope_heads = rope_heads(m, re, &p);
	if (m->s->plus_one && !n->bias && !n->lora && is_norm(role))
		p.offset = -1;
	if (n->lora)
		return add(m, n, role, p, e);
	switch ((enum split)re->split) {
	case SPLIT_QKV:
		return add_qkv(m, n, role, p, e);
	case SPLIT_QKV_GROUPS:
		return add_qkv_groups(m, n, role, p, e);
	case SPLIT_KV:
		return add_halves(m, n, role, p, "xattn.k", "xattn.v", e);
	case SPLIT_GATE_UP:
		return add_halves(m, n, role, p, "mlp.gate", "mlp.up", e);
	case SPLIT_FFN_UP:
		return !m->s->gate && (contains(m->h->architecture, "phi3") || contains(m->h->architecture, "glm") ||
				       contains(m->h->architecture, "GLM")) ?
		       add_halves(m, n, role, p, "mlp.gate", "mlp.up", e) : add(m, n, role, p, e);
	case SPLIT_EXPERTS:
	case SPLIT_EXPERTS_GATE_UP:
		return add_experts(m, n, re, t, index, e);
	case SPLIT_NONE:
		break;
	}
	return add(m, n, role, p, e);
}

static int place(struct maker *m, uint32_t index, struct err *e)
{
	const struct tensor *t = &m->w->tensors[index];
	struct tensor_name *n = m->s->name;
	const struct role_entry *re;

	tensor_name_parse(n, t->name);
	re = look_up(n);
	if (n->layer >= 0 && (m->known_layers ? re && n->in_block : true))
		m->c->layers = MAX(m->c->layers, (uint32_t)n->layer + 1);
	if (re)
		return add_known(m, n, re, t, index, e);
	n->side = 0;	/* its name says so itself */
	return add(m, n, n->opaque ? t->name : n->body, whole(t, index, is_transposed(m, n, NULL)), e);
}

/* A role is one tensor's: of two that seem to play it the later one keeps its own name. */
static int make_unique(struct maker *m, struct err *e)
{
	struct canon *c = m->c;
	size_t cap = 16;
	cleanup_free uint32_t *slot = NULL;

	while (cap < c->n_parts * 2)
		cap *= 2;
	if (!(slot = mem_array(cap, sizeof *slot)))
		return err_nomem(e);
	for (size_t i = 0; i < c->n_parts; i++) {
		struct part *p = &c->parts[i];
		uint64_t h =
			hash64(&p->role, sizeof p->role, ((uint64_t)(uint32_t)p->layer << 32) ^ (uint32_t)p->expert);
		const struct part *q;

		for (; slot[h & (cap - 1)]; h++) {
			q = &c->parts[slot[h & (cap - 1)] - 1];
			if (q->role == p->role && q->layer == p->layer && q->expert == p->expert)
				break;
		}
		if (!slot[h & (cap - 1)]) {
			slot[h & (cap - 1)] = (uint32_t)i + 1;
			continue;
		}
		p->role = arena_printf(&c->arena, "%s %s", m->w->tensors[p->tensor].name, p->role);
		if (!p->role)
			return err_nomem(e);
	}
	return 0;
}

static int canon_make(struct maker *m, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < m->w->n_tensors; i++)
		survey_tensor(m->s, &m->w->tensors[i]);
	m->c->family = family_of(m->s);
	m->known_layers = strcmp(m->c->family, "other");
	if (m->w->format && !strcmp(m->w->format->name, "gguf")) {
		m->s->rope = canon_rope_order(m->h->architecture);
		m->s->plus_one = canon_norm_plus_one(m->h->architecture);
	}
	m->s->contiguous_qkv |= contains(m->h->architecture, "ChatGLM") || contains(m->h->architecture, "Bailing");
	for (size_t i = 0; i < m->w->n_tensors && !r; i++)
		r = place(m, (uint32_t)i, e);
	return r ? r : make_unique(m, e);
}

int canon_of(struct canon *c, const struct weights *w, const struct canon_hints *hints, struct err *e)
{
	struct canon_hints h = hints ? *hints : (struct canon_hints){0};
	struct survey s = {0};
	cleanup_free struct tensor_name *name = mem_alloc(sizeof *name);
	struct maker m = {.c = c, .s = &s, .h = &h, .w = w, .in.arena = &c->arena};
	int r;

	*c = (struct canon){0};
	if (!name)
		return err_nomem(e);
	s.name = name;
	canon_hints_from(&h, NULL, &w->meta);
	r = canon_make(&m, e);
	free(m.in.slot);
	if (r)
		canon_release(c);
	return r;
}

void canon_release(struct canon *c)
{
	free(c->parts);
	arena_release(&c->arena);
	*c = (struct canon){0};
}
