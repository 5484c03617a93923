/*
 * ONNX models (onnx.proto of onnx.ai): the tensors of initializers and of Constant nodes, in the graph, its subgraphs and
 * functions. Values stand in raw_data, in typed fields, or in files beside the model.
 */
#include "core/format/formats_internal.h"
#include "core/format/protobuf.h"
#include "core/format/stored.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	DEPTH = 32,			/* graphs in attributes of nodes of graphs */
	NAME_MAX_BYTES = 65536,
	CONSTANT_MIN = 16,		/* smaller constants are shapes and scalars of the program, not weights */
	META_MAX = 256,
};

/* TensorProto: where its parts are. */
struct proto {
	const char *name;
	uint64_t dims[TENSOR_DIMS];
	unsigned ndim;
	int32_t type;
	bool external;
	struct pb_field data;		/* the last raw_data or packed typed data */
	size_t chunks;			/* of typed data */
	const char *location;
	uint64_t offset, length;
	bool have_length;
};

struct onnx {
	struct weights *w;
	uint32_t file;
	const char *path;
	size_t strings, sparse, odd;	/* tensors left out, by why */
	struct { const char *location; struct io *io; } *beside;	/* files opened, in the arena */
	size_t n_beside;
	struct member meta[META_MAX];
	size_t n_meta;
	bool graph;
	struct err *e;
};

/* --- element types --- */

static enum dtype dtype_of(int32_t type)
{
	static const enum dtype known[] = {
		[1] = DTYPE_F32,          [2] = DTYPE_U8,       [3] = DTYPE_I8,           [4] = DTYPE_U16,
		[5] = DTYPE_I16,          [6] = DTYPE_I32,      [7] = DTYPE_I64,          [9] = DTYPE_BOOL,
		[10] = DTYPE_F16,         [11] = DTYPE_F64,     [12] = DTYPE_U32,         [13] = DTYPE_U64,
		[14] = DTYPE_C64,         [15] = DTYPE_C128,    [16] = DTYPE_BF16,        [17] = DTYPE_F8_E4M3,
		[18] = DTYPE_F8_E4M3FNUZ, [19] = DTYPE_F8_E5M2, [20] = DTYPE_F8_E5M2FNUZ, [21] = DTYPE_U4,
		[22] = DTYPE_I4,          [23] = DTYPE_F4,      [24] = DTYPE_F8_E8M0,
	};
	return type > 0 && (size_t)type < COUNT(known) ? known[type] : DTYPE_NONE;
}

/* The typed field that a type uses, its wire type, and the bytes of a number there (0: a varint). */
static uint32_t typed_field(int32_t type, enum pb_wire *wire)
{
	*wire = type == 1 || type == 14 ? PB_FIXED32 : type == 11 || type == 15 ? PB_FIXED64 : PB_VARINT;
	return type == 1 || type == 14    ? 4
	       : type == 11 || type == 15 ? 10
	       : type == 7                ? 7
	       : type == 12 || type == 13 ? 11
					  : 5;
}

/* --- external data --- */

static bool is_safe(const char *location)
{
	if (!*location || *location == '/' || strchr(location, '\\') || strstr(location, "..") || location[1] == ':')
		return false;
	for (const char *s = location; *s; s++)
		if ((unsigned char)*s < ' ')
			return false;
	return true;
}

static int open_external(struct onnx *o, const char *location, struct io **io)
{
	for (size_t i = 0; i < o->n_beside; i++)
		if (!strcmp(o->beside[i].location, location)) {
			*io = o->beside[i].io;
			return 0;
		}
	if (!o->w->beside)
		return err_set(o->e, ENOTSUP, "its weights are in another file, '%.100s'", location);
	*io = stored_file(o->w, o->e);
	void *more = arena_array(&o->w->arena, o->n_beside + 1, sizeof *o->beside);
	if (!*io || !more)
		return err_nomem(o->e);
	int r = o->w->beside->open(o->w->beside->ctx, o->file, location, *io, o->e);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)	/* of the model itself these would say that it is gone */
		return err_set(o->e, EINVAL, "its weights are in '%.100s' beside it, which is missing", location);
	if (r < 0)
		return err_prefix(o->e, "external data '%.100s': ", location);
	if (o->n_beside)
		memcpy(more, o->beside, o->n_beside * sizeof *o->beside);
	o->beside = more;
	o->beside[o->n_beside].location = location;
	o->beside[o->n_beside++].io = *io;
	return 0;
}

