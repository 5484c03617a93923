/* The facts of one model while they are gathered: which value of a key stays, and everything cleaned. */
#include "core/lake/facts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct { const char *key; bool many, exact;
} keys[] = {
	{"path", .exact = true},
	{"format"},
	{"formats", true},
	{"architecture"},
	{"model_type"},
	{"dtype"},
	{"parameters"},
	{"bytes"},
	{"tensors"},
	{"layers"},
	{"hidden_size"},
	{"vocab_size"},
	{"context_length"},
	{"license", true},
	{"language", true},
	{"tags", true},
	{"task"},
	{"library"},
	{"datasets", true},
	{"base_model", true},
	{"author"},
	{"created"},
	{"modified"},
	{"revision"},
	{"quantization"},
	{"components", true},
	{"adapter_rank"},
	{"tokenizer"},
	{"loads_code"},
};

static size_t key_rank(const char *key)
{
	size_t i = 0;

	while (i < COUNT(keys) && (keys[i].key[0] != key[0] || strcmp(keys[i].key, key)))
		i++;
	return i;
}

const char *fact_source_name(enum fact_source s)
{
	return s == FACT_MEASURED ? "measured" : s == FACT_DECLARED ? "declared" : "inferred";
}

void facts_release(struct facts *f)
{
	arena_release(&f->arena);
	*f = (struct facts){0};
}

const char *facts_get(const struct facts *f, const char *key)
{
	for (size_t i = 0; i < f->n_facts; i++)
		if (!strcmp(f->facts[i].key, key))
			return f->facts[i].value;
	return NULL;
}

/* Room for one more: arrays double in the arena, the capacity is the power of two at or above n. */
static void *room(struct facts *f, void *items, size_t n, size_t size)
{
	void *p = items;

	if (f->failed)
		return NULL;
	if ((n & (n - 1)) == 0) {
		p = arena_array(&f->arena, n ? n * 2 : 1, size);
		if (p && n)
			memcpy(p, items, n * size);
	}
	if (!p)
		f->failed = true;
	return p;
}

#define APPEND(f, array, n, ...) do { \
	void *p_ = room((f), (array), (n), sizeof *(array)); \
	if (p_) { \
		(array) = p_; \
		(array)[(n)++] = (__typeof__(*(array)))__VA_ARGS__; \
	} \
} while (0)

/* The end of the first `max` bytes, not in the middle of a UTF-8 sequence. */
static size_t cut(const char *s, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)s[max] & 0xc0) == 0x80)
		max--;
	return max;
}

/* One line without white space at its ends, at most `max` bytes; NULL when nothing remains. */
static const char *clean(struct facts *f, const char *s, size_t len, size_t max)
{
	char *p, *out;

	while (len && (unsigned char)s[0] <= ' ') {
		s++;
		len--;
	}
	len = cut(s, len, max);
	while (len && (unsigned char)s[len - 1] <= ' ')
		len--;
	if (!len || f->failed)
		return NULL;
	if (!(out = arena_strndup(&f->arena, s, len))) {
		f->failed = true;
		return NULL;
	}
	for (p = out; p < out + len; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t' || !*p)
			*p = ' ';
	return out;
}

static const char *clean_text(struct facts *f, const char *s)
{
	const char *out = s ? clean(f, s, strlen(s), FACT_MAX) : NULL;

	return out ? out : "";
}

/* A file's name is that file's only as it is. */
static const char *name_textn(struct facts *f, const char *s, size_t len)
{
	const char *out = s && !f->failed ? arena_strndup(&f->arena, s, len) : "";

	f->failed |= !out;
	return out ? out : "";
}

static const char *name_text(struct facts *f, const char *s)
{
	return name_textn(f, s, s ? strlen(s) : 0);
}

static void claim(struct facts *f, const char *key, const char *value, const char *file)
{
	APPEND(f, f->claims, f->n_claims, {key, value, name_text(f, file)});
}

static void put_many(struct facts *f, const char *key, const char *value, enum fact_source source)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_facts; i++) {
		if (f->facts[i].key != key)
			continue;
		if (!strcmp(f->facts[i].value, value) || ++n == FACT_VALUES)
			return;
	}
	APPEND(f, f->facts, f->n_facts, {key, value, source});
}

static void put_one(struct facts *f, const char *key, const char *value, enum fact_source source, const char *file)
{
	if (source == FACT_DECLARED)
		claim(f, key, value, file);
	for (size_t i = 0; i < f->n_facts; i++) {
		if (f->facts[i].key != key)
			continue;
		if (source > f->facts[i].source) {
			f->facts[i].value = value;
			f->facts[i].source = source;
		}
		return;
	}
	APPEND(f, f->facts, f->n_facts, {key, value, source});
}

