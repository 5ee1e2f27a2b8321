/* Trains a network on handwritten digits, in C, found by CMake.
 *
 *     python ../data/export_digits.py digits.csv
 *     cmake -B build -DCMAKE_PREFIX_PATH=(the prefix that bpkern was installed in)
 *     cmake --build build
 *     build/digits digits.csv
 */
#include <bpkern.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = 64, CLASSES = 10, ROWS = 1797, TRAINED = 1437, LAYERS = 3 };

static float x[ROWS][PIXELS];
static int64_t labels[ROWS];

static int read_digits(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    int read = 0, value;
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < PIXELS; j++) {
            read += fscanf(file, "%d,", &value) == 1;
            x[i][j] = (float)value / 16;
        }
        read += fscanf(file, "%d", &value) == 1;
        labels[i] = value;
    }
    fclose(file);
    return read == ROWS * (PIXELS + 1);
}

static void check(bpkern_status status) {
    if (status == BPKERN_OK) return;
    fprintf(stderr, "%s\n", bpkern_status_name((int)status));
    exit(1);
}

int main(int argc, char **argv) {
    if (argc != 2 || !read_digits(argv[1])) {
        fprintf(stderr, "usage: digits FILE, which export_digits.py has written\n");
        return 2;
    }
    const ptrdiff_t sizes[LAYERS + 1] = {PIXELS, 128, 64, CLASSES};
    const bpkern_activation activations[LAYERS] = {BPKERN_RELU, BPKERN_RELU, BPKERN_IDENTITY};
    bpkern_net *net = NULL;
    check(bpkern_net_create(BPKERN_FLOAT32, LAYERS, sizes, activations, BPKERN_CROSS_ENTROPY, NULL, &net));
    check(bpkern_net_init(net, 1));

    bpkern_training training;
    check(bpkern_training_init(&training, sizeof training, BPKERN_ADAM));
    training.epochs = 20;
    bpkern_data rows = {.size = sizeof rows, .n = TRAINED, .x = x, .ldx = PIXELS, .labels = labels};
    bpkern_report report = {.size = sizeof report};
    check(bpkern_net_fit(net, &rows, &training, &report));
    printf("bpkern %s, %s\n", bpkern_version(), bpkern_isa_name(bpkern_isa_selected()));
    printf("loss after %d epochs: %.4f\n", (int)report.epochs, report.loss);

    rows.n = ROWS - TRAINED;
    rows.x = x[TRAINED];
    rows.labels = labels + TRAINED;
    check(bpkern_net_evaluate(net, 0, &rows, &report));
    printf("accuracy on %d other digits: %.4f\n", ROWS - TRAINED, report.accuracy);
    bpkern_net_free(net);
    return 0;
}