static int locate_external(struct onnx *o, const struct proto *p, uint64_t bytes, struct stored *s)
{
	struct io *io = NULL;
	if (!p->location)
		return err_set(o->e, EINVAL, "%.200s: its data is external, without a location", p->name);
	if (!is_safe(p->location)) {
		if (weights_hazard(o->w, o->path, "external-path", ERR_NOPOS, false,
				   "%.100s: data in '%.200s', outside of the model", p->name, p->location) < 0)
			return err_nomem(o->e);
		return err_set(o->e, EINVAL, "%.100s: its data is in '%.150s', outside of the model's directory",
			       p->name, p->location);
	}
	int r = open_external(o, p->location, &io);
	if (r < 0)
		return r;
	if (p->offset > io->size || bytes > io->size - p->offset || (p->have_length && p->length != bytes))
		return err_at(o->e, EINVAL, p->offset,
			      "%.100s: expected %" PRIu64 " bytes at %" PRIu64 " of '%.100s', it has %" PRIu64
			      " (length given: %" PRIu64 ")",
			      p->name, bytes, p->offset, p->location, io->size, p->length);
	struct source whole = source_file(io);
	s->src = source_part(&whole, p->offset, bytes);
	return 0;
}

/* --- values --- */

/* Typed data that is not one run of fixed numbers is decoded into memory: never more than it takes in the file. */
static int decode_typed(struct onnx *o, const struct pb *message, const struct proto *p, uint32_t size, uint64_t n,
			struct stored *s)
{
	enum pb_wire wire;
	uint32_t number = typed_field(p->type, &wire);
	uint64_t count = 0, bytes, v;
	if (n > message->end - message->pos || __builtin_mul_overflow(n, size, &bytes))
		return err_at(o->e, EINVAL, source_pos(message->win->src, message->pos),
			      "%.200s: %" PRIu64 " numbers expected in %" PRIu64 " bytes", p->name, n,
			      message->end - message->pos);
	unsigned char *out = arena_alloc(&o->w->arena, bytes);
	if (!out)
		return weights_nomem(o->w, o->e);
	struct pb m = *message;
	struct pb_field f;
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		if (f.number != number || (f.wire != wire && f.wire != PB_BYTES))
			continue;
		struct pb in = pb_inside(&m, &f);
		while ((r = pb_packed(&in, wire, &v, o->e)) > 0) {
			for (uint32_t i = 0; count < n && i < size; i++)
				out[count * size + i] = (unsigned char)(v >> 8 * i);
			count++;
		}
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	if (count != n)
		return err_set(o->e, EINVAL, "%.200s: %" PRIu64 " numbers expected, %" PRIu64 " found", p->name, n,
			       count);
	s->src = source_memory(out, bytes);
	return 0;
}

static int locate(struct onnx *o, const struct pb *message, const struct proto *p, const struct tensor *t,
		  struct stored *s)
{
	const struct source *src = message->win->src;
	if (p->external)
		return locate_external(o, p, t->bytes, s);
	if (p->data.number == 9) {
		if (p->data.size != t->bytes)
			return err_at(o->e, EINVAL, source_pos(src, p->data.pos),
				      "%.200s: expected %" PRIu64 " bytes, found %" PRIu64, p->name, t->bytes,
				      p->data.size);
		s->src = source_part(src, p->data.pos, p->data.size);
		return 0;
	}
	enum pb_wire wire;
	typed_field(p->type, &wire);
	if (wire != PB_VARINT && p->chunks == 1 && p->data.wire == PB_BYTES && p->data.size == t->bytes) {
		s->src = source_part(src, p->data.pos, p->data.size);
		return 0;
	}
	uint32_t unit = wire == PB_FIXED32   ? 4
			: wire == PB_FIXED64 ? 8
					     : dtype_info(t->dtype)->bytes,
		 bits = dtype_info(t->dtype)->block_bits;
	if (bits && bits < 8)
		unit = 1;
	return unit ? decode_typed(o, message, p, unit, t->bytes / unit, s)
		    : err_set(o->e, ENOTSUP, "%.200s: its type is not read", p->name);
}

static int read_external(struct onnx *o, const struct pb *m, const struct pb_field *f, struct proto *p)
{
	struct pb entry = pb_inside(m, f);
	struct pb_field g;
	const char *key = "", *value = "";
	int r;
	while ((r = pb_next(&entry, &g, o->e)) > 0) {
		if (g.number == 1 || g.number == 2)
			r = pb_string(&entry, &g, &o->w->arena, NAME_MAX_BYTES, g.number == 1 ? &key : &value, o->e);
		if (r < 0)
			return r;
	}
	if (!strcmp(key, "location"))
		p->location = value;
	else if (!strcmp(key, "offset"))
		p->offset = strtoull(value, NULL, 10);
	else if (!strcmp(key, "length")) {
		p->length = strtoull(value, NULL, 10);
		p->have_length = true;
	}
	return r;
}

