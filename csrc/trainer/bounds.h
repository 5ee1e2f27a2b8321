/* A proof, before an update, that no number of a network can overflow in it. Then the parameters need not be
 * copied for an undo. Defined in bounds.c.
 *
 * |A| is the root of the sum of the squares of A. No element of A is larger, and neither an element of a
 * product AB nor a partial sum of its terms is larger than |A| |B| (Cauchy and Schwarz). In the notation of
 * bpkern.h, with n rows, all factors that depend on the number of the update in lr and eps, and
 * mix(a, b) = decay a + (1 - decay) b for the state's decay:
 *
 *     |d_l| <= 2 |W_{l+1}| |d_{l+1}| / (1 - dropout)                 no |s'| exceeds 1.13
 *     g     <= 2 |d_l| sqrt(|a_{l-1}|^2 + n) + decay |W_l| + l1 sqrt(size of W_l)
 *     sgd      m <- momentum m + g;                                  step <= g + m
 *     rmsprop  v <- mix(v, g^2);  u <- mix(u, g);
 *              m <- momentum m + g / eps;                            step <= g / eps + m
 *     adagrad  v <- v + g^2;                                         step <= g / eps
 *     adam     m <- mix(m, g);  v <- mix(v, g^2);  u <- u + v;       step <= m / eps
 *     W_l <- shrink W_l + lr step;                                   average <- max(average, W_l)
 *
 * Here W_l includes the bias of its layer, and every name stands for an upper bound of its norm: g^2 for that
 * of the squares, which is at most |g|^2. All that exist before the update are known: |a_{l-1}| and the last
 * |d_l| are measured in every mini-batch, |W_l| and the norms of the states are kept from update to update
 * by these formulas, and measured again when they have grown too large to prove anything. Nothing overflows
 * if every bound, including that of sqrt(v) / correction, is at most a 1024th of the largest real. The
 * factors of 2 cover the rounding of sums of up to 2^22 terms, and MARGIN that of everything else. */
#ifndef BPK_BOUNDS_H
#define BPK_BOUNDS_H

#include "trainer/step.h"

/* Whether the update that follows step_loss, in this mini-batch, cannot overflow. The kept norms are then
 * those after the update: if it is not made, net_forget_bounds must follow. Called by one member. */
int bounds_hold(bpk_net *net, const step *step);

#endif
