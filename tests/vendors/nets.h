/* Graphs whose generated kernels are compiled for the vendors' GPUs: what training really fuses, beyond each operator alone. */
#ifndef AVAL_TEST_VENDORS_NETS_H
#define AVAL_TEST_VENDORS_NETS_H

#include "aval/aval.h"

#define NET_MOST_WANTED 64

typedef struct net {
    aval_graph *g;
    aval_value *parameters[NET_MOST_WANTED];
    size_t n_parameters;
    aval_value *wanted[2 * NET_MOST_WANTED]; /* the loss, and each parameter and its moment after a step */
    size_t n_wanted;
} net;

typedef struct net_case {
    const char *name;
    void (*build)(net *n, int type);
} net_case;

extern const net_case net_cases[];
extern const size_t n_net_cases;

#endif