static int add_dim(struct onnx *o, struct proto *p, uint64_t d)
{
	if (p->ndim == TENSOR_DIMS || d > INT64_MAX)
		return err_set(o->e, EINVAL, "%.200s: %s", p->name,
			       d > INT64_MAX ? "a negative size" : "more than 8 dimensions");
	p->dims[p->ndim++] = d;
	return 0;
}

static int read_dims(struct onnx *o, const struct pb *m, const struct pb_field *f, struct proto *p)
{
	uint64_t d;
	if (f->wire == PB_VARINT)
		return add_dim(o, p, f->value);
	struct pb in = pb_inside(m, f);
	int r;
	while ((r = pb_packed(&in, PB_VARINT, &d, o->e)) > 0) {
		r = add_dim(o, p, d);
		if (r < 0)
			return r;
	}
	return r;
}

static int read_proto(struct onnx *o, const struct pb *message, struct proto *p)
{
	struct pb m = *message;
	struct pb_field f;
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		switch (f.number) {
		case 1: r = read_dims(o, &m, &f, p); break;
		case 2: p->type = (int32_t)f.value; break;
		case 4: case 5: case 7: case 10: case 11:
			if (p->data.number != 9)
				p->data = f;
			p->chunks++;
			break;
		case 8: r = pb_string(&m, &f, &o->w->arena, NAME_MAX_BYTES, &p->name, o->e); break;
		case 9:
			if (f.wire == PB_BYTES)
				p->data = f;
			break;
		case 13: r = f.wire == PB_BYTES ? read_external(o, &m, &f, p) : 0; break;
		case 14: p->external = f.value == 1; break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	return r;
}

/* constant: the output that a Constant node gives its tensor, NULL for an initializer */
static int add_tensor(struct onnx *o, const struct pb *message, const char *constant)
{
	struct proto p = {.name = ""};
	int r = read_proto(o, message, &p);
	if (r < 0)
		return r;
	struct tensor t = {.name = constant && *constant ? constant : p.name,
			   .dtype = dtype_of(p.type),
			   .ndim = (uint8_t)p.ndim,
			   .file = o->file};
	struct stored s = {.contiguous = true};
	memcpy(t.shape, p.dims, sizeof t.shape);
	if (t.dtype == DTYPE_NONE || dtype_info(t.dtype)->block != 1) {
		o->strings += !constant;
		return 0;
	}
	r = tensor_measure(&t, o->e);
	if (r < 0 && dtype_info(t.dtype)->block_bits % 8) {	/* half a byte at the end */
		o->odd++;
		return 0;
	}
	if (r < 0 || (constant && (t.elements < CONSTANT_MIN || !dtype_info(t.dtype)->floating)))
		return r;
	if (!*t.name && !(t.name = arena_printf(&o->w->arena, "tensor.%zu", o->w->n_tensors)))
		return err_nomem(o->e);
	p.name = t.name;
	r = locate(o, message, &p, &t, &s);
	return r < 0 ? r : stored_add(o->w, t, &s, o->e);
}

/* --- graphs --- */

static int read_graph(struct onnx *o, struct pb m, int depth);

static int read_attribute(struct onnx *o, struct pb m, const char *output, int depth)
{
	struct pb_field f;
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		struct pb in = pb_inside(&m, &f);
		if (f.number == 5 && output)
			r = add_tensor(o, &in, output);
		else if (f.number == 6 || f.number == 11)
			r = read_graph(o, in, depth + 1);
		o->sparse += f.number == 22 || f.number == 23;
		if (r < 0)
			return r;
	}
	return r;
}

/* A node's type and output may stand behind its attributes: they are read first. */
static int read_node(struct onnx *o, struct pb m, int depth)
{
	struct pb again = m;
	struct pb_field f;
	const char *output = NULL, *type = "";
	int r;
	bool attributes = false;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		attributes |= f.number == 5;
		if (f.number == 2 && !output)
			r = pb_string(&m, &f, &o->w->arena, NAME_MAX_BYTES, &output, o->e);
		else if (f.number == 4)
			r = pb_string(&m, &f, &o->w->arena, NAME_MAX_BYTES, &type, o->e);
		if (r < 0)
			return r;
	}
	if (r < 0 || !attributes)
		return r;
	while ((r = pb_next(&again, &f, o->e)) > 0) {
		if (f.number == 5 && f.wire == PB_BYTES)
			r = read_attribute(o, pb_inside(&again, &f),
					   strcmp(type, "Constant") ? NULL
					   : output                 ? output
								    : "",
					   depth);
		if (r < 0)
			return r;
	}
	return r;
}

