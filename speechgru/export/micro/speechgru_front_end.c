/* See speechgru_front_end.h. From top to bottom: samples, the spectrum, a frame's features, steps, the best path. */

#include "speechgru_front_end.h"

#include <math.h>
#include <string.h>

/* ---- samples ----------------------------------------------------------------------------------------------------- */

void speechgru_front_end_begin(SpeechGruFrontEnd *front_end) {
  memset(front_end, 0, sizeof *front_end);
  front_end->num_samples = SPEECHGRU_LEADING;
}

static void take(SpeechGruFrontEnd *front_end, float sample) {
  float emphasized = sample - SPEECHGRU_PREEMPHASIS * front_end->previous;
  front_end->previous = sample;
  front_end->has_samples = 1;
  if (front_end->skip)
    front_end->skip--;
  else
    front_end->samples[front_end->num_samples++] = emphasized;
}

size_t speechgru_front_end_push(SpeechGruFrontEnd *front_end, const float *samples, size_t count) {
  size_t taken = 0;
  while (taken < count && !speechgru_front_end_ready(front_end)) take(front_end, samples[taken++]);
  return taken;
}

size_t speechgru_front_end_push_pcm16(SpeechGruFrontEnd *front_end, const int16_t *samples, size_t count) {
  size_t taken = 0;
  while (taken < count && !speechgru_front_end_ready(front_end)) {
    take(front_end, (float)samples[taken] / 32768.0f);
    taken++;
  }
  return taken;
}

int speechgru_front_end_ready(const SpeechGruFrontEnd *front_end) {
  return front_end->num_samples == SPEECHGRU_SPAN;
}

int speechgru_front_end_finish(SpeechGruFrontEnd *front_end) {
  /* A centred frame is the recording's while its centre lies no later than the end; others only where all is there. */
  if (!SPEECHGRU_CENTER || !front_end->has_samples || front_end->skip) return 0;
  if (front_end->num_samples + 1 <= SPEECHGRU_LEADING) return 0;
  for (size_t n = front_end->num_samples; n < SPEECHGRU_SPAN; n++) front_end->samples[n] = 0.0f;
  return 1;
}

/* Moves on by a hop. */
static void move_on(SpeechGruFrontEnd *front_end) {
  size_t hop = SPEECHGRU_HOP_LENGTH;
  if (front_end->num_samples > hop) {
    front_end->num_samples -= hop;
    memmove(front_end->samples, front_end->samples + hop, front_end->num_samples * sizeof(float));
  } else {
    front_end->skip = hop - front_end->num_samples;
    front_end->num_samples = 0;
  }
}

/* ---- the spectrum ------------------------------------------------------------------------------------------------ */

/* In place, the transform of n_fft / 2 complex numbers, real and imaginary parts beside each other. */
static void transform(float *numbers) {
  const size_t count = SPEECHGRU_N_FFT / 2;
  /* Into the order of reversed bits: after it each pass joins neighbours. */
  for (size_t i = 0, j = 0; i < count; i++) {
    if (i < j)
      for (size_t part = 0; part < 2; part++) {
        float kept = numbers[2 * i + part];
        numbers[2 * i + part] = numbers[2 * j + part];
        numbers[2 * j + part] = kept;
      }
    size_t bit = count >> 1;
    while (bit && (j & bit)) {
      j &= ~bit;
      bit >>= 1;
    }
    j |= bit;
  }
  for (size_t size = 2; size <= count; size *= 2) {
    const size_t half = size / 2, stride = SPEECHGRU_N_FFT / size;
    for (size_t k = 0; k < half; k++) {
      /* exp(-2 pi i k / size) */
      const float cosine = speechgru_cosines[k * stride], sine = -speechgru_sines[k * stride];
      for (size_t start = k; start < count; start += size) {
        float *even = numbers + 2 * start, *odd = even + 2 * half;
        const float real = odd[0] * cosine - odd[1] * sine, imaginary = odd[0] * sine + odd[1] * cosine;
        odd[0] = even[0] - real;
        odd[1] = even[1] - imaginary;
        even[0] += real;
        even[1] += imaginary;
      }
    }
  }
}

/* What filters sum, of a bin. */
static float strength(float real, float imaginary) {
  const float power = real * real + imaginary * imaginary;
  return SPEECHGRU_MAGNITUDE ? sqrtf(power) : power;
}

/* The window's samples, in work, to the strengths of the bins 0 to n_fft / 2 - 1 there; gives that of n_fft / 2.

   Even samples are taken for real parts and odd ones for imaginary parts of half as many numbers z. With Z their
   transform, E[k] = (Z[k] + conj Z[M-k]) / 2 and O[k] = (Z[k] - conj Z[M-k]) / 2i are those of the even and of the odd
   samples, and E[k] + exp(-2 pi i k / n_fft) O[k] is the bin k; the bin M - k needs the same two numbers of Z. */
static float spectrum(float *work) {
  const size_t half = SPEECHGRU_N_FFT / 2;
  transform(work);
  const float sum = work[0] + work[1], difference = work[0] - work[1];
  for (size_t k = 1; 2 * k <= half; k++) {
    const size_t other = half - k;
    const float real_k = work[2 * k], imaginary_k = work[2 * k + 1];
    const float real_o = work[2 * other], imaginary_o = work[2 * other + 1];
    const float even_real = 0.5f * (real_k + real_o), even_imaginary = 0.5f * (imaginary_k - imaginary_o);
    const float odd_real = 0.5f * (imaginary_k + imaginary_o), odd_imaginary = 0.5f * (real_o - real_k);
    const float cosine = speechgru_cosines[k], sine = -speechgru_sines[k];
    const float turned_real = odd_real * cosine - odd_imaginary * sine;
    const float turned_imaginary = odd_real * sine + odd_imaginary * cosine;
    /* Left where they are until all have been computed: 2 k and 2 other hold nothing else any more. */
    work[2 * k] = strength(even_real + turned_real, even_imaginary + turned_imaginary);
    work[2 * other] = strength(even_real - turned_real, turned_imaginary - even_imaginary);
  }
  work[0] = strength(sum, 0.0f);
  for (size_t k = 1; k < half; k++) work[k] = work[2 * k];
  return strength(difference, 0.0f);
}

