/* The C API of bpkern in extensions of Python, without linking: the functions of the installed package.
 *
 *     const bpkern_api *bpkern = import_bpkern();
 *     if (!bpkern) return NULL;
 *     bpkern->linear_forward(BPKERN_FLOAT32, ...);
 *
 * Defined here.
 */
#ifndef BPKERN_PYTHON_H
#define BPKERN_PYTHON_H

#include <Python.h>

#include "bpkern.h"

/* The functions of the installed bpkern, which stay valid until the process ends. Call it once, where the
 * module is initialised, with Python's lock; the functions need no lock. NULL with an ImportError if there is
 * no bpkern, or if it has no C API, another BPKERN_ABI, or an earlier BPKERN_REVISION than this header. */
static inline const bpkern_api *import_bpkern(void) {
    const bpkern_api *api = (const bpkern_api *)PyCapsule_Import("bpkern._core._C_API", 0);
    if (!api) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError))
            PyErr_SetString(PyExc_ImportError,
                            "the installed bpkern has no C API: this module needs a newer one");
        return NULL;
    }
    if (api->abi != BPKERN_ABI) {
        PyErr_Format(
            PyExc_ImportError,
            "this module was compiled for the C ABI %d of bpkern, and the installed bpkern %s has %d: "
            "compile the module again",
            BPKERN_ABI, api->version(), api->abi);
        return NULL;
    }
    if (api->revision < BPKERN_REVISION) {
        PyErr_Format(
            PyExc_ImportError,
            "this module needs revision %d of the C API of bpkern, and the installed bpkern %s has %d: "
            "install a newer bpkern",
            BPKERN_REVISION, api->version(), api->revision);
        return NULL;
    }
    return api;
}

#endif