void facts_putn(struct facts *f, const char *key, const char *value, size_t len, enum fact_source source,
		const char *file)
{
	size_t rank = key_rank(key);
	const char *v = NULL;

	if (value && rank < COUNT(keys))
		v = keys[rank].exact ? name_textn(f, value, len) : clean(f, value, len, FACT_MAX);
	if (!v || !*v)
		return;
	if (keys[rank].many)
		put_many(f, keys[rank].key, v, source);	/* the table's own pointers: equal keys are equal pointers */
	else
		put_one(f, keys[rank].key, v, source, file);
}

void facts_put(struct facts *f, const char *key, const char *value, enum fact_source source, const char *file)
{
	if (value)
		facts_putn(f, key, value, strlen(value), source, file);
}

void facts_put_number(struct facts *f, const char *key, uint64_t value, enum fact_source source, const char *file)
{
	char text[32];

	snprintf(text, sizeof text, "%" PRIu64, value);
	facts_put(f, key, text, source, file);
}

void facts_put_time(struct facts *f, const char *key, int64_t seconds, enum fact_source source, const char *file)
{
	time_t t = seconds;
	struct tm tm;
	char text[64];

	if (gmtime_r(&t, &tm) && tm.tm_year >= 0 && tm.tm_year < 8100 &&
	    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm))
		facts_put(f, key, text, source, file);
}

int64_t facts_day(const char *text)
{
	struct tm tm = {0};
	int end = 0;

	if (sscanf(text, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &end) != 3 || end != 10 ||
	    tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return timegm(&tm);
}

void facts_declare(struct facts *f, const char *base, const char *relation, const char *file)
{
	const char *b = base ? clean(f, base, strlen(base), FACT_MAX) : NULL;

	if (!b)
		return;
	relation = clean_text(f, relation);
	for (size_t i = 0; i < f->n_declared; i++) {
		struct declared *d = &f->declared[i];

		if (strcmp(d->base, b) || (strcmp(d->relation, relation) && *d->relation && *relation))
			continue;
		if (!*d->relation)	/* said again, and more of it */
			*d = (struct declared){b, relation, *relation ? name_text(f, file) : d->file};
		return;
	}
	if (f->n_declared < FACT_VALUES)
		APPEND(f, f->declared, f->n_declared, {b, relation, name_text(f, file)});
}

void facts_evaluation(struct facts *f, const char *task, const char *dataset, const char *metric, const char *value,
		      const char *file)
{
	const char *v = value ? clean(f, value, strlen(value), FACT_MAX) : NULL;

	if (v && f->n_evaluations < 10 * FACT_VALUES)
		APPEND(f, f->evaluations, f->n_evaluations,
		       {clean_text(f, task), clean_text(f, dataset), clean_text(f, metric), v, name_text(f, file)});
}

void facts_problem(struct facts *f, const char *file, const char *what, const char *fmt, ...)
{
	char detail[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	if (f->n_problems < FACT_PROBLEMS)
		APPEND(f, f->problems, f->n_problems, {name_text(f, file), clean_text(f, what), clean_text(f, detail)});
}

static const char *problem_word(int code)
{
	switch (code) {
	case EINVAL: return "malformed";
	case ENOTSUP: return "not supported";
	case EFBIG:
	case E2BIG: return "too large";
	case EIO: return "truncated";
	case ENOENT: return "missing";
	case EACCES:
	case EPERM: return "not readable";
	case EXDEV: return "outside the lake";
	case ELOOP: return "a link in a circle";
	default: return "cannot be read";
	}
}

void facts_problem_err(struct facts *f, const char *file, int result, const struct err *e)
{
	size_t n = strlen(file);
	const char *msg = e->msg[0] ? e->msg : strerror(-result), *word = problem_word(-result);

	if (!strncmp(msg, file, n) && msg[n] == ':' && msg[n + 1] == ' ')	/* the row names the file already */
		msg += n + 2;
	/* bytes that a header counts on and the file does not have */
	if (result == -EINVAL && strstr(msg, "expected") && strstr(msg, " bytes at ") && strstr(msg, "the file has"))
		word = "truncated";
	if (e->pos != ERR_NOPOS && !strstr(msg, "at byte "))	/* some say it where it belongs */
		facts_problem(f, file, word, "%s (at byte %" PRIu64 ")", msg, e->pos);
	else
		facts_problem(f, file, word, "%s", msg);
}

/* Only what was measured too can be held against the measurement. */
static void keep_claims(struct facts *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_claims; i++)
		for (size_t j = 0; j < f->n_facts; j++)
			if (f->facts[j].key == f->claims[i].key && f->facts[j].source == FACT_MEASURED) {
				f->claims[n++] = f->claims[i];
				break;
			}
	f->n_claims = n;
}

void facts_finish(struct facts *f)
{
	struct fact *sorted = arena_array(&f->arena, f->n_facts + 1, sizeof *sorted);
	size_t n = 0;

	keep_claims(f);
	if (!sorted) {
		f->failed = true;
		return;
	}
	for (size_t k = 0; k < COUNT(keys) && n < f->n_facts; k++)
		for (size_t i = 0; i < f->n_facts; i++)
			if (f->facts[i].key == keys[k].key)
				sorted[n++] = f->facts[i];
	f->facts = sorted;
}
