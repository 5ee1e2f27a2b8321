/* The binary tree that fixes the order of sums over shards. Defined in tree.c.
 *
 * Node i of level k is shards i 2^k to (i + 1) 2^k, as far as they exist. It is the sum of its two halves; if
 * its second half has no shards, it is its first half. */
#ifndef BPK_TREE_H
#define BPK_TREE_H

#include <stddef.h>

/* The most nodes of the tree into which consecutive shards can be divided. */
enum { MOST_NODES = 128 };

/* A node of the tree: shards `first` to `first` + 2^level, as far as they exist. */
typedef struct {
    int first, level;
} tree_node;

/* The level of the node that has all of `shards`. */
int tree_levels(int shards);

/* The largest nodes that consist of shards `first` to `first` + `count`, in order. Returns their number. */
int tree_nodes(int shards, int first, int count, tree_node nodes[MOST_NODES]);

/* The sum of one number per shard, of value[shard * stride]. */
double tree_sum(int shards, const double *value, ptrdiff_t stride);

#endif
