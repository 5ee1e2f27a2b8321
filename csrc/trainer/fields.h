/* How a special path of training lists the fields of a run, a net or a layer: each is SERVED, because the
 * path uses it or because it has no effect on the runs that are not refused; or it refuses the run on a
 * condition. All fields are listed: a test fails if one is missing. Defined here. */
#ifndef BPK_FIELDS_H
#define BPK_FIELDS_H

#define SERVED(object, field) (void)sizeof((object)->field)
#define REFUSED(object, field, condition) \
    SERVED(object, field);                \
    if (condition) return 0

#endif
