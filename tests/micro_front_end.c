/* Runs the front end that `speechgru export --format micro` writes over the samples on standard input, float32:
   micro_front_end PIECE LOG_MEL FEATURES WINDOWS [pcm16]
   feeds it PIECE samples at a time, as 16-bit PCM where that is asked for, and writes all that it gives as float32 to
   three files; prints a path's labels and its size in bytes. */

#include <stdio.h>
#include <stdlib.h>

#include "speechgru_front_end.h"

enum { MOST = 4096 };

static SpeechGruFrontEnd front_end;
static SpeechGruSteps steps;
static FILE *outputs[3];

static void write_window(void) { fwrite(steps.window, sizeof steps.window, 1, outputs[2]); }

static void write_frame(void) {
  float log_mel[SPEECHGRU_N_MELS], features[SPEECHGRU_NUM_FEATURES];
  speechgru_front_end_frame(&front_end, log_mel, features);
  fwrite(log_mel, sizeof log_mel, 1, outputs[0]);
  fwrite(features, sizeof features, 1, outputs[1]);
  if (speechgru_steps_push(&steps, features)) write_window();
}

int main(int argc, char **argv) {
  static float samples[MOST];
  static int16_t pcm[MOST];
  if (argc != 5 && argc != 6) return 2;
  const size_t piece = (size_t)atoi(argv[1]);
  if (piece < 1 || piece > MOST) return 2;
  for (int k = 0; k < 3; k++)
    if (!(outputs[k] = fopen(argv[2 + k], "wb"))) return 2;
  speechgru_front_end_begin(&front_end);
  speechgru_steps_begin(&steps);
  for (size_t count; (count = fread(samples, sizeof(float), piece, stdin)) > 0;) {
    for (size_t n = 0; n < count; n++) pcm[n] = (int16_t)(32768.0f * samples[n]);
    for (size_t used = 0; used < count;) {
      used += argc == 6 ? speechgru_front_end_push_pcm16(&front_end, pcm + used, count - used)
                        : speechgru_front_end_push(&front_end, samples + used, count - used);
      if (speechgru_front_end_ready(&front_end)) write_frame();
    }
  }
  while (speechgru_front_end_finish(&front_end)) write_frame();
  while (speechgru_steps_finish(&steps)) write_window();
  for (int k = 0; k < 3; k++) fclose(outputs[k]);
  int last = 0, labels = 0;
  float log_probs[SPEECHGRU_NUM_LABELS] = {0};
  const int path[] = {1, 1, 0, 1, 2, 2, 0};
  for (size_t k = 0; k < sizeof path / sizeof *path; k++) {
    log_probs[path[k]] = 1.0f;
    const int label = speechgru_greedy(&last, log_probs);
    if (label) printf("%s", speechgru_labels[label]), labels++;
    log_probs[path[k]] = 0.0f;
  }
  printf(" %d %zu\n", labels, sizeof front_end + sizeof steps);
  return 0;
}
