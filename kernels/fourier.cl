/* Discrete Fourier transforms of any length along one axis, by passes of mixed radix that sort by themselves (Stockham).
 *
 * Complex numbers are pairs of type D.  Between passes a row holds [width][n / width] numbers: entry (k, j) is term k of the transform of
 * the `width` numbers j, j + n / width, j + 2 n / width ... of the row.  It begins with width 1 and ends with width n.  A pass with radix r makes
 * width r times as large; each new number is a sum of r old ones, so that n takes n times the sum of its factors. */
#include "common.clh"

/* Row r of rows = outer * inner from x [outer, length, inner, parts]; what is missing up to n is 0.  Work-items: rows * n. */
__kernel void fourier_load(__global const S *x, long x_at, __global D *to, long to_at, long rows, long n, long length, long inner,
                           int parts)
{
    long i = get_global_id(0), r = i / n, j = i % n;
    if (r >= rows) return;
    TD real = 0, imaginary = 0;
    if (j < length) {
        long at = x_at + ((r / inner * length + j) * inner + r % inner) * parts;
        real = LOAD(x, at);
        if (parts == 2) imaginary = LOAD(x, at + 1);
    }
    STORE_D(to, to_at + 2 * i, real);
    STORE_D(to, to_at + 2 * i + 1, imaginary);
}

/* One pass, from width to width * radix.  sign is that of the exponent.  Work-items: rows * n. */
__kernel void fourier_pass(__global const D *from, long from_at, __global D *to, long to_at, long rows, long n, long width, long radix,
                           int sign)
{
    long i = get_global_id(0), r = i / n, place = i % n;
    if (r >= rows) return;
    long next = width * radix, rest = n / next, k = place / rest, j = place % rest;
    TD real = 0, imaginary = 0;
    from += from_at + 2 * (r * n + k % width * (n / width) + j);
    for (long q = 0; q < radix; q++) {
        /* the angle is 2 pi (k q / next), of which whole turns are taken off while it is exact */
        TD turn = (TD)(2 * (k * q % next)) / (TD)next, c = cospi(turn), s = sign * sinpi(turn);
        TD a = LOAD_D(from, 2 * q * rest), b = LOAD_D(from, 2 * q * rest + 1);
        real += a * c - b * s;
        imaginary += a * s + b * c;
    }
    STORE_D(to, to_at + 2 * i, real);
    STORE_D(to, to_at + 2 * i + 1, imaginary);
}

/* y [outer, count, inner, parts]: the first `count` of the n numbers of each row times `scale`, 0 beyond.  Work-items: rows * count. */
__kernel void fourier_store(__global const D *from, long from_at, __global S *y, long y_at, long rows, long n, long count, long inner,
                            int parts, REAL scale)
{
    long i = get_global_id(0), r = i / count, k = i % count;
    if (r >= rows) return;
    long at = y_at + ((r / inner * count + k) * inner + r % inner) * parts;
    TD real = 0, imaginary = 0;
    if (k < n) {
        real = LOAD_D(from, from_at + 2 * (r * n + k)) * scale;
        imaginary = LOAD_D(from, from_at + 2 * (r * n + k) + 1) * scale;
    }
    STORE(y, at, real);
    if (parts == 2) STORE(y, at + 1, imaginary);
}
