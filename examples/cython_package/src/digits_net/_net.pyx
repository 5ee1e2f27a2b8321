"""A network of bpkern, created, trained and evaluated without Python's lock."""

from libc.stdint cimport int64_t

from bpkern.c_api cimport (
    BPKERN_ADAM, BPKERN_CROSS_ENTROPY, BPKERN_FLOAT32, BPKERN_IDENTITY, BPKERN_OK, BPKERN_RELU, bpkern_activation,
    bpkern_api, bpkern_data, bpkern_net, bpkern_report, bpkern_status, bpkern_training, import_bpkern,
)

# Raises ImportError if the installed bpkern does not have what this module was compiled for.
cdef const bpkern_api *bpkern = import_bpkern()


cdef bpkern_data rows_of(const float[:, ::1] X, const int64_t[::1] labels) noexcept nogil:
    cdef bpkern_data rows = bpkern_data(
        size=sizeof(bpkern_data), n=X.shape[0], x=&X[0, 0], ldx=X.shape[1], labels=&labels[0], y=NULL, ldy=0,
        weights=NULL,
    )
    return rows


cdef bpkern_status fit(
    bpkern_net *net, const bpkern_data *rows, const bpkern_data *others, int epochs, bpkern_report *fitted,
    bpkern_report *evaluated,
) noexcept nogil:
    cdef bpkern_training training
    cdef bpkern_status status = bpkern.training_init(&training, sizeof(training), BPKERN_ADAM)
    training.epochs = epochs
    if status == BPKERN_OK:
        status = bpkern.net_init(net, 1)
    if status == BPKERN_OK:
        status = bpkern.net_fit(net, rows, &training, fitted)
    if status == BPKERN_OK:
        status = bpkern.net_evaluate(net, 0, others, evaluated)
    return status


def train(
    const float[:, ::1] X, const int64_t[::1] labels, const float[:, ::1] X_other, const int64_t[::1] labels_other,
    int epochs,
):
    """The last epoch's loss, and the accuracy on the other rows."""
    if len(X) != len(labels) or len(X_other) != len(labels_other) or X.shape[1] != X_other.shape[1]:
        raise ValueError("rows and labels must be as many, and all rows as wide")
    if not len(X) or not len(X_other) or not X.shape[1]:
        raise ValueError("there must be rows with columns")
    cdef ptrdiff_t[3] sizes = [X.shape[1], 64, 10]
    cdef bpkern_activation[2] activations = [BPKERN_RELU, BPKERN_IDENTITY]
    cdef bpkern_net *net = NULL
    cdef bpkern_data rows = rows_of(X, labels), others = rows_of(X_other, labels_other)
    cdef bpkern_report fitted, evaluated
    cdef bpkern_status status
    fitted.size = evaluated.size = sizeof(bpkern_report)
    fitted.losses = evaluated.losses = NULL
    with nogil:
        status = bpkern.net_create(BPKERN_FLOAT32, 2, sizes, activations, BPKERN_CROSS_ENTROPY, NULL, &net)
        if status == BPKERN_OK:
            status = fit(net, &rows, &others, epochs, &fitted, &evaluated)
        bpkern.net_free(net)
    if status != BPKERN_OK:
        raise RuntimeError(bpkern.status_name(status).decode())
    return fitted.loss, evaluated.accuracy
