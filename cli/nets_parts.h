/* What the networks of nets.c are put together from.  Errors stick to the graph, or to the net where they are the store's. */
#ifndef AVAL_CLI_NETS_PARTS_H
#define AVAL_CLI_NETS_PARTS_H

#include "nets.h"

aval_value *net_input(net *n, size_t rank, const int64_t *dims);
/* Learnt states: random as He et al. 2015 have it, and equal numbers. */
aval_value *net_weight(net *n, size_t rank, const int64_t *dims);
aval_value *net_vector(net *n, int64_t length, double value);
/* A constant list. */
aval_value *net_ints(net *n, size_t count, const int64_t *data);

aval_value *net_reshape(net *n, aval_value *x, size_t rank, const int64_t *dims);
aval_value *net_relu(net *n, aval_value *x);
aval_value *net_dense(net *n, aval_value *x, int64_t in, int64_t out); /* with a bias */
/* Without a bias; pads keep the size where the stride is 1. */
aval_value *net_conv(net *n, aval_value *x, int64_t in, int64_t out, int64_t kernel, int stride);
/* Batch normalisation: by the batch's statistics in training, by the running ones in inference. */
aval_value *net_norm(net *n, aval_value *x, int64_t channels);
aval_value *net_layer_norm(net *n, aval_value *x, int64_t width);
aval_value *net_pool(net *n, const char *op, aval_value *x, int kernel, int stride, int pad); /* MaxPool, AveragePool */

/* The end of a network: its result, and in training the loss (cross entropy of the scores; the mean of squares) and a step of stochastic gradient
   descent with momentum on all parameters. */
void net_classify(net *n, aval_value *scores, size_t classes);
void net_vanish(net *n, aval_value *y);

#endif
