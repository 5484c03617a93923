#ifndef TARN_BASE_JSON_TEXT_H
#define TARN_BASE_JSON_TEXT_H
#include "core/base/buf.h"
#include "core/base/value.h"

/*
 * A value as JSON text that depends on what it says alone: keys sorted bytewise (of equal ones in their order), one
 * member or element a line, two spaces of indentation, numbers in their shortest form that reads back the same. Ends
 * with a newline. A span is written as a string that tells its length. ENOMEM.
 */
int json_text(struct buf *out, const struct value *v, struct err *e);

#endif
