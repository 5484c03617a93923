/*
 * The ggml files of whisper.cpp (its convert-pt-to-ggml.py and whisper.cpp): a magic number, hyperparameters, the mel filters,
 * the vocabulary, and tensors one after the other until the end. Other programs used the same magic with other headers;
 * what does not add up as a Whisper model is refused as one of those.
 */
#include "core/format/cursor.h"
#include "core/format/formats_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { MAGIC = 0x67676d6c, NAME_BYTES = 256, DIMS = 4, VOCAB_STRING = 65536, VOCAB_WORDS = 1 << 20 };

static const char *const hyper[] = {"n_vocab",       "n_audio_ctx", "n_audio_state", "n_audio_head",
				    "n_audio_layer", "n_text_ctx",  "n_text_state",  "n_text_head",
				    "n_text_layer",  "n_mels",      "ftype"};

static bool plausible(const uint32_t *h)
{
	for (size_t i = 0; i < COUNT(hyper); i++)
		if ((i != 10 && !h[i]) || h[i] > 1 << 20)
			return false;
	return h[1] == 1500 || (h[2] % h[3] == 0 && h[6] % h[7] == 0 && h[9] >= 40 && h[9] <= 512 && h[10] < 100000);
}

static int put_meta(struct weights *w, const uint32_t *h, struct err *e)
{
	struct member *m = arena_array(&w->arena, COUNT(hyper) + 1, sizeof *m);
	if (!m)
		return err_nomem(e);
	m[0] = (struct member){"general.architecture", {.kind = VALUE_STRING, .str = {"whisper", 7}}};
	for (size_t i = 0; i < COUNT(hyper); i++) {
		m[i + 1] = (struct member){arena_printf(&w->arena, "whisper.%s", hyper[i]),
					   {.kind = VALUE_INT, .i = h[i]}};
		if (!m[i + 1].key)
			return err_nomem(e);
	}
	w->meta.obj.items = m;
	w->meta.obj.n = COUNT(hyper) + 1;
	return 0;
}

static int read_header(struct weights *w, struct cursor *c, struct err *e)
{
	uint32_t h[COUNT(hyper)];
	uint64_t v, n_mel, n_fft, n;
	int r = cursor_skip(c, 4, e);
	for (size_t i = 0; !r && i < COUNT(hyper); i++) {
		r = cursor_number(c, 4, &v, e);
		h[i] = (uint32_t)v;
	}
	if (!r && !plausible(h))
		return err_at(e, ENOTSUP, 4,
			      "a ggml file that is not a Whisper model: %u, %u, %u, %u are not its sizes", h[0], h[1],
			      h[2], h[3]);
	if (!r)
		r = put_meta(w, h, e);
	if (!r)
		r = cursor_number(c, 4, &n_mel, e);
	if (!r)
		r = cursor_number(c, 4, &n_fft, e);
	if (!r)
		r = cursor_skip(c, n_mel * n_fft > cursor_left(c) / 4 ? UINT64_MAX : n_mel * n_fft * 4, e);
	if (!r)
		r = cursor_number(c, 4, &n, e);
	if (!r && (n > cursor_left(c) / 4 || n > VOCAB_WORDS))
		return err_at(e, EINVAL, c->pos, "a vocabulary of %" PRIu64 " words in %" PRIu64 " bytes", n,
			      cursor_left(c));
	for (; !r && n; n--) {
		r = cursor_number(c, 4, &v, e);
		if (!r && v > VOCAB_STRING)
			return err_at(e, EINVAL, c->pos, "a word of %" PRIu64 " bytes", v);
		if (!r)
			r = cursor_skip(c, v, e);
	}
	return r;
}

static int read_tensor(struct weights *w, struct cursor *c, size_t *cap, struct err *e)
{
	uint64_t dims, name, type, d;
	uint64_t at = c->pos;
	int r = cursor_number(c, 4, &dims, e);
	if (!r)
		r = cursor_number(c, 4, &name, e);
	if (!r)
		r = cursor_number(c, 4, &type, e);
	if (!r && (dims > DIMS || !name || name > NAME_BYTES))
		return err_at(e, EINVAL, at,
			      "expected a tensor, found %" PRIu64 " dimensions and a name of %" PRIu64 " bytes", dims,
			      name);
	struct tensor t = {.dtype = r < 0 ? DTYPE_NONE : dtype_by_ggml((uint32_t)type)};
	for (uint64_t i = 0; !r && i < dims; i++) {
		r = cursor_number(c, 4, &d, e);
		t.shape[dims - 1 - i] = d;	/* innermost first in the file */
	}
	if (r < 0)
		return r;
	t.ndim = (uint8_t)dims;
	char *text = arena_alloc(&w->arena, name + 1);
	if (!text)
		return weights_nomem(w, e);
	t.name = text;
	r = cursor_read(c, text, name, e);
	if (!r && t.dtype == DTYPE_NONE)
		return err_at(e, ENOTSUP, at, "%.200s: ggml type %" PRIu64 " is not known", text, type);
	if (!r)
		r = tensor_measure(&t, e);
	t.offset = c->pos;
	if (!r)
		r = cursor_skip(c, t.bytes, e);
	if (r < 0)
		return err_prefix(e, "%.200s: ", text);
	struct tensor *place = weights_add(w, cap, e);
	if (!place)
		return -e->code;
	*place = t;
	return 0;
}

static int ggml_open(struct weights *w, struct err *e)
{
	if (w->n_files != 1)
		return err_set(e, EINVAL, "expected one file, found %zu", w->n_files);
	struct source src = source_file(&w->files[0].io);
	cleanup_free struct cursor *c = mem_alloc(sizeof *c);
	if (!c)
		return err_nomem(e);
	c->src = &src;
	size_t cap = 0;
	int r = read_header(w, c, e);
	while (!r && cursor_left(c))
		r = read_tensor(w, c, &cap, e);
	return r < 0 ? r : weights_check_names(w, e);
}

static int ggml_probe(const unsigned char *head, size_t len, uint64_t size)
{
	(void)size;
	return len >= 48 && !memcmp(head, "lmgg", 4) ? 90 : 0;
}

const struct format format_ggml = {
	.name = "ggml",
	.extensions = " bin ",
	.probe = ggml_probe,
	.open = ggml_open,
};