/* ---- a frame's features ------------------------------------------------------------------------------------------ */

#if SPEECHGRU_PCEN || SPEECHGRU_RUNNING
/* Adds values to a weighted mean in which a frame weighs as much as the next times `keep`; gives the sum of weights. */
static float add_to_mean(float *sums, const float *values, float keep) {
  for (size_t m = 0; m < SPEECHGRU_N_MELS; m++) sums[m] = keep * sums[m] + (1.0f - keep) * values[m];
  return sums[SPEECHGRU_N_MELS] = keep * sums[SPEECHGRU_N_MELS] + (1.0f - keep);
}
#endif

void speechgru_front_end_frame(SpeechGruFrontEnd *front_end, float *log_mel, float *features) {
  float *work = front_end->work;
  for (size_t n = 0; n < SPEECHGRU_FRAME_LENGTH; n++)
    work[n] = front_end->samples[SPEECHGRU_WINDOW_START + n] * speechgru_window[n];
  for (size_t n = SPEECHGRU_FRAME_LENGTH; n < SPEECHGRU_N_FFT; n++) work[n] = 0.0f;
  move_on(front_end);
  const float last = spectrum(work);
  const float *weights = speechgru_filters;
  for (size_t m = 0; m < SPEECHGRU_N_MELS; m++) {
    float mel = 0.0f;
    for (size_t k = 0; k < speechgru_filter_size[m]; k++) {
      const size_t bin = speechgru_filter_first[m] + k;
      mel += *weights++ * (bin < SPEECHGRU_N_FFT / 2 ? work[bin] : last);
    }
    features[m] = logf(mel > SPEECHGRU_LOG_FLOOR ? mel : SPEECHGRU_LOG_FLOOR);
    if (log_mel) log_mel[m] = features[m];
  }
#if SPEECHGRU_PCEN
  /* The mel energies once more, as the logarithm left them. */
  for (size_t m = 0; m < SPEECHGRU_N_MELS; m++) work[m] = expf(features[m]);
  const float pcen_weights = add_to_mean(front_end->pcen, work, SPEECHGRU_PCEN_KEEP);
  for (size_t m = 0; m < SPEECHGRU_N_MELS; m++) {
    const float mean = front_end->pcen[m] / pcen_weights;
    const float levelled = expf(features[m] - SPEECHGRU_PCEN_GAIN * logf(SPEECHGRU_PCEN_EPSILON + mean));
    features[m] = powf(levelled + SPEECHGRU_PCEN_BIAS, SPEECHGRU_PCEN_ROOT) -
                  powf(SPEECHGRU_PCEN_BIAS, SPEECHGRU_PCEN_ROOT);
  }
#endif
#if SPEECHGRU_RUNNING
  const float running_weights = add_to_mean(front_end->running, features, SPEECHGRU_RUNNING_KEEP);
  for (size_t m = 0; m < SPEECHGRU_N_MELS; m++) features[m] -= front_end->running[m] / running_weights;
#endif
#if SPEECHGRU_NORMALIZED
  for (size_t m = 0; m < SPEECHGRU_N_MELS; m++)
    features[m] = (features[m] - speechgru_mean[m]) / speechgru_deviation[m];
#endif
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

void speechgru_steps_begin(SpeechGruSteps *steps) {
  memset(steps, 0, sizeof *steps);
  steps->num_frames = SPEECHGRU_SUBSAMPLING_FACTOR; /* zeros before the first frame */
}

/* After a step: the window moves on by a step's frames. */
static void move_window(SpeechGruSteps *steps) {
  if (!steps->is_complete) return;
  const size_t moved = SPEECHGRU_SUBSAMPLING_FACTOR * SPEECHGRU_NUM_FEATURES;
  memmove(steps->window, steps->window + moved, sizeof steps->window - moved * sizeof(float));
  steps->num_frames -= SPEECHGRU_SUBSAMPLING_FACTOR;
  steps->is_complete = 0;
}

int speechgru_steps_push(SpeechGruSteps *steps, const float *features) {
  move_window(steps);
  memcpy(steps->window + steps->num_frames * SPEECHGRU_NUM_FEATURES, features, SPEECHGRU_NUM_FEATURES * sizeof(float));
  steps->num_frames++;
  steps->is_complete = steps->num_frames == SPEECHGRU_WINDOW_FRAMES;
  return steps->is_complete;
}

int speechgru_steps_finish(SpeechGruSteps *steps) {
  move_window(steps);
  if (steps->num_frames <= SPEECHGRU_SUBSAMPLING_FACTOR) return 0; /* the step's first frame has not come */
  for (size_t n = (size_t)steps->num_frames * SPEECHGRU_NUM_FEATURES; n < sizeof steps->window / sizeof(float); n++)
    steps->window[n] = 0.0f;
  steps->is_complete = 1;
  return 1;
}

/* ---- the best path ----------------------------------------------------------------------------------------------- */

int speechgru_greedy(int *last, const float log_probs[SPEECHGRU_NUM_LABELS]) {
  int best = 0;
  for (int label = 1; label < SPEECHGRU_NUM_LABELS; label++)
    if (log_probs[label] > log_probs[best]) best = label;
  const int begins = best != *last ? best : 0;
  *last = best;
  return begins;
}
