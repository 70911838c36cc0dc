/* What SpeechGru.kt calls of speechgru.h. A handle is a pointer; texts are UTF-8 in byte arrays. */

#define _POSIX_C_SOURCE 200809L
#include <jni.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "speechgru.h"

#define MODEL(handle) ((SpeechGru *)(intptr_t)(handle))
#define STREAM(handle) ((SpeechGruStream *)(intptr_t)(handle))

static jbyteArray bytes_of(JNIEnv *env, const char *bytes, size_t size) {
  jbyteArray array = size > INT32_MAX ? NULL : (*env)->NewByteArray(env, (jsize)size);
  if (array) (*env)->SetByteArrayRegion(env, array, 0, (jsize)size, (const jbyte *)bytes);
  return array; /* where NULL, an OutOfMemoryError is on its way */
}

/* Throws SpeechGruException; the caller returns at once. */
static void throw_error(JNIEnv *env, const char *message) {
  jclass kind = (*env)->FindClass(env, "speechgru/SpeechGruException");
  jmethodID constructor = kind ? (*env)->GetMethodID(env, kind, "<init>", "([B)V") : NULL;
  jbyteArray bytes = constructor ? bytes_of(env, message, strlen(message)) : NULL;
  jobject error = bytes ? (*env)->NewObject(env, kind, constructor, bytes) : NULL;
  if (error) (*env)->Throw(env, error);
}

/* The text, or an exception. */
static jbyteArray text_or_error(JNIEnv *env, const char *text, const char *error) {
  if (text) return bytes_of(env, text, strlen(text));
  throw_error(env, error);
  return NULL;
}

JNIEXPORT jlong JNICALL Java_speechgru_Native_open(JNIEnv *env, jclass class, jbyteArray bundle, jbyteArray form) {
  (void)class;
  SpeechGruError error = {""};
  jbyte *name = (*env)->GetByteArrayElements(env, bundle, NULL);
  jbyte *wanted = form ? (*env)->GetByteArrayElements(env, form, NULL) : NULL;
  SpeechGru *model = NULL;
  if (name && (wanted || !form)) model = speechgru_open((const char *)name, (const char *)wanted, &error);
  if (name) (*env)->ReleaseByteArrayElements(env, bundle, name, JNI_ABORT);
  if (wanted) (*env)->ReleaseByteArrayElements(env, form, wanted, JNI_ABORT);
  if (!model && !(*env)->ExceptionCheck(env)) throw_error(env, error.text);
  return (jlong)(intptr_t)model;
}

JNIEXPORT void JNICALL Java_speechgru_Native_close(JNIEnv *env, jclass class, jlong model) {
  (void)env, (void)class;
  if (model) speechgru_close(MODEL(model));
}

JNIEXPORT jbyteArray JNICALL Java_speechgru_Native_form(JNIEnv *env, jclass class, jlong model) {
  (void)class;
  return text_or_error(env, speechgru_form(MODEL(model)), "the model has no form");
}

JNIEXPORT jint JNICALL Java_speechgru_Native_sampleRate(JNIEnv *env, jclass class, jlong model) {
  (void)env, (void)class;
  return speechgru_sample_rate(MODEL(model));
}

JNIEXPORT jboolean JNICALL Java_speechgru_Native_streams(JNIEnv *env, jclass class, jlong model) {
  (void)env, (void)class;
  return speechgru_streams(MODEL(model)) ? JNI_TRUE : JNI_FALSE;
}

JNIEXPORT jbyteArray JNICALL Java_speechgru_Native_transcribe(JNIEnv *env, jclass class, jlong model,
                                                              jfloatArray samples) {
  (void)class;
  SpeechGruError error = {""};
  jfloat *values = (*env)->GetFloatArrayElements(env, samples, NULL);
  if (!values) return NULL;
  char *text = speechgru_transcribe(MODEL(model), values, (size_t)(*env)->GetArrayLength(env, samples), &error);
  (*env)->ReleaseFloatArrayElements(env, samples, values, JNI_ABORT);
  jbyteArray bytes = text_or_error(env, text, error.text);
  free(text);
  return bytes;
}

/* One byte, 1 where all passed, and the lines behind it. */
JNIEXPORT jbyteArray JNICALL Java_speechgru_Native_check(JNIEnv *env, jclass class, jlong model) {
  (void)class;
  SpeechGruError error = {""};
  char *lines = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&lines, &size);
  if (!out) {
    throw_error(env, "there is no memory for the check's lines");
    return NULL;
  }
  fputc(0, out);
  int passed = speechgru_check(MODEL(model), out, &error);
  int is_whole = !fclose(out);
  jbyteArray bytes = NULL;
  if (passed < 0 || !is_whole) {
    throw_error(env, passed < 0 ? error.text : "there is no memory for the check's lines");
  } else {
    lines[0] = (char)passed;
    bytes = bytes_of(env, lines, size);
  }
  free(lines);
  return bytes;
}

JNIEXPORT jlong JNICALL Java_speechgru_Native_streamOpen(JNIEnv *env, jclass class, jlong model) {
  (void)class;
  SpeechGruError error = {""};
  SpeechGruStream *stream = speechgru_stream_open(MODEL(model), NULL, NULL, &error);
  if (!stream) throw_error(env, error.text);
  return (jlong)(intptr_t)stream;
}

static jbyteArray text_of_stream(JNIEnv *env, jlong stream, int is_wrong, const SpeechGruError *error) {
  if (!is_wrong) return text_or_error(env, speechgru_stream_text(STREAM(stream)), "there is no memory for the text");
  throw_error(env, error->text);
  return NULL;
}

JNIEXPORT jbyteArray JNICALL Java_speechgru_Native_streamFeed(JNIEnv *env, jclass class, jlong stream,
                                                              jfloatArray samples, jint start, jint count) {
  (void)class;
  SpeechGruError error = {""};
  jfloat *values = (*env)->GetFloatArrayElements(env, samples, NULL);
  if (!values) return NULL;
  int is_wrong = speechgru_stream_feed(STREAM(stream), values + start, (size_t)count, &error);
  (*env)->ReleaseFloatArrayElements(env, samples, values, JNI_ABORT);
  return text_of_stream(env, stream, is_wrong, &error);
}

JNIEXPORT jbyteArray JNICALL Java_speechgru_Native_streamFinish(JNIEnv *env, jclass class, jlong stream) {
  (void)class;
  SpeechGruError error = {""};
  int is_wrong = speechgru_stream_finish(STREAM(stream), &error);
  return text_of_stream(env, stream, is_wrong, &error);
}

JNIEXPORT void JNICALL Java_speechgru_Native_streamClose(JNIEnv *env, jclass class, jlong stream) {
  (void)env, (void)class;
  if (stream) speechgru_stream_close(STREAM(stream));
}
