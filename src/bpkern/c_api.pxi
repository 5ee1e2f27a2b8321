# The C API as other extensions find it: include/bpkern_python.h imports this capsule. Included by _core.pyx.

cdef extern from "api/api.h":
    ctypedef struct bpkern_api:
        pass
    const bpkern_api bpk_api_table

_C_API = PyCapsule_New(<void *>&bpk_api_table, "bpkern._core._C_API", NULL)
