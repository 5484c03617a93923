#ifndef TARN_FORMAT_PICKLE_INTERNAL_H
#define TARN_FORMAT_PICKLE_INTERNAL_H
/* Between pickle.c (the opcodes), pickle_globals.c (the allow-list) and pickle_build.c (what calls make). */
#include "core/format/pickle.h"

enum { PICKLE_WINDOW = 65536, PICKLE_NAME = 300 /* no module or name that is known is longer */ };

struct memo { uint64_t key; struct pick *value; };	/* value NULL: free */

struct seen_global { uint64_t hash; struct pick *value; };	/* value NULL: free */

struct pickle_machine {
	struct pick **stack;
	size_t n, cap;
	size_t *marks;			/* heights of the stack */
	size_t n_marks, marks_cap;
	struct memo *memo;
	size_t memo_n, memo_size;	/* a power of two */
	struct seen_global *globals;	/* each is looked up and told once */
	size_t globals_n, globals_size;
	unsigned told;			/* bits: hazards of other kinds that were told */
	uint64_t nested;		/* bytes of pickles in pickles that may still be read */
	uint64_t at;			/* offset of the opcode being run */
	struct err *e;
	uint64_t win;			/* offset of buf */
	size_t win_len, win_size;	/* of what is in buf; of buf */
	unsigned char buf[];
};

/* "pickle: WHAT at byte …" of the operation being run; EINVAL. */
int pickle_bad(struct pickle *p, const char *what);

/* n (at most PICKLE_WINDOW) bytes at p->pos, then advance; *out stays valid until the next call. */
int pickle_take(struct pickle *p, size_t n, const unsigned char **out);
int pickle_take_number(struct pickle *p, size_t n, uint64_t *out);			/* little-endian */
int pickle_take_string(struct pickle *p, uint64_t n, struct pick *v);		/* copied, NUL-terminated */
int pickle_take_bytes(struct pickle *p, uint64_t n, struct pick *v);		/* long ones stay where they are */
int pickle_take_line(struct pickle *p, const char **out, size_t *len);		/* up to a newline, which is not part of it */
/* A line as a number or a string. */
int pickle_text_int(struct pickle *p, bool is_long, struct pick **out);
int pickle_text_float(struct pickle *p, struct pick **out);
int pickle_text_string(struct pickle *p, bool unicode, struct pick **out);

/* What a global means; MEANS_UNKNOWN for what is on no list. *dtype where it names an element type. */
enum pick_meaning pickle_meaning(const char *module, const char *name, bool script, enum dtype *dtype);
/* The element type that torch.float16, torch.HalfStorage and the like name. */
enum dtype pickle_dtype_of(const struct pick *global);

struct pick *pick_new(struct pickle *p, enum pick_kind kind, struct err *e);	/* NULL: out of memory, or beyond the limit */
int pick_append(struct pickle *p, struct pick_items *l, struct pick *v, struct err *e);
int pick_put(struct pickle *p, struct pick_pairs *d, struct pick *key, struct pick *value, struct err *e);

/* The effect of REDUCE/NEWOBJ/OBJ/INST on (callable, args); at: the opcode's offset. kwargs may be NULL. */
int pickle_call(struct pickle *p, struct pick *callable, struct pick *args, uint64_t at, struct pick **out,
		struct err *e);
int pickle_construct(struct pickle *p, struct pick *cls, struct pick *args, struct pick **out, struct err *e);
/* BUILD: give `v` its state. May change *v into a tensor (numpy arrays are built in two steps). */
int pickle_set_state(struct pickle *p, struct pick *v, struct pick *state, struct err *e);
/* BINPERSID/PERSID */
int pickle_persistent(struct pickle *p, struct pick *id, struct pick **out, struct err *e);
/* A global by its name, made once: the same value every time. */
int pickle_global(struct pickle *p, const char *module, size_t module_len, const char *name, size_t name_len,
		  struct pick **out);
/* Tell of something that a loader would run. `bit` of machine->told: say it once, 0: each name once. */
enum { TOLD_CALL = 1, TOLD_EXTENSION = 2, TOLD_NO_STRING = 4, TOLD_NESTED = 8 };
int pickle_hazard(struct pickle *p, const char *kind, unsigned bit, uint64_t at, const char *what, struct err *e);

#endif
