/* Pictures of the course as SVG files: curves, maps of a surface, and graphs with a value and a gradient box at each variable.  Programs draw
 * only when they are given a folder. */
#ifndef AVAL_EXAMPLES_PICTURE_H
#define AVAL_EXAMPLES_PICTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PICTURE_MARGIN = 72 };
static const char *const picture_colours[] = { "#1f6fb4", "#c8402f", "#2f8f4e", "#8a56b0", "#b07a1a", "#4a4a4a" };

/* The folder that pictures were asked for in; NULL: none. */
static inline const char *picture_folder(int argc, char **argv)
{
    return argc > 1 ? argv[1] : NULL;
}

static inline FILE *picture_file(const char *folder, const char *file)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "w");
    if (f != NULL) return f;
    fprintf(stderr, "%s cannot be written\n", path);
    exit(1);
}

static inline FILE *picture_open(const char *folder, const char *file, int width, int height, const char *title)
{
    FILE *f = picture_file(folder, file);
    fprintf(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
        "font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"24\" font-size=\"16\">%s</text>\n",
        width, height, width, height, PICTURE_MARGIN, title);
    return f;
}

static inline void picture_close(FILE *f)
{
    fprintf(f, "</svg>\n");
    if (fclose(f) != 0) perror("picture");
}

/* ---- Axes ------------------------------------------------------------------------------------------------------------------------- */

/* From one number to another, over so many points of the picture from `at` on; of the base-10 logarithms of what it shows, if logarithmic. */
typedef struct chart_axis {
    const char *label;
    double from, to, at, length;
    int logarithmic;
} chart_axis;

typedef struct chart {
    const char *file, *title, *x_label, *y_label;
    double x_from, x_to; /* of the first and the last number of a row */
    double y_from, y_to; /* of a surface's rows; curves show what they have */
    int logarithmic; /* curves: heights by their logarithms, and what is not positive is left out */
} chart;

static inline double axis_place(const chart_axis *a, double value)
{
    return a->at + a->length * (value - a->from) / (a->to - a->from);
}

/* The distance of ticks, 1, 2 or 5 times a power of ten (whole decades on a logarithmic axis), that makes about `wanted` of them. */
static inline double axis_step(const chart_axis *a, int wanted)
{
    double rough = fabs(a->to - a->from) / wanted, power = pow(10, floor(log10(rough))), share = rough / power;
    double step = power * (share > 5 ? 10 : share > 2 ? 5 : share > 1 ? 2 : 1);
    return a->logarithmic && step < 1 ? 1 : step;
}

/* A tick at `value` of the axis with its number and a thin line across the picture: x (below, at height `edge`) or y (left of it). */
static inline void draw_tick(FILE *f, const chart_axis *a, double value, int is_x, double edge, double across)
{
    double place = axis_place(a, value), shown = a->logarithmic ? pow(10, value) : value + 0.0;
    if (value < a->from - 1e-9 || value > a->to + 1e-9) return;
    if (is_x)
        fprintf(f, "<path d=\"M%.1f %g v%g\" stroke=\"#dddddd\"/>\n<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%.4g</text>\n", place,
                edge, -across, place, edge + 18, shown);
    else
        fprintf(f, "<path d=\"M%g %.1f h%g\" stroke=\"#dddddd\"/>\n<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", edge,
                place, across, edge - 6, place + 4, shown);
}

static inline void draw_axis(FILE *f, const chart_axis *a, int is_x, double edge, double across)
{
    double step = axis_step(a, 6), middle = a->at + a->length / 2;
    for (double k = floor(a->from / step); k <= ceil(a->to / step); k++) {
        draw_tick(f, a, k * step, is_x, edge, across);
        for (int i = 2; i <= 5 && a->logarithmic && a->to - a->from < 2; i += 3) draw_tick(f, a, k * step + log10(i), is_x, edge, across);
    }
    if (is_x) fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n", middle, edge + 38, a->label);
    else fprintf(f, "<text transform=\"translate(%g %g) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", edge - 56, middle, a->label);
}

/* ---- Curves ----------------------------------------------------------------------------------------------------------------------- */

typedef struct curve {
    const char *label;
    const double *y; /* of the chart's x_from to x_to, evenly */
    int n;
} curve;

static inline double curve_height(double y, int logarithmic)
{
    return !logarithmic ? y : y > 0 ? log10(y) : NAN;
}