static int put_meta(struct onnx *o, const char *key, struct value v)
{
	if (o->n_meta < META_MAX)
		o->meta[o->n_meta++] = (struct member){key, v};
	return 0;
}

static int put_string(struct onnx *o, const struct pb *m, const struct pb_field *f, const char *key)
{
	struct value v = {.kind = VALUE_STRING};
	if (f->size > NAME_MAX_BYTES)
		return 0;
	int r = pb_string(m, f, &o->w->arena, NAME_MAX_BYTES, &v.str.s, o->e);
	v.str.len = f->size;
	return r < 0 ? r : put_meta(o, key, v);
}

static int read_graph(struct onnx *o, struct pb m, int depth)
{
	struct pb_field f;
	int r;
	if (depth > DEPTH)
		return err_at(o->e, EINVAL, source_pos(m.win->src, m.pos), "graphs nested more than %d deep", DEPTH);
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		struct pb in = pb_inside(&m, &f);
		if (f.number == 1)
			r = read_node(o, in, depth);
		else if (f.number == 2 && !depth)
			r = put_string(o, &m, &f, "graph_name");
		else if (f.number == 5)
			r = add_tensor(o, &in, NULL);
		o->sparse += f.number == 15;
		if (r < 0)
			return r;
	}
	return r;
}

/* FunctionProto: its nodes are field 7. */
static int read_function(struct onnx *o, struct pb m)
{
	struct pb_field f;
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		if (f.number == 7 && f.wire == PB_BYTES)
			r = read_node(o, pb_inside(&m, &f), 0);
		if (r < 0)
			return r;
	}
	return r;
}

/* --- the model --- */

static int read_property(struct onnx *o, struct pb m)
{
	struct pb_field f;
	const char *key = NULL;
	struct value v = {.kind = VALUE_STRING, .str = {"", 0}};
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		if (f.wire != PB_BYTES || f.size > NAME_MAX_BYTES)
			continue;
		if (f.number == 1) {
			r = pb_string(&m, &f, &o->w->arena, NAME_MAX_BYTES, &key, o->e);
		} else if (f.number == 2) {
			r = pb_string(&m, &f, &o->w->arena, NAME_MAX_BYTES, &v.str.s, o->e);
			v.str.len = f.size;
		}
		if (r < 0)
			return r;
	}
	return r < 0 || !key ? r : put_meta(o, key, v);
}

/* OperatorSetIdProto: the version of the standard's own operators. */
static int read_opset(struct onnx *o, struct pb m)
{
	struct pb_field f;
	bool standard = true;
	int64_t version = 0;
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		if (f.number == 1 && f.wire == PB_BYTES)
			standard = !f.size;
		else if (f.number == 2)
			version = (int64_t)f.value;
	}
	return r < 0 || !standard ? r : put_meta(o, "opset", (struct value){.kind = VALUE_INT, .i = version});
}

static int read_model(struct onnx *o, struct pb m)
{
	struct pb_field f;
	int r;
	while ((r = pb_next(&m, &f, o->e)) > 0) {
		struct pb in = pb_inside(&m, &f);
		switch (f.number) {
		case 1: r = put_meta(o, "ir_version", (struct value){.kind = VALUE_INT, .i = (int64_t)f.value}); break;
		case 2: r = put_string(o, &m, &f, "producer_name"); break;
		case 3: r = put_string(o, &m, &f, "producer_version"); break;
		case 4: r = put_string(o, &m, &f, "domain"); break;
		case 5:
			r = put_meta(o, "model_version", (struct value){.kind = VALUE_INT, .i = (int64_t)f.value});
			break;
		case 7:
			o->graph = true;
			r = f.wire == PB_BYTES ? read_graph(o, in, 0) : 0;
			break;
		case 8: r = f.wire == PB_BYTES ? read_opset(o, in) : 0; break;
		case 14: r = f.wire == PB_BYTES ? read_property(o, in) : 0; break;
		case 25: r = f.wire == PB_BYTES ? read_function(o, in) : 0; break;
		default: break;
		}
		if (r < 0)
			return r;
	}
	if (!r && !o->graph)
		return err_set(o->e, EINVAL, "an ONNX model without a graph");
	return r;
}

/* --- what is told --- */

