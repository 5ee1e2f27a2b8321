"""The C functions of an exported network. Their prefix net_ is replaced by the name of the network."""

import re

import numpy as np

from .._model.activation_texts import parts_of
from .normal import FLOAT32

# Four rows of W at once: their sums do not wait for each other, and a compiler keeps them in one vector.
# The weights of four rows stand together, column by column; those of the last rows, if there are less than
# four, follow row by row.
DENSE = {
    "float32": """\
/* z = W x + b. Four rows of W are stored together, column by column; up to three more follow, row by row. */
static void net_layer(const float *w, const float *b, const float *x, int inputs, int outputs, float *z) {
    int i, j, fours = outputs - outputs % 4;
    for (j = 0; j < fours; j += 4) {
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (i = 0; i < inputs; i++, w += 4) {
            s0 += w[0] * x[i];
            s1 += w[1] * x[i];
            s2 += w[2] * x[i];
            s3 += w[3] * x[i];
        }
        z[j] = s0 + b[j];
        z[j + 1] = s1 + b[j + 1];
        z[j + 2] = s2 + b[j + 2];
        z[j + 3] = s3 + b[j + 3];
    }
    for (j = fours; j < outputs; j++) {
        float s = 0;
        for (i = 0; i < inputs; i++) s += *w++ * x[i];
        z[j] = s + b[j];
    }
}
""",
    "int8": """\
/* z = scale (W x) + b, with a scale for each row of W. Four rows of W are stored together, column by
 * column; up to three more follow, row by row. */
static void net_layer(const signed char *w, const float *scale, const float *b, const float *x, int inputs,
                      int outputs, float *z) {
    int i, j, fours = outputs - outputs % 4;
    for (j = 0; j < fours; j += 4) {
        float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (i = 0; i < inputs; i++, w += 4) {
            s0 += (float)w[0] * x[i];
            s1 += (float)w[1] * x[i];
            s2 += (float)w[2] * x[i];
            s3 += (float)w[3] * x[i];
        }
        z[j] = scale[j] * s0 + b[j];
        z[j + 1] = scale[j + 1] * s1 + b[j + 1];
        z[j + 2] = scale[j + 2] * s2 + b[j + 2];
        z[j + 3] = scale[j + 3] * s3 + b[j + 3];
    }
    for (j = fours; j < outputs; j++) {
        float s = 0;
        for (i = 0; i < inputs; i++) s += (float)*w++ * x[i];
        z[j] = scale[j] * s + b[j];
    }
}
""",
}

# The functions of one number that others call.
SIGMOID_OF = """\
static float net_sigmoid_of(float z) {
    float e = expf(-fabsf(z)); /* at most 1: nothing overflows */
    return (z < 0 ? e : 1.0f) / (1.0f + e);
}
"""

LOG1P_OF = """\
/* log(1 + e) for e from 0 to 1, as 2 artanh(e / (2 + e)). */
static float net_log1p_of(float e) {
    float s = e / (2.0f + e), q = s * s;
    float sum = 1.0f / 13 + q * (1.0f / 15);
    sum = 1.0f / 9 + q * (1.0f / 11 + q * sum);
    sum = 1.0f / 5 + q * (1.0f / 7 + q * sum);
    return 2.0f * s * (1.0f + q * (1.0f / 3 + q * sum));
}
"""

BELOW_OF = """\
/* The cumulative normal distribution at -v, for v of at least 0. */
static float net_below_of(float v) {
    static const float p[] = {
        COEFFICIENTS
    };
    float t = 3.0f / (3.0f + v), s = 2.0f * t - 1.0f, sum = 0;
    int i;
    for (i = COUNT - 1; i >= 0; i--) sum = sum * s + p[i];
    return 0.5f * t * expf(sum - 0.5f * v * v);
}
""".replace("COEFFICIENTS", ",\n        ".join(f"{value:.9g}f" for value in FLOAT32)).replace(
    "COUNT - 1", str(len(FLOAT32) - 1)
)


def _each(name: str, body: str) -> str:
    """A function that replaces each z of an array."""
    return f"""\
static void net_{name}(float *a, int n) {{
    int i;
    for (i = 0; i < n; i++) {{
        float z = a[i];
        a[i] = {body};
    }}
}}
"""