static inline void draw_curves(const char *folder, const chart *c, const curve *curves, int n)
{
    enum { WIDE = 560, TALL = 320, TOP = 66 };
    double low = INFINITY, high = -INFINITY;
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < curves[k].n; i++) {
            double y = curve_height(curves[k].y[i], c->logarithmic);
            if (isfinite(y)) low = fmin(low, y), high = fmax(high, y);
        }
    }
    if (!(high > low)) low -= 1, high = low + 2;
    double room = 0.04 * (high - low), bottom = TOP + TALL;
    chart_axis x = { c->x_label, c->x_from, c->x_to, PICTURE_MARGIN, WIDE, 0 };
    chart_axis y = { c->y_label, low - room, high + room, bottom, -TALL, c->logarithmic };
    FILE *f = picture_open(folder, c->file, PICTURE_MARGIN + WIDE + 24, TOP + TALL + 56, c->title);
    draw_axis(f, &x, 1, bottom, TALL);
    draw_axis(f, &y, 0, PICTURE_MARGIN, WIDE);
    fprintf(f, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"black\"/>\n", PICTURE_MARGIN, TOP, WIDE, TALL);
    for (int k = 0; k < n; k++) {
        const char *colour = picture_colours[(size_t)k % (sizeof picture_colours / sizeof *picture_colours)];
        fprintf(f, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"", colour);
        for (int i = 0; i < curves[k].n; i++) {
            double height = curve_height(curves[k].y[i], c->logarithmic);
            double at = c->x_from + (c->x_to - c->x_from) * i / (curves[k].n > 1 ? curves[k].n - 1 : 1);
            if (isfinite(height)) fprintf(f, "%.1f,%.1f ", axis_place(&x, at), axis_place(&y, height));
        }
        fprintf(f, "\"/>\n<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", PICTURE_MARGIN + WIDE * k / n, TOP - 12, colour,
                curves[k].label);
    }
    picture_close(f);
}

/* ---- Surfaces --------------------------------------------------------------------------------------------------------------------- */

/* Dark blue for 0, by green, to yellow for 1. */
static inline void print_colour(FILE *f, double share)
{
    static const double stops[][3] = { { 58, 40, 110 }, { 48, 100, 142 }, { 42, 158, 130 }, { 148, 206, 78 }, { 250, 230, 60 } };
    double at = 4 * fmin(fmax(share, 0), 1);
    int k = at >= 4 ? 3 : (int)at;
    fprintf(f, "rgb(");
    for (int i = 0; i < 3; i++) fprintf(f, "%.0f%s", stops[k][i] + (at - k) * (stops[k + 1][i] - stops[k][i]), i < 2 ? "," : ")");
}

/* Where the surface crosses the height `level` on the four sides of the square whose lower left corner is element (r, c): a piece of the line of
   equal height, two at a saddle. */
static inline void draw_crossings(FILE *f, const double *z, int columns, int r, int c, double level, const chart_axis *x,
                                  const chart_axis *y)
{
    static const int corner[5][2] = { { 0, 0 }, { 0, 1 }, { 1, 1 }, { 1, 0 }, { 0, 0 } };
    int found = 0;
    for (int side = 0; side < 4; side++) {
        const int *p = corner[side], *q = corner[side + 1];
        double a = z[(r + p[0]) * columns + c + p[1]], b = z[(r + q[0]) * columns + c + q[1]];
        if ((a < level) == (b < level)) continue;
        double share = (level - a) / (b - a);
        fprintf(f, "%c%.1f %.1f", found++ % 2 == 0 ? 'M' : 'L', axis_place(x, c + p[1] + share * (q[1] - p[1])),
                axis_place(y, r + p[0] + share * (q[0] - p[0])));
    }
}

/* z [rows x columns], row 0 at the bottom, with lines of equal height and a cross in the middle. */
static inline void draw_surface(const char *folder, const chart *c, const double *z, int rows, int columns)
{
    enum { SIDE = 400, TOP = 44, BAR = 18 };
    double low = INFINITY, high = -INFINITY, bottom = TOP + SIDE, middle = PICTURE_MARGIN + 0.5 * SIDE;
    for (int i = 0; i < rows * columns; i++) low = fmin(low, z[i]), high = fmax(high, z[i]);
    if (!(high > low)) low -= 1, high = low + 2;
    FILE *f = picture_open(folder, c->file, PICTURE_MARGIN + SIDE + 120, TOP + SIDE + 56, c->title);
    chart_axis x = { c->x_label, c->x_from, c->x_to, PICTURE_MARGIN, SIDE, 0 }, y = { c->y_label, c->y_from, c->y_to, bottom, -SIDE, 0 };
    draw_axis(f, &x, 1, bottom, 0);
    draw_axis(f, &y, 0, PICTURE_MARGIN, 0);
    chart_axis column = { "", 0, columns - 1, PICTURE_MARGIN, SIDE, 0 }, row = { "", 0, rows - 1, bottom, -SIDE, 0 };
    for (int i = 0; i < (rows - 1) * (columns - 1); i++) { /* a square between four numbers, in the colour of their mean */
        int r = i / (columns - 1), at = r * columns + i % (columns - 1);
        double mean = 0.25 * (z[at] + z[at + 1] + z[at + columns] + z[at + columns + 1]);
        fprintf(f, "<rect shape-rendering=\"crispEdges\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"",
                axis_place(&column, at % columns), axis_place(&row, r + 1), (double)SIDE / (columns - 1) + 0.3,
                (double)SIDE / (rows - 1) + 0.3);
        print_colour(f, (mean - low) / (high - low));
        fprintf(f, "\"/>\n");
    }
    chart_axis height = { "", low, high, bottom, -SIDE, 0 };
    double step = axis_step(&height, 12), bar = PICTURE_MARGIN + SIDE + 24;
    for (int i = 0; i < SIDE; i++) {
        fprintf(f, "<path shape-rendering=\"crispEdges\" d=\"M%g %g h%d\" stroke=\"", bar, bottom - i - 0.5, BAR);
        print_colour(f, (i + 0.5) / SIDE);
        fprintf(f, "\"/>\n");
    }
    for (double k = ceil(low / step); k <= floor(high / step); k++) {
        fprintf(f, "<path fill=\"none\" stroke=\"white\" d=\"M0 0");
        for (int i = 0; i < (rows - 1) * (columns - 1); i++)
            draw_crossings(f, z, columns, i / (columns - 1), i % (columns - 1), k * step, &column, &row);
        fprintf(f, "\"/>\n<text x=\"%g\" y=\"%.1f\">%.4g</text>\n", bar + BAR + 5, axis_place(&height, k * step) + 4, k * step + 0.0);
    }
    fprintf(f, "<path d=\"M%g %g h12 m-6 -6 v12\" stroke=\"#c8402f\" stroke-width=\"2\"/>\n", middle - 6, bottom - 0.5 * SIDE);
    picture_close(f);
}

