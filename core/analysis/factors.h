#ifndef TARN_ANALYSIS_FACTORS_H
#define TARN_ANALYSIS_FACTORS_H
/*
 * The low-rank factors of an unmerged adapter (A: rank x in, B: out x rank; Hu et al. 2021) against the weights of
 * models it may have been trained on. Gradients of a layer lie where its inputs and its outputs' gradients lie, and so
 * does much of the trained weight itself: the columns of B and the rows of A hold more of their base's energy than of a
 * stranger's.
 */
#include "core/analysis/signature.h"

/* Does every pair of factors have the shape of the model's matrix in its place? */
struct factor_fit { size_t places, fitting; uint32_t rank; };
int factors_fit(const struct signature *adapter, const struct signature *model, struct factor_fit *out, struct err *e);

/* ln of the energy of the model's matrices within the columns of B over what chance gives (rank / out), plus the same
 * for A; means over the matrices. About 0 for a stranger; NAN: nothing to tell by (B is zero, or the rank is half of
 * the sample). */
int factors_excess(const struct signature *adapter, const struct signature *model, double *out, struct err *e);

/* Cosine of the adapter's update B A with the step from `parent` to `child`, over the sampled positions all have; NAN:
 * none. Negative: the update takes the step back, as one trained on the child does; positive: it goes where the child
 * went. */
int factors_step(const struct signature *adapter, const struct signature *parent, const struct signature *child,
		 double *out, struct err *e);

#endif
