#ifndef TARN_TEST_BASE_H
#define TARN_TEST_BASE_H
/* What cmocka wants included before it, and it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
