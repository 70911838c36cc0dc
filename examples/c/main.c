/* speechgru: recordings or standard input to text, with a bundle and LiteRT. See README.md. */

#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "speechgru.h"

static const char usage[] =
    "usage: speechgru BUNDLE [--form FORM] [--time] [--log-probs FILE] FILE.wav ...\n"
    "       speechgru BUNDLE [--form FORM] [--time] --stream     16-bit PCM from standard input\n"
    "       speechgru BUNDLE [--form FORM] --check               the golden vectors beside the bundle\n"
    "BUNDLE is a folder that `speechgru export` wrote, or one .tflite file of it.\n";

/* A mistake in what was given: one line, and 2. */
static int refuse(const char *message) {
  fprintf(stderr, "speechgru: %s\n", message);
  return 2;
}

static double seconds_of(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* What computing took: on the wall's clock, and of the processor, which other programs' work does not lengthen. */
typedef struct {
  double wall, processor;
} Spent;

static void start(Spent *spent) {
  spent->wall -= seconds_of(CLOCK_MONOTONIC);
  spent->processor -= seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static void stop(Spent *spent) {
  spent->wall += seconds_of(CLOCK_MONOTONIC);
  spent->processor += seconds_of(CLOCK_PROCESS_CPUTIME_ID);
}

static void print_time(size_t num_samples, int sample_rate, Spent spent) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double audio = (double)num_samples / sample_rate, unit = 1024; /* kB; on Apple's systems bytes */
#ifdef __APPLE__
  unit = 1024 * 1024;
#endif
  fprintf(stderr, "%.2f s of sound in %.4f s, real-time factor %.5f; of the processor %.5f; peak memory %.1f MB\n",
          audio, spent.wall, audio > 0 ? spent.wall / audio : 0, audio > 0 ? spent.processor / audio : 0,
          (double)used.ru_maxrss / unit);
}

static uint32_t little(const unsigned char *bytes, int count) {
  uint32_t value = 0;
  for (int k = count; k-- > 0;) value = value << 8 | bytes[k];
  return value;
}

static float sample_of(const unsigned char *bytes) { return (float)(int16_t)little(bytes, 2) / 32768.0F; }

/* One channel of 16-bit PCM as floats; NULL with a message of how to convert anything else. */
static float *read_wav(const char *path, int sample_rate, size_t *num_samples, SpeechGruError *error) {
  FILE *file = fopen(path, "rb");
  unsigned char head[12], chunk[8], format[16] = {0};
  float *samples = NULL;
  if (!file) {
    snprintf(error->text, sizeof error->text, "%s: cannot be read; give a WAV file", path);
    return NULL;
  }
  int is_wav = fread(head, 1, 12, file) == 12 && !memcmp(head, "RIFF", 4) && !memcmp(head + 8, "WAVE", 4);
  int has_format = 0, is_right = 0;
  while (is_wav && !samples && fread(chunk, 1, 8, file) == 8) {
    uint32_t size = little(chunk + 4, 4);
    if (!memcmp(chunk, "fmt ", 4) && size >= 16 && fread(format, 1, 16, file) == 16) {
      uint32_t kind = little(format, 2); /* PCM, or PCM in the longer form of the header */
      has_format = 1;
      is_right = (kind == 1 || kind == 0xFFFE) && little(format + 2, 2) == 1 && little(format + 14, 2) == 16 &&
                 little(format + 4, 4) == (uint32_t)sample_rate;
      size -= 16;
    } else if (!memcmp(chunk, "data", 4) && is_right) {
      size_t capacity = 0, got = 0;
      unsigned char *bytes = NULL;
      do { /* a header's size may be a lie, or unknown: what comes counts */
        capacity = capacity ? 2 * capacity : 1 << 16;
        unsigned char *larger = realloc(bytes, capacity);
        if (!larger) break;
        bytes = larger;
        size_t wanted = capacity < size ? capacity : size;
        got += fread(bytes + got, 1, wanted - got, file);
      } while (got == capacity && got < size);
      *num_samples = got / 2;
      samples = malloc(*num_samples * sizeof *samples + 1);
      for (size_t k = 0; samples && k < *num_samples; k++) samples[k] = sample_of(bytes + 2 * k);
      free(bytes);
      break;
    }
    if (fseek(file, (long)size + (long)(size & 1), SEEK_CUR)) break;
  }
  fclose(file);
  if (samples) return samples;
  if (has_format && !is_right)
    snprintf(error->text, sizeof error->text,
             "%s: has %u channels of %u bits at %u Hz; convert it: sox IN.wav -c 1 -b 16 -r %d OUT.wav", path,
             little(format + 2, 2), little(format + 14, 2), little(format + 4, 4), sample_rate);
  else
    snprintf(error->text, sizeof error->text,
             "%s: not a WAV file, or cut short; convert it: sox IN -c 1 -b 16 -r %d OUT.wav", path, sample_rate);
  return NULL;
}

static int transcribe_files(SpeechGru *model, char **paths, int count, const char *log_probs_path, int is_timed) {
  SpeechGruError error;
  FILE *out = log_probs_path ? fopen(log_probs_path, "wb") : NULL;
  if (log_probs_path && !out) return refuse("the file of --log-probs cannot be written");
  size_t total = 0;
  Spent spent = {0, 0};
  for (int k = 0; k < count; k++) {
    size_t num_samples, num_steps;
    float *samples = read_wav(paths[k], speechgru_sample_rate(model), &num_samples, &error);
    if (!samples) return refuse(error.text);
    start(&spent);
    char *text = speechgru_transcribe(model, samples, num_samples, &error);
    stop(&spent);
    total += num_samples;
    if (!text) return refuse(error.text);
    if (count > 1) printf("%s\t", paths[k]);
    puts(text);
    fflush(stdout);
    free(text);
    if (out) {
      float *log_probs = speechgru_log_probs(model, samples, num_samples, &num_steps, &error);
      if (!log_probs) return refuse(error.text);
      fwrite(log_probs, sizeof *log_probs, num_steps * speechgru_num_labels(model), out);
      free(log_probs);
    }
    free(samples);
  }
  if (out && fclose(out)) return refuse("the file of --log-probs cannot be written");
  if (is_timed) print_time(total, speechgru_sample_rate(model), spent);
  return 0;
}

/* The text so far on a line that begins with "~ ", whenever it changes; the text at the end. */
static int transcribe_stream(SpeechGru *model, int is_timed) {
  SpeechGruError error;
  SpeechGruStream *stream = speechgru_stream_open(model, NULL, NULL, &error);
  if (!stream) return refuse(error.text);
  unsigned char bytes[2 * 512 + 1];
  float samples[512];
  char *before = calloc(1, 1);
  size_t kept = 0, total = 0;
  ssize_t got; /* what has come already, which fread would wait to have more of */
  Spent spent = {0, 0};
  while ((got = read(STDIN_FILENO, bytes + kept, sizeof bytes - 1 - kept)) > 0) {
    size_t count = (kept + (size_t)got) / 2;
    for (size_t k = 0; k < count; k++) samples[k] = sample_of(bytes + 2 * k);
    kept = (kept + (size_t)got) % 2;
    bytes[0] = bytes[2 * count];
    total += count;
    start(&spent);
    if (speechgru_stream_feed(stream, samples, count, &error)) return refuse(error.text);
    const char *text = speechgru_stream_text(stream);
    stop(&spent);
    if (!text || !before) return refuse("no memory for the text");
    if (strcmp(text, before)) {
      printf("~ %s\n", text);
      fflush(stdout);
      free(before);
      before = malloc(strlen(text) + 1);
      if (before) strcpy(before, text);
    }
  }
  free(before);
  if (got < 0) return refuse("standard input cannot be read");
  if (kept) return refuse("standard input ended inside a sample; give 16-bit PCM, little-endian, one channel");
  start(&spent);
  if (speechgru_stream_finish(stream, &error)) return refuse(error.text);
  const char *text = speechgru_stream_text(stream);
  stop(&spent);
  if (!text) return refuse("no memory for the text");
  puts(text);
  if (is_timed) print_time(total, speechgru_sample_rate(model), spent);
  speechgru_stream_close(stream);
  return 0;
}

static int check(SpeechGru *model) {
  SpeechGruError error;
  int result = speechgru_check(model, stdout, &error);
  if (result < 0) return refuse(error.text);
  puts(result ? "passed" : "FAILED");
  return result ? 0 : 1;
}

int main(int argc, char **argv) {
  const char *form = NULL, *log_probs_path = NULL;
  int is_stream = 0, is_check = 0, is_timed = 0, count = 0;
  char **words = argv; /* the bundle and the recordings, moved to the front */
  for (int k = 1; k < argc; k++) {
    if (!strcmp(argv[k], "--stream")) {
      is_stream = 1;
    } else if (!strcmp(argv[k], "--check")) {
      is_check = 1;
    } else if (!strcmp(argv[k], "--time")) {
      is_timed = 1;
    } else if ((!strcmp(argv[k], "--form") || !strcmp(argv[k], "--log-probs")) && k + 1 < argc) {
      *(argv[k][2] == 'f' ? &form : &log_probs_path) = argv[k + 1];
      k++;
    } else if (!strcmp(argv[k], "--help")) {
      fputs(usage, stdout);
      return 0;
    } else if (argv[k][0] == '-') {
      fprintf(stderr, "speechgru: unknown option, or one without its value: %s\n%s", argv[k], usage);
      return 2;
    } else {
      words[count++] = argv[k];
    }
  }
  int num_files = count - 1;
  if (count < 1 || is_stream + is_check + (num_files > 0) != 1 || (log_probs_path && num_files < 1)) {
    fputs(usage, stderr);
    return 2;
  }
  SpeechGruError error;
  Spent spent = {0, 0};
  start(&spent);
  SpeechGru *model = speechgru_open(words[0], form, &error);
  stop(&spent);
  if (!model) return refuse(error.text);
  if (is_timed) fprintf(stderr, "loaded in %.3f s, of the processor %.3f s\n", spent.wall, spent.processor);
  int result = is_check    ? check(model)
               : is_stream ? transcribe_stream(model, is_timed)
                           : transcribe_files(model, words + 1, num_files, log_probs_path, is_timed);
  speechgru_close(model);
  return result;
}