# By activation: the functions that it needs, itself last. NaN goes through all of them.
ACTIVATIONS = {
    "identity": (),
    "relu": (_each("relu", "z < 0 ? 0.0f : z"),),
    "leaky_relu": (_each("leaky_relu", "z < 0 ? 0.01f * z : z"),),
    "sigmoid": (SIGMOID_OF, _each("sigmoid", "net_sigmoid_of(z)")),
    "tanh": (_each("tanh", "tanhf(z)"),),
    "elu": (
        """\
/* exp(z) - 1 below 0, as 2 t / (1 - t) with t = tanh(z / 2), in which no digits cancel. */
static void net_elu(float *a, int n) {
    int i;
    for (i = 0; i < n; i++)
        if (a[i] < 0) {
            float t = tanhf(0.5f * a[i]);
            a[i] = 2.0f * t / (1.0f - t);
        }
}
""",
    ),
    "selu": (
        """\
/* exp(z) - 1 below 0, as 2 t / (1 - t) with t = tanh(z / 2), in which no digits cancel. */
static void net_selu(float *a, int n) {
    int i;
    for (i = 0; i < n; i++)
        if (a[i] < 0) {
            float t = tanhf(0.5f * a[i]);
            a[i] = 1.75809934f * (2.0f * t / (1.0f - t));
        } else {
            a[i] *= 1.05070099f;
        }
}
""",
    ),
    "softplus": (LOG1P_OF, _each("softplus", "(z < 0 ? 0.0f : z) + net_log1p_of(expf(-fabsf(z)))")),
    "gelu": (BELOW_OF, _each("gelu", "(z < 0 ? 0.0f : z) - fabsf(z) * net_below_of(fabsf(z))")),
    "gelu_tanh": (
        SIGMOID_OF,
        _each("gelu_tanh", "z * net_sigmoid_of(z * (1.59576912f + 0.0713548163f * z * z))"),
    ),
    "silu": (SIGMOID_OF, _each("silu", "z * net_sigmoid_of(z)")),
    "mish": (
        """\
/* z tanh(log(1 + exp(z))) = z n / (n + m), of sums of positive terms in e = exp(-|z|). */
static void net_mish(float *a, int n) {
    int i;
    for (i = 0; i < n; i++) {
        float z = a[i], e = expf(-fabsf(z)); /* at most 1: nothing overflows */
        float top = z < 0 ? e * (e + 2.0f) : 1.0f + 2.0f * e;
        a[i] = z * (top / (top + (z < 0 ? 2.0f : 2.0f * e * e)));
    }
}
""",
    ),
}

ELU_BODY = """\
/* FACTOR (exp(z) - 1) below 0. With t = tanh(z / 2), exp(z) - 1 = 2 t / (1 - t): no digits cancel. */
static void net_NAME(float *a, int n) {
    int i;
    for (i = 0; i < n; i++)
        if (a[i] < 0) {
            float t = tanhf(0.5f * a[i]);
            a[i] = FACTOR * (2.0f * t / (1.0f - t));
        }
}
"""


def function_name(activation: str) -> str:
    """The C function of an activation, without its prefix: "leaky_relu_0_2" for "leaky_relu(0.2)"."""
    return re.sub(r"\W", "_", activation.removesuffix(")").replace("-", "minus"))


def functions_of(activation: str) -> tuple[str, ...]:
    """The functions that an activation needs, itself last."""
    name, parameter = parts_of(activation)
    if parameter is None:
        return ACTIVATIONS[name]
    own, factor = function_name(activation), f"{np.float32(parameter):.9e}f"
    if name == "leaky_relu":
        return (_each(own, f"z < 0 ? {factor} * z : z"),)
    return (ELU_BODY.replace("NAME", own).replace("FACTOR", factor),)


# By what follows the outputs.
FINAL = {
    "identity": (),
    "sigmoid": ACTIVATIONS["sigmoid"],
    "softmax": (
        """\
static void net_softmax(float *a, int n) {
    float top = a[0], sum = 0;
    int i;
    for (i = 1; i < n; i++) top = a[i] > top ? a[i] : top;
    for (i = 0; i < n; i++) sum += a[i] = expf(a[i] - top); /* of at most 0: nothing overflows */
    for (i = 0; i < n; i++) a[i] /= sum;
}
""",
    ),
    "exp": (_each("exp", "expf(z)"),),
}

CLASS = """\
int net_class(const float *out) {
    int i, best = 0;
    for (i = 1; i < NET_OUTPUTS; i++) best = out[i] > out[best] ? i : best;
    return best;
}
"""

TEST = """\
#if defined(NET_TEST) || defined(NET_TEST_MAIN)
/* ROWS rows and their predictions, computed in float64. */
static const GIVEN net_test_x[ROWS][NET_INPUTS] = INPUTS;
static const REAL net_test_y[ROWS][NET_OUTPUTS] = PREDICTIONS;

/* The number of predictions that are further than TOLERANCE from these; 0 if all is right. */
int net_test(void);
int net_test(void) {
    REAL out[NET_OUTPUTS];
    int row, i, wrong = 0;
    for (row = 0; row < ROWS; row++) {
        net_predict(net_test_x[row], out);
        for (i = 0; i < NET_OUTPUTS; i++) wrong += !(FABS(out[i] - net_test_y[row][i]) <= TOLERANCE);
    }
    return wrong;
}
#endif

#ifdef NET_TEST_MAIN
int main(void) { return net_test() != 0; }
#endif
"""
