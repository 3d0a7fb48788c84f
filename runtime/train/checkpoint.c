/* Checkpoints are the store as a safetensors file: weights, moments, random counters, the sum of losses, and two entries of our own,
 * the position (epochs, steps) and the recipe's text, so that nothing else is needed to go on bit for bit.  What a person may want to see is
 * in the file's metadata too. */
#include "train/train.h"

int aval__checkpoint_save(aval_store *store, const aval__recipe *recipe, aval__position position, const aval_dataset *data,
                          const char *file)
{
    aval__text text = { 0 }, epochs = { 0 }, steps = { 0 }, divisor = { 0 };
    int status = AVAL_OK;
    aval__recipe_print(&text, recipe);
    aval__text_add(&epochs, "%llu", (unsigned long long)position.epochs);
    aval__text_add(&steps, "%llu", (unsigned long long)position.steps);
    aval__text_real(&divisor, data->largest);
    if (text.failed || epochs.failed || steps.failed || divisor.failed) {
        status = aval__fail(AVAL_E_MEMORY, "no memory for the checkpoint");
        goto done;
    }
    const int64_t numbers[2] = { (int64_t)position.epochs, (int64_t)position.steps };
    AVAL__TRY_DONE(aval_store_set(store, AVAL__STATE_POSITION, AVAL_INT64, AVAL_SHAPE(2), numbers));
    /* removed first: the text may be of another length than the one that was resumed */
    size_t rank;
    if (aval_store_shape(store, AVAL__STATE_RECIPE, NULL, &rank, NULL) == AVAL_OK)
        AVAL__TRY_DONE(aval_store_remove(store, AVAL__STATE_RECIPE));
    AVAL__TRY_DONE(aval_store_set(store, AVAL__STATE_RECIPE, AVAL_UINT8, AVAL_SHAPE((int64_t)text.length), text.at));
    const char *metadata[] = { "aval",    aval_version(),  "net",    recipe->net->name,   "recipe",   text.at, "epochs",
                               epochs.at, "steps_in_next", steps.at, "pixels_divided_by", divisor.at, NULL };
    status = aval_store_save(store, file, metadata);
done:
    aval__text_release(&text);
    aval__text_release(&epochs);
    aval__text_release(&steps);
    aval__text_release(&divisor);
    return status;
}

static int read_recipe(aval_store *store, char **recipe_text)
{
    int type;
    size_t rank;
    int64_t dims[AVAL_MAX_RANK];
    AVAL__TRY(aval_store_shape(store, AVAL__STATE_RECIPE, &type, &rank, dims));
    if (type != AVAL_UINT8 || rank != 1) return aval__fail(AVAL_E_FORMAT, "'%s' is not a text", AVAL__STATE_RECIPE);
    *recipe_text = aval__alloc((size_t)dims[0] + 1);
    if (*recipe_text == NULL) return AVAL_E_MEMORY;
    return aval_store_get(store, AVAL__STATE_RECIPE, *recipe_text, (size_t)dims[0]);
}

int aval__checkpoint_load(aval_store *store, const char *file, char **recipe_text, aval__position *position)
{
    int64_t numbers[2];
    *recipe_text = NULL;
    AVAL__TRY(aval_store_load(store, file));
    int status = read_recipe(store, recipe_text);
    if (status == AVAL_OK) status = aval_store_get(store, AVAL__STATE_POSITION, numbers, sizeof numbers);
    if (status == AVAL_OK && (numbers[0] < 0 || numbers[1] < 0))
        status = aval__fail(AVAL_E_FORMAT, "the position %lld, %lld is not one", (long long)numbers[0], (long long)numbers[1]);
    if (status < 0) {
        aval__free(*recipe_text);
        *recipe_text = NULL;
        return aval__fail_in(status == AVAL_E_MEMORY ? status : AVAL_E_FORMAT, "%s is not a checkpoint of aval train", file);
    }
    *position = (aval__position){ (uint64_t)numbers[0], (uint64_t)numbers[1] };
    return AVAL_OK;
}
