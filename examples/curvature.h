/* Eigenvalues and eigenvectors of a small symmetric matrix, for the Hessians of the course: Jacobi's rotations. */
#ifndef AVAL_EXAMPLES_CURVATURE_H
#define AVAL_EXAMPLES_CURVATURE_H

#include <math.h>

/* Turns rows and columns p and q of `a` so that a[p][q] becomes 0; the rows of `vectors` go along. */
static inline void jacobi_rotate(double *a, double *vectors, int n, int p, int q)
{
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < n; k++) {
        double x = a[k * n + p], y = a[k * n + q];
        a[k * n + p] = c * x - s * y;
        a[k * n + q] = s * x + c * y;
    }
    for (int k = 0; k < n; k++) {
        double x = a[p * n + k], y = a[q * n + k];
        a[p * n + k] = c * x - s * y;
        a[q * n + k] = s * x + c * y;
        x = vectors[p * n + k], y = vectors[q * n + k];
        vectors[p * n + k] = c * x - s * y;
        vectors[q * n + k] = s * x + c * y;
    }
}

/* `a` [n, n] becomes diagonal: its diagonal holds the eigenvalues, row i of `vectors` the eigenvector of a[i][i]. */
static inline void eigen(double *a, double *vectors, int n)
{
    for (int i = 0; i < n * n; i++) vectors[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < 30; sweep++) {
        for (int p = 0; p < n; p++) {
            for (int q = p + 1; q < n; q++) {
                if (fabs(a[p * n + q]) > 1e-300) jacobi_rotate(a, vectors, n, p, q);
            }
        }
    }
}

#endif
