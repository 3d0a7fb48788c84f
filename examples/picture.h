/* Pictures of the course as SVG files: curves, maps of a surface, and graphs with a value and a gradient box at each variable.  Programs draw
 * only when they are given a folder. */
#ifndef AVAL_EXAMPLES_PICTURE_H
#define AVAL_EXAMPLES_PICTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PICTURE_WIDTH = 720, PICTURE_HEIGHT = 440, PICTURE_MARGIN = 60 };
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

/* ---- Curves ----------------------------------------------------------------------------------------------------------------------- */

typedef struct curve {
    const char *label;
    const double *y; /* at 0, 1, 2 ... */
    int n;
} curve;

/* `logarithmic`: of the base 10; what is not positive is left out. */
static inline double curve_height(double y, int logarithmic)
{
    return !logarithmic ? y : y > 0 ? log10(y) : NAN;
}

static inline void draw_curves(const char *folder, const char *file, const char *title, const char *x_label, const curve *curves, int n,
                               int logarithmic)
{
    double low = INFINITY, high = -INFINITY;
    int longest = 2;
    for (int c = 0; c < n; c++) {
        if (curves[c].n > longest) longest = curves[c].n;
        for (int i = 0; i < curves[c].n; i++) {
            double y = curve_height(curves[c].y[i], logarithmic);
            if (isfinite(y)) low = fmin(low, y), high = fmax(high, y);
        }
    }
    if (!(high > low)) low -= 1, high = low + 2;
    FILE *f = picture_open(folder, file, PICTURE_WIDTH, PICTURE_HEIGHT, title);
    double wide = PICTURE_WIDTH - 2 * PICTURE_MARGIN, tall = PICTURE_HEIGHT - 2 * PICTURE_MARGIN, bottom = PICTURE_HEIGHT - PICTURE_MARGIN;
    fprintf(f, "<path d=\"M%d %d V%g H%g\" fill=\"none\" stroke=\"black\"/>\n", PICTURE_MARGIN, PICTURE_MARGIN, bottom,
            PICTURE_MARGIN + wide);
    fprintf(f, "<text x=\"4\" y=\"%d\">%.3g</text>\n<text x=\"4\" y=\"%g\">%.3g</text>\n", PICTURE_MARGIN + 5,
            logarithmic ? pow(10, high) : high, bottom, logarithmic ? pow(10, low) : low);
    fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%s, to %d</text>\n", PICTURE_MARGIN + wide, bottom + 20, x_label, longest - 1);
    for (int c = 0; c < n; c++) {
        const char *colour = picture_colours[(size_t)c % (sizeof picture_colours / sizeof *picture_colours)];
        fprintf(f, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"", colour);
        for (int i = 0; i < curves[c].n; i++) {
            double y = curve_height(curves[c].y[i], logarithmic);
            if (isfinite(y)) fprintf(f, "%.1f,%.1f ", PICTURE_MARGIN + wide * i / (longest - 1), bottom - tall * (y - low) / (high - low));
        }
        fprintf(f, "\"/>\n<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", PICTURE_MARGIN + 14 + 170 * (c % 3), 44 + 16 * (c / 3), colour,
                curves[c].label);
    }
    picture_close(f);
}

/* ---- Surfaces --------------------------------------------------------------------------------------------------------------------- */

/* z [rows x columns], row 0 at the bottom: dark is low, light is high, with lines of equal height. */
static inline void draw_surface(const char *folder, const char *file, const char *title, const double *z, int rows, int columns)
{
    double low = INFINITY, high = -INFINITY, cell = 380.0 / (rows > columns ? rows : columns);
    for (int i = 0; i < rows * columns; i++) low = fmin(low, z[i]), high = fmax(high, z[i]);
    FILE *f = picture_open(folder, file, 500, 460, title);
    for (int i = 0; i < rows * columns; i++) {
        double share = high > low ? (z[i] - low) / (high - low) : 0;
        int band = (int)(share * 11.999), shade = 30 + band * 18; /* twelve bands: their borders are the lines of equal height */
        fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.2f\" fill=\"rgb(%d,%d,%d)\"/>\n",
                PICTURE_MARGIN + cell * (i % columns), 40 + cell * (rows - 1 - i / columns), cell + 0.3, cell + 0.3, shade, shade,
                90 + band * 13);
    }
    fprintf(f, "<text x=\"%d\" y=\"445\">from %.4g (dark) to %.4g (light)</text>\n", PICTURE_MARGIN, low, high);
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
        fprintf(f, "    b%d [label=\"%s|{value %g|gradient %g}\"];\n", i, boxes[i].name, boxes[i].value, boxes[i].gradient);
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
            x, y, x + 6, y + 16, boxes[i].name, x + 6, y + 33, boxes[i].value, x + 6, y + 50, boxes[i].gradient);
    }
    picture_close(f);
}

#endif
