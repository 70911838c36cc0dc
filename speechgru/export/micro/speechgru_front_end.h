/* The front end of a recogniser for a microcontroller: samples to frames of features, and frames to the windows that
   its model reads, a window a step. C99, fixed sizes, no allocation; it needs expf, logf, powf and sqrtf.

     speechgru_front_end_begin(&front_end);
     speechgru_steps_begin(&steps);
     while samples come:
       while (count) {
         size_t taken = speechgru_front_end_push(&front_end, samples, count);
         samples += taken, count -= taken;
         if (!speechgru_front_end_ready(&front_end)) continue;
         speechgru_front_end_frame(&front_end, NULL, features);
         if (speechgru_steps_push(&steps, features)) run the model over steps.window;
       }
     at the recording's end, if there is one:
       while (speechgru_front_end_finish(&front_end)) {
         speechgru_front_end_frame(&front_end, NULL, features);
         if (speechgru_steps_push(&steps, features)) run the model over steps.window;
       }
       while (speechgru_steps_finish(&steps)) run the model over steps.window;

   A run of the model: its inputs are steps.window, the state as the run before gave it (zeros at first) and, with
   look-ahead (SPEECHGRU_DELAY_STEPS > 0), num_steps = 1. The first SPEECHGRU_DELAY_STEPS answers belong to no step;
   as many further runs with num_steps = 0, whatever the window, give the last ones after the end. */

#ifndef SPEECHGRU_FRONT_END_H
#define SPEECHGRU_FRONT_END_H

#include <stddef.h>
#include <stdint.h>

#include "speechgru_settings.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  /* Samples that decide a frame: with centred frames those under its window, else a whole transform. */
  SPEECHGRU_SPAN = SPEECHGRU_CENTER ? SPEECHGRU_FRAME_LENGTH : SPEECHGRU_N_FFT,
  /* Where the window begins in them, and how many are zeros before the first sample. */
  SPEECHGRU_WINDOW_START = SPEECHGRU_CENTER ? 0 : (SPEECHGRU_N_FFT - SPEECHGRU_FRAME_LENGTH) / 2,
  SPEECHGRU_LEADING = SPEECHGRU_CENTER ? (SPEECHGRU_FRAME_LENGTH + 1) / 2 : 0,
  SPEECHGRU_NUM_FEATURES = SPEECHGRU_N_MELS,
  SPEECHGRU_WORK = SPEECHGRU_N_FFT > SPEECHGRU_N_MELS ? SPEECHGRU_N_FFT : SPEECHGRU_N_MELS,
  /* Frames of a step's window: its first one, and on either side as many as a step has. */
  SPEECHGRU_WINDOW_FRAMES = 2 * SPEECHGRU_SUBSAMPLING_FACTOR + 1
};

typedef struct {
  float samples[SPEECHGRU_SPAN]; /* those of the next frame, in the order of time */
  size_t num_samples;            /* how many of them have come */
  size_t skip;                   /* samples before them that are still to come, where hops are longer than windows */
  float previous;                /* the sample before, for pre-emphasis */
  int has_samples;               /* whether any has come */
  float pcen[SPEECHGRU_PCEN ? SPEECHGRU_N_MELS + 1 : 1];         /* weighted sums, last the weights' */
  float running[SPEECHGRU_RUNNING ? SPEECHGRU_N_MELS + 1 : 1];   /* the same */
  float work[SPEECHGRU_WORK];
} SpeechGruFrontEnd;

typedef struct {
  float window[SPEECHGRU_WINDOW_FRAMES * SPEECHGRU_NUM_FEATURES]; /* [frames][features]: the model's input */
  int num_frames;                                                 /* of the window that have come, or lie before all */
  int is_complete;                                                /* whether it is a step's; the next frame moves it */
} SpeechGruSteps;

/* Before the first sample of a recording, or of an endless stream. */
void speechgru_front_end_begin(SpeechGruFrontEnd *front_end);

/* Takes samples in [-1, 1] until a frame is ready; gives how many it took, none while a ready frame waits. */
size_t speechgru_front_end_push(SpeechGruFrontEnd *front_end, const float *samples, size_t count);

/* The same of 16-bit PCM. */
size_t speechgru_front_end_push_pcm16(SpeechGruFrontEnd *front_end, const int16_t *samples, size_t count);

/* 1 where a frame is ready, else 0. */
int speechgru_front_end_ready(const SpeechGruFrontEnd *front_end);

/* After a recording's last sample: makes its next frame ready; 1 while there is one, else 0. */
int speechgru_front_end_finish(SpeechGruFrontEnd *front_end);

/* Computes the ready frame and makes room for the next. log_mel [SPEECHGRU_N_MELS], the natural log of floored mel
   power, may be NULL; features [SPEECHGRU_NUM_FEATURES] are what the model reads. */
void speechgru_front_end_frame(SpeechGruFrontEnd *front_end, float *log_mel, float *features);

/* Before the first frame. */
void speechgru_steps_begin(SpeechGruSteps *steps);

/* Takes a frame of features; 1 where the window is now a step's, else 0. */
int speechgru_steps_push(SpeechGruSteps *steps, const float *features);

/* After the last frame: makes the next window a step's, with zeros for what did not come; 1 while there is one. */
int speechgru_steps_finish(SpeechGruSteps *steps);

/* The best path, a step at a time: the label that begins here, 0 for none. last is the call's own, 0 at first.
   Of a model of words (SPEECHGRU_WORDS) a text has a space between labels; of one of subwords each label that begins
   a word begins with a space, the first of a text too. */
int speechgru_greedy(int *last, const float log_probs[SPEECHGRU_NUM_LABELS]);

extern const float speechgru_window[SPEECHGRU_FRAME_LENGTH];
extern const float speechgru_cosines[SPEECHGRU_N_FFT / 2];     /* cos(2 pi k / n_fft) */
extern const float speechgru_sines[SPEECHGRU_N_FFT / 2];       /* sin(2 pi k / n_fft) */
extern const uint16_t speechgru_filter_first[SPEECHGRU_N_MELS]; /* each filter's first bin, and how many it has */
extern const uint16_t speechgru_filter_size[SPEECHGRU_N_MELS];
extern const float speechgru_filters[SPEECHGRU_NUM_FILTER_WEIGHTS]; /* one filter's weights after the other's */
extern const float speechgru_mean[SPEECHGRU_NORMALIZED ? SPEECHGRU_NUM_FEATURES : 1];
extern const float speechgru_deviation[SPEECHGRU_NORMALIZED ? SPEECHGRU_NUM_FEATURES : 1];
extern const char *const speechgru_labels[SPEECHGRU_NUM_LABELS]; /* UTF-8; the first, the blank, is "" */

#ifdef __cplusplus
}
#endif

#endif
