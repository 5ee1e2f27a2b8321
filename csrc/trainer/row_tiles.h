/* Row tiles: steps of thin nets in large batches, a part of the rows at a time. Defined in row_tiles.c. */
#ifndef BPK_ROW_TILES_H
#define BPK_ROW_TILES_H

#include "trainer/step.h"

/* Whether training steps of that many rows go by row tiles, unless the run is refused. Such a workspace has
 * stored gradients. Holds for all larger numbers of rows if it holds for one. */
int has_row_tiles(const bpk_net *net, ptrdiff_t rows);

/* The number of parts, with gradients of their own, of such a step of that many rows; 0 without row tiles. */
ptrdiff_t most_parts(const bpk_net *net, ptrdiff_t rows);

/* The rows of a tile in the steps of this request; 0: its steps do not go by row tiles. */
ptrdiff_t row_tile(const bpk_net *net, const bpk_request *request);

/* As step_loss, but also replaces the stored gradients by those of the batch's mean loss; or by these times
 * the weight of the batch, if the update stores gradients. Outputs that the request wants are copied, also if
 * a later tile fails. */
bpk_status step_tiles(step *step);

#endif
