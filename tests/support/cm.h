#ifndef TARN_TESTS_CM_H
#define TARN_TESTS_CM_H
/* cmocka with what it wants included before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#endif
