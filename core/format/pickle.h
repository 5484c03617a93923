#ifndef TARN_FORMAT_PICKLE_H
#define TARN_FORMAT_PICKLE_H
/*
 * Python pickles, protocols 0 to 5 (pickletools.py documents every opcode), interpreted and never
 * executed: what comes out is plain data. A global is a name. Calling one of the allow-list (tensor
 * rebuilders, plain containers, numbers) has the effect written down here in C; any other call gives
 * an opaque object that keeps its class, arguments and state, so that parameters inside of unknown
 * classes can still be found. Globals outside the list are hazards with their opcode's offset.
 *
 * Memory is linear in the pickle's bytes and below the arena's limit; time is linear. Values may be
 * shared and may refer to themselves: whoever walks them needs a budget.
 */
#include "core/format/format.h"
#include "core/format/source.h"

enum pick_kind { PICK_NONE, PICK_BOOL, PICK_INT, PICK_LONG /* beyond 64 bits: its bytes */, PICK_FLOAT, PICK_STR, PICK_BYTES,
	PICK_LIST, PICK_TUPLE, PICK_SET, PICK_DICT, PICK_GLOBAL, PICK_STORAGE, PICK_TENSOR, PICK_OBJECT };

/* What a global stands for. */
enum pick_meaning {
	MEANS_UNKNOWN,			/* outside the list: reported */
	MEANS_CLASS,			/* a class whose instances are data; calling makes an opaque object */
	MEANS_OPAQUE,			/* harmless, its result is not needed */
	MEANS_TENSOR, MEANS_TENSOR_V2, MEANS_TENSOR_V3, MEANS_PARAMETER, MEANS_FIRST /* its result is its first argument */,
	MEANS_TYPED /* (function, type, args, state) */, MEANS_STORAGE, MEANS_DTYPE,
	MEANS_DICT, MEANS_LIST, MEANS_TUPLE, MEANS_SET, MEANS_NUMBER, MEANS_ENCODE, MEANS_NEW /* (class, …) */,
	MEANS_ND_RECONSTRUCT, MEANS_ND_FROMBUFFER, MEANS_ND_SCALAR, MEANS_ND_DTYPE, MEANS_ND_ARRAY,
	MEANS_OTHER_TENSOR,		/* quantised, sparse, nested, or without data: not read */
	MEANS_NESTED,			/* a storage as a pickle of its own, in bytes */
	MEANS_SCRIPT_CLASS,		/* of a TorchScript archive's own code */
};

struct pick;
struct pick_pair { struct pick *key, *value; };
struct pick_items { struct pick **at; size_t n, cap; };
struct pick_pairs { struct pick_pair *at; size_t n, cap; };

struct pick_storage {
	const char *key, *location;
	enum dtype dtype;		/* DTYPE_NONE: untyped, counted in bytes */
	uint64_t numel;
	const char *root;		/* legacy views: the storage that this is a part of, else NULL */
	uint64_t root_offset;
	bool nested;			/* its bytes are `bytes` */
	struct source bytes;
};

struct pick_tensor {
	struct pick_storage *storage;	/* NULL: `data` holds the elements */
	struct pick *data;
	enum dtype dtype;
	uint64_t offset;		/* elements into the storage */
	uint8_t ndim;
	bool swap;
	uint64_t shape[TENSOR_DIMS], stride[TENSOR_DIMS];
};

struct pick {
	enum pick_kind kind;
	enum pick_meaning means;	/* of a global */
	union {
		bool b;
		int64_t i;
		double f;
		/* s is NULL for long BYTES: they stay in the source at pos */
		struct { const char *s; size_t len; uint64_t pos; } str;
		struct pick_items items;
		struct pick_pairs pairs;
		struct { const char *module, *name; } global;
		struct pick_storage *storage;
		struct pick_tensor *tensor;
		struct pick_object *object;
	};
};

struct pick_object {
	struct pick *cls, *args, *state;
	struct pick_items items;
	struct pick_pairs pairs;
};

struct pickle {
	struct source src;
	uint64_t pos;			/* next byte; after pickle_load that behind STOP */
	struct weights *w;		/* told of hazards and warnings */
	const char *file;
	struct arena *arena;		/* of the values; the caller's */
	unsigned depth;			/* of pickles in pickles */
	bool script;			/* of a TorchScript archive: __torch__ is its own code */
	struct pick_items storages;	/* every persistent id that is one, in order, with repetitions */
	struct pickle_machine *machine;
};

/* A reader of pickles that follow each other in src. Errors: ENOMEM. */
int pickle_init(struct pickle *p, struct source src, struct weights *w, const char *file, struct arena *a,
		struct err *e);
void pickle_release(struct pickle *p);
/* Interpret one pickle from p->pos to its STOP. Errors: EINVAL with the opcode's offset, EFBIG, ENOMEM, EIO. */
int pickle_load(struct pickle *p, struct pick **root, struct err *e);

/* Look-ups for whoever walks: NULL where it is something else. */
struct pick *pick_get(const struct pick *dict, const char *key);	/* the last of that name */
bool pick_is_global(const struct pick *v, const char *module, const char *name);

#endif
