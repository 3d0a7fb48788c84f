/* Data sets of labelled images: from IDX files, from a folder with MNIST's file names, or the digits that lie in the library. */
#include "train/train.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "t10k-images-idx3-ubyte.gz.h"
#include "t10k-labels-idx1-ubyte.gz.h"
#include "train-images-idx3-ubyte.gz.h"
#include "train-labels-idx1-ubyte.gz.h"

size_t aval__dataset_elements(const aval_dataset *data)
{
    return data->channels * data->height * data->width;
}

void aval__dataset_count_classes(aval_dataset *data)
{
    for (size_t i = 0; i < data->count; i++) {
        if (data->labels[i] >= data->classes) data->classes = (size_t)data->labels[i] + 1;
    }
}

/* Takes over the bytes of both, also when it fails. */
static int join(const char *images_name, aval__idx *images, const char *labels_name, aval__idx *labels, aval_dataset **out)
{
    int status = AVAL_OK;
    aval_dataset *data = NULL;
    if (images->dims[0] != labels->dims[0]) {
        status = aval__fail(AVAL_E_FORMAT, "%s has %zu images, but %s has %zu labels: as many were expected", images_name, images->dims[0],
                            labels_name, labels->dims[0]);
        goto done;
    }
    data = aval__alloc(sizeof *data);
    if (data == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    data->labels = aval__alloc_array(images->dims[0], sizeof *data->labels);
    if (data->labels == NULL) {
        status = AVAL_E_MEMORY;
        goto done;
    }
    data->type = AVAL_UINT8;
    data->count = images->dims[0];
    data->channels = 1;
    data->height = images->dims[1];
    data->width = images->dims[2];
    data->images = images->bytes;
    data->largest = 1;
    size_t pixels = data->count * data->height * data->width;
    for (size_t i = 0; i < pixels; i++) {
        if (images->bytes[i] > data->largest) data->largest = images->bytes[i];
    }
    for (size_t i = 0; i < data->count; i++) data->labels[i] = labels->bytes[i];
    aval__dataset_count_classes(data);
done:
    aval__free(labels->bytes);
    if (status < 0) {
        aval__free(images->bytes);
        aval__free(data);
        data = NULL;
    }
    *out = data;
    return status;
}

AVAL_API int aval_dataset_open_idx(const char *images, const char *labels, aval_dataset **data)
{
    AVAL__NEED(data, "a place for the data set");
    AVAL__NEED(images && labels, "a file of images and one of labels");
    aval__idx x, y;
    *data = NULL;
    AVAL__TRY(aval__idx_open(images, 3, &x));
    int status = aval__idx_open(labels, 1, &y);
    if (status < 0) {
        aval__free(x.bytes);
        return status;
    }
    return join(images, &x, labels, &y, data);
}

/* The file's path with or without .gz, whichever is there. */
static int find(const char *folder, const char *name, aval__text *path)
{
    aval__text_add(path, "%s/%s", folder, name);
    if (!path->failed && access(path->at, F_OK) != 0) aval__text_add(path, ".gz");
    if (path->failed) return aval__fail(AVAL_E_MEMORY, "no memory for the path of %s", name);
    if (access(path->at, F_OK) != 0)
        return aval__fail(AVAL_E_UNKNOWN,
                          "%s: neither %s nor %s.gz is there (%s); expected are {train,t10k}-{images-idx3,labels-idx1}-ubyte", folder, name,
                          name, strerror(errno));
    return AVAL_OK;
}

AVAL_API int aval_dataset_open_folder(const char *folder, int train, aval_dataset **data)
{
    AVAL__NEED(data, "a place for the data set");
    AVAL__NEED(folder, "a folder");
    aval__text images = { 0 }, labels = { 0 };
    int status = AVAL_OK;
    *data = NULL;
    AVAL__TRY_DONE(find(folder, train ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte", &images));
    AVAL__TRY_DONE(find(folder, train ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte", &labels));
    status = aval_dataset_open_idx(images.at, labels.at, data);
done:
    aval__text_release(&images);
    aval__text_release(&labels);
    return status;
}

AVAL_API int aval_dataset_open_digits(int train, aval_dataset **data)
{
    AVAL__NEED(data, "a place for the data set");
    aval__idx x, y;
    *data = NULL;
    AVAL__TRY(train ? aval__idx_parse("digits: training images", train_images_idx3_ubyte_gz, sizeof train_images_idx3_ubyte_gz, 3, &x)
                    : aval__idx_parse("digits: test images", t10k_images_idx3_ubyte_gz, sizeof t10k_images_idx3_ubyte_gz, 3, &x));
    int status = train ? aval__idx_parse("digits: training labels", train_labels_idx1_ubyte_gz, sizeof train_labels_idx1_ubyte_gz, 1, &y)
                       : aval__idx_parse("digits: test labels", t10k_labels_idx1_ubyte_gz, sizeof t10k_labels_idx1_ubyte_gz, 1, &y);
    if (status < 0) {
        aval__free(x.bytes);
        return status;
    }
    return join("digits: images", &x, "digits: labels", &y, data);
}

AVAL_API void aval_dataset_release(aval_dataset *data)
{
    if (data == NULL) return;
    aval__free(data->images);
    aval__free(data->labels);
    for (size_t i = 0; data->names != NULL && i < data->classes; i++) aval__free(data->names[i]);
    aval__free(data->names);
    aval__free(data);
}

AVAL_API size_t aval_dataset_count(const aval_dataset *data)
{
    AVAL__NEED_OR(0, data, "a data set");
    return data->count;
}

AVAL_API size_t aval_dataset_classes(const aval_dataset *data)
{
    AVAL__NEED_OR(0, data, "a data set");
    return data->classes;
}

AVAL_API void aval_dataset_shape(const aval_dataset *data, size_t *height, size_t *width)
{
    AVAL__NEED_OR(, data && height && width, "a data set and places for its height and width");
    *height = data->height;
    *width = data->width;
}
