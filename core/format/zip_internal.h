#ifndef TARN_FORMAT_ZIP_INTERNAL_H
#define TARN_FORMAT_ZIP_INTERNAL_H
/* Between zip.c (the directory) and zip_read.c (the entries). */
struct zip_cursor;

struct zip_cursor *zip_cursors_new(void);	/* NULL when out of memory */
void zip_cursors_free(struct zip_cursor *k);

#endif
