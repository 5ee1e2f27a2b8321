/* The binary tree that fixes the order of sums over shards. */
#include "trainer/tree.h"

#include <stdint.h>

int tree_levels(int shards) {
    int level = 0;
    while ((int64_t)1 << level < shards) level++;
    return level;
}

/* Whether the node ends at `end` or before. Shards that do not exist count as included. */
static int ends_by(int shards, int64_t first, int level, int end) {
    int64_t last = first + ((int64_t)1 << level);
    return (last < shards ? last : shards) <= end;
}

int tree_nodes(int shards, int first, int count, tree_node nodes[MOST_NODES]) {
    const int end = first + count, top = tree_levels(shards);
    int found = 0;
    while (first < end) {
        int level = 0;
        while (level < top && first % ((int64_t)2 << level) == 0 && ends_by(shards, first, level + 1, end))
            level++;
        nodes[found++] = (tree_node){first, level};
        int64_t next = first + ((int64_t)1 << level);
        first = next < end ? (int)next : end;
    }
    return found;
}

static double sum_of(int shards, const double *value, ptrdiff_t stride, int64_t first, int level) {
    if (level == 0) return value[first * stride];
    const int64_t second = first + ((int64_t)1 << (level - 1));
    double sum = sum_of(shards, value, stride, first, level - 1);
    return second < shards ? sum + sum_of(shards, value, stride, second, level - 1) : sum;
}

double tree_sum(int shards, const double *value, ptrdiff_t stride) {
    return sum_of(shards, value, stride, 0, tree_levels(shards));
}
