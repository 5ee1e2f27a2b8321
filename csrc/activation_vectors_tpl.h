/* The activations and their derivatives on a vector. */
#ifndef BPK_ACTIVATION_VECTORS_H
#define BPK_ACTIVATION_VECTORS_H

#include "vmath_tpl.h"

static ALWAYS_INLINE vec relu(vec z) { return vmax(vzero(), z); }
static ALWAYS_INLINE vec leaky_relu(vec z) { return vselect(vlt(z, vzero()), vmul(z, vset1((real)0.01)), z); }

static ALWAYS_INLINE vec sigmoid_derivative(vec a) { return vmul(a, vsub(vset1(1), a)); }
static ALWAYS_INLINE vec tanh_derivative(vec a) { return vfnma(a, a, vset1(1)); }
static ALWAYS_INLINE vec relu_derivative(vec a) { return vselect(vgt(a, vzero()), vset1(1), vzero()); }
static ALWAYS_INLINE vec leaky_relu_derivative(vec a) {
    return vselect(vgt(a, vzero()), vset1(1), vset1((real)0.01));
}

/* Of one vector, where a call for a matrix would not be worth it. */
static inline vec activation_vector(bpk_activation activation, vec z) {
    switch (activation) {
        case BPK_RELU: return relu(z);
        case BPK_LEAKY_RELU: return leaky_relu(z);
        case BPK_SIGMOID: return vsigmoid(z);
        case BPK_TANH: return vtanh(z);
        case BPK_IDENTITY:
        case BPK_N_ACTIVATIONS: break;
    }
    return z;
}

static inline vec derivative_vector(bpk_activation activation, vec a) {
    switch (activation) {
        case BPK_RELU: return relu_derivative(a);
        case BPK_LEAKY_RELU: return leaky_relu_derivative(a);
        case BPK_SIGMOID: return sigmoid_derivative(a);
        case BPK_TANH: return tanh_derivative(a);
        case BPK_IDENTITY:
        case BPK_N_ACTIVATIONS: break;
    }
    return vset1(1);
}

#endif
