#ifndef TARN_ANALYSIS_MATRIX_H
#define TARN_ANALYSIS_MATRIX_H
/*
 * Small dense linear algebra over sampled sub-matrices (at most MATRIX_MAX a side). Written here and not taken from a
 * BLAS so that every machine gives the same bits and no library thread is started for a 48 x 48 matrix.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MATRIX_MAX = 64, MATRIX_EIGEN_MAX = 256 };

/* Eigenvalues of the symmetric a (n x n, n <= MATRIX_EIGEN_MAX, row-major, destroyed), ascending in w; a's column i
 * becomes vector i when vectors is true. Householder tridiagonalisation and implicit QL (Martin, Reinsch, Wilkinson
 * 1968; Dubrulle et al. 1968). */
bool matrix_eigen(double *a, size_t n, double *w, bool vectors);

/* out (r x c) = a b, of r x k and k x c matrices. */
void matrix_ab(const double *a, const double *b, size_t r, size_t k, size_t c, double *out);
/* out (r x r) = a bT for r x c matrices of at most MATRIX_MAX a side; half the work where b is a. */
void matrix_abt(const double *a, const double *b, size_t r, size_t c, double *out);

/* Solve the symmetric positive definite a x = b (n x n, destroyed) by Cholesky; false when it is not. */
bool matrix_solve(double *a, double *b, size_t n);

/* A sub-matrix of the difference of two sampled grids, transposed if that makes it lower than wide; at most `side` a
 * side, evenly spaced. r <= c after. */
struct submatrix { size_t r, c; double v[MATRIX_MAX * MATRIX_MAX]; };
void submatrix_difference(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t side);
/* The same, not wider than 5/4 of its height: the spectrum of a nearly square matrix of noise goes down to 0. A longer
 * grid has several such blocks, beside each other; which: of submatrix_squares, at most SQUARES_MAX. */
enum { SQUARES_MAX = 4 };
size_t submatrix_squares(uint32_t nr, uint32_t nc, size_t side);
void submatrix_square(struct submatrix *m, const float *x, const float *y, uint32_t nr, uint32_t nc, size_t side,
		      size_t which);

/* Singular values squared, ascending, of m (r of them); false when they do not converge or are not finite. */
bool submatrix_spectrum(const struct submatrix *m, double *w);
/* The same of several, which is faster. */
void submatrix_spectra(const struct submatrix *m, size_t n, double (*w)[MATRIX_MAX], bool *ok);

#endif
