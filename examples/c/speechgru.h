/* A speechgru bundle in C: samples in, text out, of whole recordings or while somebody speaks.

   It needs LiteRT's shared library (libLiteRt, 2.2 or newer) and C11, and nothing else:

       SpeechGruError error;
       SpeechGru *model = speechgru_open("bundle", NULL, &error);       // or one .tflite file of it
       char *text = speechgru_transcribe(model, samples, num_samples, &error);

   While somebody speaks, where `speechgru_streams(model)`:

       SpeechGruStream *stream = speechgru_stream_open(model, NULL, NULL, &error);
       while (more) { speechgru_stream_feed(stream, samples, n, &error); puts(speechgru_stream_text(stream)); }
       speechgru_stream_finish(stream, &error);

   Samples are one channel of floats in [-1, 1] at the bundle's rate. What fails returns NULL or -1 and says why in
   `error`, in one line. A model and its streams belong to one thread at a time. */

#ifndef SPEECHGRU_H
#define SPEECHGRU_H

#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The newest bundle format that this file reads, and the oldest. */
#define SPEECHGRU_BUNDLE_VERSION 3

/* The longest recording that a model which does not stream computes at once; the time grows with the square of it. */
#define SPEECHGRU_LONGEST_SECONDS 120

typedef struct SpeechGru SpeechGru;
typedef struct SpeechGruStream SpeechGruStream;

/* What went wrong, and what to do. */
typedef struct {
  char text[512];
} SpeechGruError;

/* Receives the natural-log probabilities of some more steps, `num_steps` rows of `speechgru_num_labels`. */
typedef void (*SpeechGruSteps)(void *context, const float *log_probs, size_t num_steps);

/* Loads a bundle: the folder that `speechgru export` wrote, or one .tflite file of it. `form` is one of the folder's
   (none, dynamic, float16, int8); its default where NULL. */
SpeechGru *speechgru_open(const char *bundle, const char *form, SpeechGruError *error);
void speechgru_close(SpeechGru *model);

const char *speechgru_form(const SpeechGru *model);
int speechgru_sample_rate(const SpeechGru *model);      /* Hz */
double speechgru_step_seconds(const SpeechGru *model);  /* from one step to the next */
size_t speechgru_num_labels(const SpeechGru *model);    /* the blank, which is 0, and the vocabulary */
int speechgru_streams(const SpeechGru *model);          /* whether speechgru_stream_open works */

/* How many steps a recording of so many samples has. */
size_t speechgru_num_steps(const SpeechGru *model, size_t num_samples);

/* The log-probabilities of a whole recording, [num_steps][num_labels]; free() them. */
float *speechgru_log_probs(SpeechGru *model, const float *samples, size_t num_samples, size_t *num_steps,
                           SpeechGruError *error);

/* The text of a whole recording, UTF-8, by the best path; free() it. */
char *speechgru_transcribe(SpeechGru *model, const float *samples, size_t num_samples, SpeechGruError *error);

/* Begins a recording that comes piece by piece. `steps`, where not NULL, is called with `context` and what each call of
   the model gives. Close the stream before the model. */
SpeechGruStream *speechgru_stream_open(SpeechGru *model, SpeechGruSteps steps, void *context, SpeechGruError *error);

/* Takes any number of samples. 0, or -1. */
int speechgru_stream_feed(SpeechGruStream *stream, const float *samples, size_t num_samples, SpeechGruError *error);

/* Says that nothing follows. 0, or -1. */
int speechgru_stream_finish(SpeechGruStream *stream, SpeechGruError *error);

/* The text so far; valid until the next call with this stream. NULL where memory ran out. */
const char *speechgru_stream_text(SpeechGruStream *stream);
void speechgru_stream_close(SpeechGruStream *stream);

/* Runs the golden vectors beside the bundle, whole and as a stream, and writes a line each to `out`. 1 where all are
   within the form's tolerance and every text is the same, 0 where not, -1 where the vectors cannot be read. */
int speechgru_check(SpeechGru *model, FILE *out, SpeechGruError *error);

#ifdef __cplusplus
}
#endif

#endif /* SPEECHGRU_H */