/* ---- Value and gradient boxes --------------------------------------------------------------------------------------------------- */

#define BOX_SOURCES 3

typedef struct box {
    const char *name, *op; /* op: what it was computed by, on the edges that lead to it; NULL for an input */
    int from[BOX_SOURCES], n_from; /* earlier boxes */
    double value, gradient;
} box;

static inline void draw_boxes_dot(const char *folder, const char *file, const box *boxes, int n)
{
    FILE *f = picture_file(folder, file);
    fprintf(f, "digraph backpropagation {\n    rankdir=LR;\n    node [shape=record, fontname=\"sans-serif\"];\n");
    for (int i = 0; i < n; i++) {
        fprintf(f, "    b%d [label=\"%s|{value %g|gradient %g}\"];\n", i, boxes[i].name, boxes[i].value + 0.0, boxes[i].gradient + 0.0);
        for (int k = 0; k < boxes[i].n_from; k++) fprintf(f, "    b%d -> b%d [label=\"%s\"];\n", boxes[i].from[k], i, boxes[i].op);
    }
    fprintf(f, "}\n");
    if (fclose(f) != 0) perror("picture");
}

/* Columns by the longest way from an input. */
static inline void draw_boxes_svg(const char *folder, const char *file, const char *title, const box *boxes, int n)
{
    enum { WIDE = 130, TALL = 76, MOST = 64 };
    int column[MOST] = { 0 }, row[MOST] = { 0 }, filled[MOST] = { 0 }, columns = 0, rows = 0;
    for (int i = 0; i < n && i < MOST; i++) {
        for (int k = 0; k < boxes[i].n_from; k++) {
            if (column[boxes[i].from[k]] >= column[i]) column[i] = column[boxes[i].from[k]] + 1;
        }
        row[i] = filled[column[i]]++;
        if (column[i] >= columns) columns = column[i] + 1;
        if (row[i] >= rows) rows = row[i] + 1;
    }
    FILE *f = picture_open(folder, file, columns * WIDE + 80, rows * TALL + 80, title);
    fprintf(f, "<text x=\"30\" y=\"%d\">green: value, red: gradient of the last one by it</text>\n", rows * TALL + 66);
    for (int i = 0; i < n && i < MOST; i++) {
        int x = 30 + column[i] * WIDE, y = 50 + row[i] * TALL;
        for (int k = 0; k < boxes[i].n_from; k++) {
            int from = boxes[i].from[k], x0 = 30 + column[from] * WIDE + 80, y0 = 50 + row[from] * TALL + 28;
            fprintf(
                f,
                "<path d=\"M%d %d L%d %d\" stroke=\"gray\"/>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" font-size=\"11\">%s</text>\n",
                x0, y0, x, y + 28, (2 * x0 + x) / 3, (2 * y0 + y + 28) / 3 - 4, boxes[i].op);
        }
        fprintf(
            f,
            "<rect x=\"%d\" y=\"%d\" width=\"80\" height=\"56\" fill=\"#eef4fa\" stroke=\"black\"/>\n<text x=\"%d\" y=\"%d\">%s</text>\n"
            "<text x=\"%d\" y=\"%d\" fill=\"#2f8f4e\">%g</text>\n<text x=\"%d\" y=\"%d\" fill=\"#c8402f\">%g</text>\n",
            x, y, x + 6, y + 16, boxes[i].name, x + 6, y + 33, boxes[i].value + 0.0, x + 6, y + 50, boxes[i].gradient + 0.0);
    }
    picture_close(f);
}

#endif
