/* A training loop of one's own on the three kernels, in C, found by pkg-config: one hidden layer of 64 tanh,
 * then a softmax with the cross-entropy, whose delta is softmax - target.
 *
 *     python ../data/export_digits.py digits.csv
 *     PKG_CONFIG_PATH=(the prefix that bpkern was installed in)/lib/pkgconfig make
 *     ./digits digits.csv
 */
#include <bpkern.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 64, HIDDEN = 64, CLASSES = 10, ROWS = 1797, TRAINED = 1437, BATCH = 32, EPOCHS = 30 };

static double x[ROWS][PIXELS];
static int labels[ROWS];

static double w1[HIDDEN][PIXELS], b1[HIDDEN], w2[CLASSES][HIDDEN], b2[CLASSES];
static double vw1[HIDDEN][PIXELS], vb1[HIDDEN], vw2[CLASSES][HIDDEN], vb2[CLASSES]; /* velocities */
static double a1[ROWS][HIDDEN], a2[ROWS][CLASSES], delta1[BATCH][HIDDEN], delta2[BATCH][CLASSES];

static int read_digits(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int read = 0, value;
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < PIXELS; j++) {
            read += fscanf(file, "%d,", &value) == 1;
            x[i][j] = value / 16.0;
        }
        read += fscanf(file, "%d", &labels[i]) == 1;
    }
    fclose(file);
    return read == ROWS * (PIXELS + 1);
}

static void check(bpkern_status status) {
    if (status == BPKERN_OK) return;
    fprintf(stderr, "%s\n", bpkern_status_name((int)status));
    exit(1);
}

/* w (n) <- random numbers from -limit to limit. */
static void randomize(double *w, int n, double limit) {
    static unsigned long long state = 1;
    for (int i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        w[i] = limit * (2 * (double)(state >> 11) / 9007199254740992.0 - 1);
    }
}

/* a2 (n, classes) <- the outputs for rows `from` to `from + n`. */
static void forward(int from, int n) {
    check(bpkern_linear_forward(BPKERN_FLOAT64, 1, n, PIXELS, HIDDEN, x[from], PIXELS, w1, PIXELS, b1,
                                BPKERN_TANH, a1, HIDDEN));
    check(bpkern_linear_forward(BPKERN_FLOAT64, 1, n, HIDDEN, CLASSES, a1, HIDDEN, w2, HIDDEN, b2,
                                BPKERN_IDENTITY, a2, CLASSES));
}

static void step(int from, int n, double lr) {
    forward(from, n);
    check(bpkern_probabilities(BPKERN_FLOAT64, BPKERN_CROSS_ENTROPY, n, CLASSES, a2, delta2));
    for (int i = 0; i < n; i++) {
        delta2[i][labels[from + i]] -= 1;
        for (int j = 0; j < CLASSES; j++) delta2[i][j] /= n;
    }
    check(bpkern_delta_backward(BPKERN_FLOAT64, 1, n, HIDDEN, CLASSES, delta2, CLASSES, w2, HIDDEN, a1,
                                HIDDEN, BPKERN_TANH, delta1, HIDDEN));
    check(bpkern_sgd_update(BPKERN_FLOAT64, 1, n, HIDDEN, CLASSES, w2, HIDDEN, b2, delta2, CLASSES, a1,
                            HIDDEN, vw2, HIDDEN, vb2, lr, 0.9, 0, 0));
    check(bpkern_sgd_update(BPKERN_FLOAT64, 1, n, PIXELS, HIDDEN, w1, PIXELS, b1, delta1, HIDDEN, x[from],
                            PIXELS, vw1, PIXELS, vb1, lr, 0.9, 0, 0));
}

static double accuracy(int from, int n) {
    int right = 0;
    forward(from, n);
    for (int i = 0; i < n; i++) {
        int best = 0;
        for (int j = 1; j < CLASSES; j++)
            if (a2[i][j] > a2[i][best]) best = j;
        right += best == labels[from + i];
    }
    return (double)right / n;
}

int main(int argc, char **argv) {
    if (argc != 2 || !read_digits(argv[1])) {
        fprintf(stderr, "usage: digits FILE, which export_digits.py has written\n");
        return 2;
    }
    randomize(w1[0], HIDDEN * PIXELS, 0.2);
    randomize(w2[0], CLASSES * HIDDEN, 0.3);
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        for (int from = 0; from < TRAINED; from += BATCH)
            step(from, TRAINED - from < BATCH ? TRAINED - from : BATCH, 0.05);
    printf("accuracy on %d other digits: %.4f\n", ROWS - TRAINED, accuracy(TRAINED, ROWS - TRAINED));
    return 0;
}
