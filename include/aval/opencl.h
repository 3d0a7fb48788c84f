/* Interoperation: a caller's own OpenCL objects go into aval, and aval's come out, without a copy.
 *
 *     aval_context_use_opencl(ctx, my_context, my_device, my_queue);      aval works in my_context, on my_queue
 *     aval_session_bind_mem(s, x, my_image, NULL);                        x is read from my_image
 *     aval_session_run(s, AVAL_VALUES(y));
 *     aval_session_mem(s, y, &mem, &offset, NULL);                        y lies in mem, from byte `offset` on
 *     clSetKernelArg(my_kernel, 0, sizeof mem, &mem); ...                 and my_queue may go on with it at once
 *
 * examples/own_buffers.c is a whole program.  Who has no cl_context of his own makes buffers in aval's: aval_context_opencl.
 *
 * Ownership.  What is handed in is retained (clRetain...), so the caller may release his reference at any time; aval releases its own as
 * each function says.  What is handed out is borrowed: it is not to be released, and who keeps it longer than said retains it himself.
 *
 * Order.  aval puts all launches of a device on one queue that works in order, and never waits for them in aval_session_run.
 *   - On the caller's own queue: what he enqueued before the run is done before it, what he enqueues after it comes after.  No event is needed.
 *   - On another queue of the same cl_context: aval_session_run_after takes the events to wait for, and gives the run's own.
 *   - Between different cl_contexts nothing is shared, and buffers of a foreign one are refused (AVAL_E_ARGUMENT).
 * A buffer that is bound must not be written between aval_session_run and the end of that run; it may be written before the next one.
 *
 * All functions return 0 or a negative aval_status, as in aval.h, which includes no OpenCL header and does not need this one. */
#ifndef AVAL_OPENCL_H
#define AVAL_OPENCL_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include "aval/aval.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Selects `device` as aval_context_select_device does, and has aval work in the caller's cl_context and on his queue.  Once a device, before the first
   session runs.  The device may be one of several of the cl_context, and may be a sub-device (clCreateSubDevices), which is then listed behind
   the machine's own devices.  `queue` must be one of this cl_context and device that works in order; NULL: aval makes one.  All three are
   retained until the context is gone.  AVAL_E_ARGUMENT: they do not belong together, the queue is out of order, or the device was given
   before; or, when it is opened, the queue keeps no times and aval_context_profile asked for them. */
AVAL_API int aval_context_use_opencl(aval_context *ctx, cl_context context, cl_device_id device, cl_command_queue queue);

/* The objects behind the i-th selected device (opens all of them): the caller's own, or those that aval made.  Borrowed until the context is
   gone.  Any place may be NULL. */
AVAL_API int aval_context_opencl(aval_context *ctx, size_t i, cl_context *context, cl_device_id *device, cl_command_queue *queue);

/* The input is read from `mem`, from its first byte on, at each run until it is bound or fed again: nothing is copied, and what the caller
   writes there between runs is what the next run reads.  A part of a buffer is a sub-buffer (clCreateSubBuffer).  Elements are row-major and without gaps, in
   the input's type; `mem` has at least as many bytes.  `dims` as for aval_session_feed.  Retained until the input is bound or fed again or the session is
   released.  An input from which shapes follow is read back at each run.  AVAL_E_ARGUMENT: too small, not a buffer, or (from the run) of
   another cl_context than that of the device that reads it.  AVAL_E_UNSUPPORTED (from the run): in AVAL_MEMORY_GUARDED, where inputs stand between guard
   bands. */
AVAL_API int aval_session_bind_mem(aval_session *s, const aval_value *input, cl_mem mem, const int64_t *dims);

/* Where a value of the last run lies: from byte *offset of *mem on, *bytes long.  Borrowed; the content stays until the next run of this session.
   A value that only views another (Reshape) lies where that does.  Of states, where the store has them (aval_store_mem).  Any place may be
   NULL.  AVAL_E_ARGUMENT: a value that the last run has not kept (see aval_session_read), an input that was fed and not bound, a constant. */
AVAL_API int aval_session_mem(aval_session *s, const aval_value *value, cl_mem *mem, size_t *offset, size_t *bytes);

/* As aval_session_run, after the events: all of one cl_context, on whose selected devices the run begins when they are complete.  *done, which may be
   NULL, is the caller's to release (clReleaseEvent): complete when all of the run is.  A run on several devices has no such event: with `done` the call
   returns when all but the first of them are done. */
AVAL_API int aval_session_run_after(aval_session *s, aval_value *const *wanted, size_t n_wanted, const cl_event *events, size_t n_events,
                                    cl_event *done);

/* The state lives in `mem` from now on, with the content that is there: runs read and update it in place.  Makes the entry, or takes the place of its old
   content; an existing entry keeps its shape and type.  `mem` is of the cl_context of a selected device (which this opens) and has at
   least as many bytes.  Retained until the entry is removed, bound again, or moved to another device by a run there. */
AVAL_API int aval_store_bind_mem(aval_store *store, const char *name, int type, size_t rank, const int64_t *dims, cl_mem mem);

/* The state's buffer, from its first byte on: the caller's own, or the store's.  A state that is on the host moves to the first selected device.
   Borrowed until the entry is removed or moves.  Either place may be NULL. */
AVAL_API int aval_store_mem(aval_store *store, const char *name, cl_mem *mem, size_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