static int by_name(const void *a, const void *b)
{
	const struct tensor *x = *(struct tensor *const *)a, *y = *(struct tensor *const *)b;
	int c = strcmp(x->name, y->name);
	return c ? c : x < y ? -1 : x > y;
}

/* Scopes may use a name again: the later ones get a number. */
static int tell_names_apart(struct onnx *o)
{
	struct weights *w = o->w;
	for (bool again = true; again;) {
		again = false;
		cleanup_free struct tensor **by = mem_array(w->n_tensors, sizeof *by);
		if (!by)
			return err_nomem(o->e);
		for (size_t i = 0; i < w->n_tensors; i++)
			by[i] = &w->tensors[i];
		qsort(by, w->n_tensors, sizeof *by, by_name);
		for (size_t i = 0, n; i < w->n_tensors; i += n) {
			const char *name = by[i]->name;
			for (n = 1; i + n < w->n_tensors && !strcmp(by[i + n]->name, name); n++) {
				by[i + n]->name = arena_printf(&w->arena, "%s~%zu", name, n + 1);
				if (!by[i + n]->name)
					return err_nomem(o->e);
				again = true;
			}
		}
	}
	return 0;
}

static int finish(struct onnx *o)
{
	struct weights *w = o->w;
	const struct { size_t n; const char *what; } left[] = {
		{o->strings, "tensors of strings or of an unknown type are not listed"},
		{o->sparse, "sparse tensors are not read"},
		{o->odd, "tensors that end in half a byte are not read"},
	};
	for (size_t i = 0; i < COUNT(left); i++)
		if (left[i].n && weights_warn(w, o->path, "type", "%zu %s", left[i].n, left[i].what) < 0)
			return err_nomem(o->e);
	struct member *items = arena_array(&w->arena, o->n_meta, sizeof *items);
	if (!items)
		return err_nomem(o->e);
	memcpy(items, o->meta, o->n_meta * sizeof *items);
	w->meta.obj.items = items;
	w->meta.obj.n = o->n_meta;
	return 0;
}

static int onnx_open(struct weights *w, struct err *e)
{
	int r = stored_init(w, e);
	cleanup_free struct onnx *o = r < 0 ? NULL : mem_alloc(sizeof *o);
	cleanup_free struct pb_window *win = o ? mem_alloc(sizeof *win) : NULL;
	if (!win)
		return r < 0 ? r : err_nomem(e);
	*o = (struct onnx){.w = w, .e = e};
	for (uint32_t i = 0; !r && i < w->n_files; i++) {
		struct source src = source_file(&w->files[i].io);
		*win = (struct pb_window){.src = &src};
		o->file = w->reading = i;
		o->path = w->files[i].path;
		o->n_beside = 0;
		o->graph = false;
		r = read_model(o, (struct pb){win, 0, src.size});
	}
	if (!r)
		r = tell_names_apart(o);
	return r < 0 ? r : finish(o);
}

/* No magic: the first fields must be a model's, each with its kind, as far as the head goes. */
static int onnx_probe(const unsigned char *head, size_t len, uint64_t size)
{
	/* by field number: 1 varint, 2 bytes, 0 none */
	static const uint8_t kinds[] = {0, 1, 2, 2, 2, 1, 2, 2, 2, 0, 0, 0, 0, 0,
					2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 2};
	struct source src = source_memory(head, len);
	struct pb_window win = {.src = &src};
	struct pb m = {&win, 0, len};
	bool version = false;
	while (m.pos < len) {
		struct pb_field f;
		uint64_t tag = head[m.pos], at = m.pos;
		if (tag >> 3 == 0 || tag >> 3 >= 16 || kinds[tag >> 3] != ((tag & 7) == 0 ? 1 : (tag & 7) == 2 ? 2 : 3))
			if (tag != 0xa2 && tag != 0xca)	/* training_info, functions: two bytes */
				return 0;
		m.end = len;
		if (pb_next(&m, &f, NULL) <= 0) {
			m.pos = at + 1;		/* longer than the head: its size must fit the file */
			return pb_packed(&m, PB_VARINT, &f.size, NULL) > 0 && f.size <= size - m.pos && version &&
					       tag == 0x3a
				       ? 60
				       : 0;
		}
		if (f.number == 1 && (f.value == 0 || f.value > 100))
			return 0;
		version |= f.number == 1 || f.number == 8;
		if (f.number == 7 && version)
			return 60;
	}
	return 0;
}

const struct format format_onnx = {
	.name = "onnx",
	.extensions = " onnx ",
	.probe = onnx_probe,
	.open = onnx_open,
	.read = stored_read,
	.read_raw = stored_read_raw,
	.close = stored_close,
};
