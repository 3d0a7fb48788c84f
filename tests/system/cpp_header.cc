// The public header from C++: its macros make lists without C's compound literals.
#include <aval/aval.h>

#include <cstdio>

int main()
{
    aval_context *context = nullptr;
    if (aval_context_create(&context) != AVAL_OK) return 1;
    aval_graph *g = aval_graph_create(context);
    int64_t rows = 2;
    aval_value *x = aval_graph_input(g, "x", AVAL_FLOAT, AVAL_SHAPE(rows, 3));
    aval_value *one = aval_graph_input(g, "one", AVAL_FLOAT, AVAL_SCALAR);
    aval_value *sum = aval_apply(g, "Add", nullptr, x, one);
    aval_value *clipped = aval_node_output(aval_graph_node(g, "Clip", NULL, AVAL_VALUES(sum, NULL, one)), 0);
    bool right = aval_graph_status(g) == AVAL_OK && aval_value_rank(clipped) == 2 && aval_value_dims(clipped)[0] == rows;
    if (!right) std::printf("%s\n", aval_error());
    aval_graph_release(g);
    aval_context_release(context);
    return right ? 0 : 1;
}
