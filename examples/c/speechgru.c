/* See speechgru.h. From top to bottom: errors and memory, JSON, what LiteRT offers, the bundle, whole recordings,
   the best path, streams, the golden vectors. */

#define _POSIX_C_SOURCE 200809L
#include "speechgru.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bundles and LiteRT are little-endian"
#endif

/* ---- errors and memory ------------------------------------------------------------------------------------------- */

static void fail(SpeechGruError *error, const char *format, ...) {
  if (!error) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  for (char *c = error->text; *c; c++)
    if (*c == '\n' || *c == '\r') *c = ' ';
}

static char *copy_string(const char *text) {
  char *copy = malloc(strlen(text) + 1);
  return copy ? strcpy(copy, text) : NULL;
}

/* FOLDER/NAME. */
static char *join_path(const char *folder, const char *name) {
  size_t length = strlen(folder);
  char *path = malloc(length + strlen(name) + 2);
  if (path) sprintf(path, "%s%s%s", folder, length && folder[length - 1] == '/' ? "" : "/", name);
  return path;
}

/* Whether a name that a bundle gives is one of a file in it: a path could be any file of this machine. */
static int is_plain_name(const char *name) {
  return name && *name && !strpbrk(name, "/\\") && strcmp(name, ".") && strcmp(name, "..");
}

/* All bytes of a file and a final 0; NULL with a message where that is not possible. */
static char *read_file(const char *path, size_t *size, const char *fix, SpeechGruError *error) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    fail(error, "%s: cannot be read; %s", path, fix);
    return NULL;
  }
  char *content = NULL;
  size_t capacity = 0;
  *size = 0;
  for (;;) {
    if (capacity - *size < 2) {
      capacity = capacity ? 2 * capacity : 1 << 16;
      char *larger = realloc(content, capacity);
      if (!larger) break;
      content = larger;
    }
    size_t got = fread(content + *size, 1, capacity - *size - 1, file);
    *size += got;
    if (got) continue;
    if (ferror(file)) break;
    fclose(file);
    content[*size] = 0;
    return content;
  }
  fclose(file);
  free(content);
  fail(error, "%s: cannot be read; %s", path, fix);
  return NULL;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

typedef enum { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_OBJECT } JsonKind;

typedef struct Json {
  JsonKind kind;
  char *key;    /* in an object */
  char *string; /* of JSON_STRING */
  double number;
  size_t count;              /* of children */
  struct Json *child, *next; /* the first child, the next brother */
} Json;

enum { JSON_DEEPEST = 64 };

typedef struct {
  const char *at, *end;
} JsonText;

static void json_free(Json *value) {
  while (value) {
    Json *next = value->next;
    json_free(value->child);
    free(value->key);
    free(value->string);
    free(value);
    value = next;
  }
}

static void json_skip(JsonText *text) {
  while (text->at < text->end && strchr(" \t\r\n", *text->at) && *text->at) text->at++;
}

static int json_takes(JsonText *text, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(text->end - text->at) < length || memcmp(text->at, word, length)) return 0;
  text->at += length;
  return 1;
}

static int json_hex(JsonText *text, unsigned *code) {
  *code = 0;
  if (text->end - text->at < 4) return 0;
  for (int k = 0; k < 4; k++) {
    char c = *text->at++;
    unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10)
                                            : 16;
    if (digit > 15) return 0;
    *code = *code * 16 + digit;
  }
  return 1;
}

static char *put_utf8(char *out, unsigned code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xC0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out++ = (char)(0xE0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  } else {
    *out++ = (char)(0xF0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 0x3F));
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  }
  return out;
}

/* What stands between two quotation marks; the first one has been read. */
static char *json_string(JsonText *text) {
  const char *quote = text->at;
  while (quote < text->end && *quote != '"') quote += *quote == '\\' && text->end - quote > 1 ? 2 : 1;
  if (quote >= text->end) return NULL;
  char *string = malloc((size_t)(quote - text->at) + 1), *out = string; /* no escape is shorter than what it gives */
  if (!string) return NULL;
  while (text->at < text->end && *text->at != '"') {
    char c = *text->at++;
    if (c != '\\') {
      *out++ = c;
      continue;
    }
    static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found = text->at < text->end && *text->at ? strchr(letters, *text->at) : NULL;
    unsigned code, low;
    if (found) {
      text->at++;
      *out++ = values[found - letters];
    } else if (json_takes(text, "u") && json_hex(text, &code) && code) {
      if (code >= 0xD800 && code < 0xDC00 && json_takes(text, "\\u") && json_hex(text, &low))
        code = 0x10000 + ((code - 0xD800) << 10) + ((low - 0xDC00) & 0x3FF);
      out = put_utf8(out, code);
    } else {
      free(string);
      return NULL;
    }
  }
  text->at++;
  *out = 0;
  return string;
}

/* Not strtod, which reads a number as the program's locale writes it. */
static int json_number(JsonText *text, double *number) {
  const char *start = text->at;
  double sign = json_takes(text, "-") ? -1 : 1, value = 0;
  int places = 0, exponent = 0, digits = 0;
  for (int fraction = 0; text->at < text->end; text->at++) {
    if (*text->at == '.' && !fraction)
      fraction = 1;
    else if (*text->at >= '0' && *text->at <= '9')
      value = value * 10 + (*text->at - '0'), places -= fraction, digits++;
    else
      break;
  }
  if (digits && text->at < text->end && (*text->at == 'e' || *text->at == 'E')) {
    text->at++;
    int down = json_takes(text, "-");
    if (!down) json_takes(text, "+");
    for (; text->at < text->end && *text->at >= '0' && *text->at <= '9'; text->at++)
      if (exponent < 1000) exponent = exponent * 10 + (*text->at - '0');
    if (down) exponent = -exponent;
  }
  int power = places + exponent; /* a division is exact where a product with a negative power is not */
  *number = sign * (power < 0 ? value / pow(10, -power) : value * pow(10, power));
  return digits && text->at > start;
}

static Json *json_value(JsonText *text, int depth) {
  json_skip(text);
  if (depth > JSON_DEEPEST || text->at >= text->end) return NULL;
  Json *value = calloc(1, sizeof *value);
  if (!value) return NULL;
  int is_object = json_takes(text, "{");
  if (is_object || json_takes(text, "[")) {
    const char *close = is_object ? "}" : "]";
    value->kind = is_object ? JSON_OBJECT : JSON_LIST;
    Json **last = &value->child;
    json_skip(text);
    if (json_takes(text, close)) return value;
    for (;;) {
      char *key = NULL;
      json_skip(text);
      if (is_object && !(json_takes(text, "\"") && (key = json_string(text)))) break;
      json_skip(text);
      if (is_object && !json_takes(text, ":")) {
        free(key);
        break;
      }
      if (!(*last = json_value(text, depth + 1))) {
        free(key);
        break;
      }
      (*last)->key = key;
      last = &(*last)->next;
      value->count++;
      json_skip(text);
      if (json_takes(text, close)) return value;
      if (!json_takes(text, ",")) break;
    }
  } else if (json_takes(text, "\"")) {
    value->kind = JSON_STRING;
    if ((value->string = json_string(text))) return value;
  } else if (json_takes(text, "null")) {
    return value;
  } else if (json_takes(text, "true") || json_takes(text, "false")) {
    value->kind = text->at[-2] == 'u' ? JSON_TRUE : JSON_FALSE;
    return value;
  } else if (json_number(text, &value->number)) {
    value->kind = JSON_NUMBER;
    return value;
  }
  json_free(value);
  return NULL;
}

/* The value of a text; NULL where it is not JSON. */
static Json *json_parse(const char *content, size_t size) {
  JsonText text = {content, content + size};
  Json *value = json_value(&text, 0);
  json_skip(&text);
  if (value && text.at != text.end) {
    json_free(value);
    return NULL;
  }
  return value;
}

/* A field of an object; NULL where there is none, or it is of another kind. */
static const Json *json_get(const Json *object, const char *key, JsonKind kind) {
  if (!object || object->kind != JSON_OBJECT) return NULL;
  for (const Json *field = object->child; field; field = field->next)
    if (!strcmp(field->key, key)) return field->kind == kind ? field : NULL;
  return NULL;
}

static const char *json_text(const Json *object, const char *key) {
  const Json *field = json_get(object, key, JSON_STRING);
  return field ? field->string : NULL;
}

/* A whole number from 0 to 2^31 - 1; -1 where there is none. */
static long json_whole(const Json *object, const char *key) {
  const Json *field = json_get(object, key, JSON_NUMBER);
  if (!field || field->number < 0 || field->number > INT32_MAX || floor(field->number) != field->number) return -1;
  return (long)field->number;
}

/* ---- LiteRT ------------------------------------------------------------------------------------------------------ */

/* What is used of LiteRT's C API. Its wheels and archives bring the library without headers; these are the names, types
   and values that its public headers (litert/c of LiteRT 2.2 and 2.3) document as the library's interface. For LiteRT
   2.1, whose models have no environment, define SPEECHGRU_LITERT_2_1. */

typedef int LiteRtStatus; /* 0 is success */
typedef struct LiteRtEnvironmentT *LiteRtEnvironment;
typedef struct LiteRtModelT *LiteRtModel;
typedef struct LiteRtOptionsT *LiteRtOptions;
typedef struct LiteRtCompiledModelT *LiteRtCompiledModel;
typedef struct LiteRtSignatureT *LiteRtSignature;
typedef struct LiteRtTensorBufferT *LiteRtTensorBuffer;

typedef struct {
  uint32_t rank_and_flag; /* 7 bits of rank, 1 bit that says whether there are strides */
  int32_t dimensions[8];
  uint32_t strides[8];
} LiteRtLayout;

typedef struct {
  int32_t element_type;
  LiteRtLayout layout;
} LiteRtRankedTensorType;

typedef struct {
  int32_t tag;
  struct {
    int32_t type;
    union {
      int64_t integer;
      const void *pointer;
    } value;
  } any;
} LiteRtEnvOption;

_Static_assert(sizeof(LiteRtLayout) == 68 && sizeof(LiteRtRankedTensorType) == 72, "LiteRT's layout of tensor types");
_Static_assert(sizeof(LiteRtEnvOption) == 24, "LiteRT's layout of options");

enum {
  LITERT_CPU = 1,                 /* kLiteRtHwAcceleratorCpu */
  LITERT_FLOAT32 = 1,             /* kLiteRtElementTypeFloat32 */
  LITERT_INT32 = 2,               /* kLiteRtElementTypeInt32 */
  LITERT_INTEGER = 2,             /* kLiteRtAnyTypeInt */
  LITERT_AUTO_REGISTER = 24,      /* kLiteRtEnvOptionTagAutoRegisterAccelerators */
  LITERT_LOG_SEVERITY = 25,       /* kLiteRtEnvOptionTagMinLoggerSeverity */
  LITERT_LOG_ERRORS = 3,
  LITERT_ALIGNMENT = 64           /* LITERT_HOST_MEMORY_BUFFER_ALIGNMENT */
};

LiteRtStatus LiteRtCreateEnvironment(int, const LiteRtEnvOption *, LiteRtEnvironment *);
void LiteRtDestroyEnvironment(LiteRtEnvironment);
#ifdef SPEECHGRU_LITERT_2_1
LiteRtStatus LiteRtCreateModelFromFile(const char *, LiteRtModel *);
#else
LiteRtStatus LiteRtCreateModelFromFile(LiteRtEnvironment, const char *, LiteRtModel *);
#endif
void LiteRtDestroyModel(LiteRtModel);
LiteRtStatus LiteRtGetModelMetadata(LiteRtModel, const char *, const void **, size_t *);
LiteRtStatus LiteRtGetNumModelSignatures(LiteRtModel, size_t *);
LiteRtStatus LiteRtGetModelSignature(LiteRtModel, size_t, LiteRtSignature *);
LiteRtStatus LiteRtGetSignatureKey(LiteRtSignature, const char **);
LiteRtStatus LiteRtGetNumSignatureInputs(LiteRtSignature, size_t *);
LiteRtStatus LiteRtGetSignatureInputName(LiteRtSignature, size_t, const char **);
LiteRtStatus LiteRtGetNumSignatureOutputs(LiteRtSignature, size_t *);
LiteRtStatus LiteRtGetSignatureOutputName(LiteRtSignature, size_t, const char **);
LiteRtStatus LiteRtCreateOptions(LiteRtOptions *);
void LiteRtDestroyOptions(LiteRtOptions);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions, int);
LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions, LiteRtCompiledModel *);
void LiteRtDestroyCompiledModel(LiteRtCompiledModel);
LiteRtStatus LiteRtCompiledModelResizeInputTensor(LiteRtCompiledModel, size_t, size_t, const int *, size_t);
LiteRtStatus LiteRtGetCompiledModelOutputTensorLayouts(LiteRtCompiledModel, size_t, size_t, LiteRtLayout *, _Bool);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBuffer *, size_t,
                                    LiteRtTensorBuffer *);
LiteRtStatus LiteRtCreateTensorBufferFromHostMemory(const LiteRtRankedTensorType *, void *, size_t, void (*)(void *),
                                                    LiteRtTensorBuffer *);
void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer);

/* A tensor that LiteRT reads or writes in memory of ours. */
typedef struct {
  LiteRtTensorBuffer handle;
  void *data;
  size_t count; /* of elements */
} Buffer;

static void buffer_free(Buffer *buffer) {
  if (buffer->handle) LiteRtDestroyTensorBuffer(buffer->handle);
  free(buffer->data);
  memset(buffer, 0, sizeof *buffer);
}

/* Zeros, `least_count` of them or more. Both of LiteRT's element types that are used have 4 bytes. */
static int buffer_make(Buffer *buffer, int32_t element_type, int rank, const int32_t *dimensions, size_t least_count,
                       SpeechGruError *error) {
  LiteRtRankedTensorType type = {element_type, {(uint32_t)rank, {0}, {0}}};
  buffer->count = 1;
  for (int k = 0; k < rank; k++) {
    type.layout.dimensions[k] = dimensions[k];
    buffer->count *= (size_t)dimensions[k];
  }
  if (buffer->count < least_count) buffer->count = least_count;
  /* Kernels read up to 16 bytes behind a tensor's end; LiteRT wants whole lines of memory. */
  size_t bytes = (4 * buffer->count + 16 + LITERT_ALIGNMENT - 1) / LITERT_ALIGNMENT * LITERT_ALIGNMENT;
  if (posix_memalign(&buffer->data, LITERT_ALIGNMENT, bytes)) buffer->data = NULL;
  if (buffer->data) memset(buffer->data, 0, bytes);
  if (!buffer->data ||
      LiteRtCreateTensorBufferFromHostMemory(&type, buffer->data, 4 * buffer->count, NULL, &buffer->handle)) {
    fail(error, "no memory for a tensor of %zu numbers", buffer->count);
    buffer_free(buffer);
    return -1;
  }
  return 0;
}

/* ---- the bundle -------------------------------------------------------------------------------------------------- */

enum { MOST_TENSORS = 64 };

/* Which samples make which frames and steps (speechgru/lengths.py). */
typedef struct {
  long n_fft, hop_length, center, subsampling_factor;
} Lengths;

/* What a call of the stream covers; see the bundle's README. */
typedef struct {
  long chunk_samples, context_samples, samples_before, window_samples, window_frames, chunk_frames, frames_before,
      first_samples, chunk_steps, delay_steps;
} Geometry;

typedef struct {
  size_t index, num_inputs, num_outputs;
  const char *inputs[MOST_TENSORS], *outputs[MOST_TENSORS];
} Signature;

struct SpeechGru {
  char *path, *folder, *form;
  Json *metadata;
  const Json *entries; /* of the vocabulary */
  int is_words, streams;
  long sample_rate;
  double step_seconds;
  size_t num_labels;
  Lengths lengths;
  Geometry geometry;
  LiteRtEnvironment environment;
  LiteRtModel model;
  LiteRtOptions options;
  LiteRtCompiledModel compiled;
  Signature recognize, stream;
  Buffer input, output; /* of the last whole recording */
};

static int ends_in(const char *text, const char *ending) {
  size_t length = strlen(text), n = strlen(ending);
  return length >= n && !strcmp(text + length - n, ending);
}

static int is_file(const char *path, long *size_bytes) {
  struct stat status;
  if (stat(path, &status) || !S_ISREG(status.st_mode)) return 0;
  if (size_bytes) *size_bytes = (long)status.st_size;
  return 1;
}

/* A .tflite file, which is a flatbuffer: tables and vectors that point at each other. */
typedef struct {
  const unsigned char *content;
  size_t size;
} Flat;

static uint32_t number_at(const Flat *flat, size_t place) {
  uint32_t number;
  memcpy(&number, flat->content + place, sizeof number);
  return number;
}

static uint16_t short_at(const Flat *flat, size_t place) {
  uint16_t number;
  memcpy(&number, flat->content + place, sizeof number);
  return number;
}

/* Whether a table and the list of its fields are inside the file. */
static int is_table(const Flat *flat, size_t table) {
  if (table > flat->size - 4) return 0;
  int64_t fields = (int64_t)table - (int32_t)number_at(flat, table);
  return fields >= 0 && fields <= (int64_t)flat->size - 4 &&
         (size_t)fields + short_at(flat, (size_t)fields) <= flat->size &&
         table + short_at(flat, (size_t)fields + 2) <= flat->size;
}

/* Where a field of a table stands; 0 where the table has none. */
static size_t field_at(const Flat *flat, size_t table, unsigned slot) {
  size_t fields = (size_t)((int64_t)table - (int32_t)number_at(flat, table));
  uint16_t offset = 4 + 2 * slot + 2 > short_at(flat, fields) ? 0 : short_at(flat, fields + 4 + 2 * slot);
  return offset && table + offset <= flat->size - 4 ? table + offset : 0;
}

/* Whether a table's vector, where it has it, is inside the file. */
static int is_vector(const Flat *flat, size_t table, unsigned slot, size_t item_bytes, size_t *first, size_t *count) {
  size_t field = field_at(flat, table, slot), vector = field ? field + number_at(flat, field) : 0;
  *first = *count = 0;
  if (!field) return 1;
  if (vector > flat->size - 4) return 0;
  *first = vector + 4;
  *count = number_at(flat, vector);
  return *count <= (flat->size - *first) / item_bytes;
}

typedef int (*IsTable)(const Flat *flat, size_t table);

/* Whether a table's vector of tables is inside the file, and all of them are right. */
static int are_tables(const Flat *flat, size_t table, unsigned slot, IsTable is_right) {
  size_t first, count;
  if (!is_vector(flat, table, slot, 4, &first, &count)) return 0;
  for (size_t k = 0; k < count; k++) {
    size_t place = first + 4 * k, each = place + number_at(flat, place);
    if (!is_table(flat, each) || !is_right(flat, each)) return 0;
  }
  return 1;
}

static int is_buffer(const Flat *flat, size_t table) {
  size_t first, count;
  return is_vector(flat, table, 0, 1, &first, &count); /* its bytes */
}

/* What a tensor's quantization, or an operator's options, are. */
static int has_whole_child(const Flat *flat, size_t table) {
  size_t field = field_at(flat, table, 4);
  return !field || is_table(flat, field + number_at(flat, field));
}

static int is_tensor(const Flat *flat, size_t table) {
  size_t first, count; /* of its shape and its name */
  return is_vector(flat, table, 0, 4, &first, &count) && is_vector(flat, table, 3, 1, &first, &count) &&
         has_whole_child(flat, table);
}

static int is_operator(const Flat *flat, size_t table) {
  size_t first, count; /* of its inputs and outputs */
  return is_vector(flat, table, 1, 4, &first, &count) && is_vector(flat, table, 2, 4, &first, &count) &&
         has_whole_child(flat, table);
}

static int is_subgraph(const Flat *flat, size_t table) {
  return are_tables(flat, table, 0, is_tensor) && are_tables(flat, table, 3, is_operator);
}

/* Whether a .tflite file ends where its tables say: LiteRT crashes, or never comes back, on many that were cut short.
   The slots are those of TensorFlow's lite/schema/schema.fbs. */
static int is_whole(const char *path, long size_bytes) {
  Flat flat = {MAP_FAILED, (size_t)size_bytes};
  int file = open(path, O_RDONLY);
  if (file >= 0 && size_bytes >= 64) flat.content = mmap(NULL, flat.size, PROT_READ, MAP_PRIVATE, file, 0);
  if (file >= 0) close(file);
  if (flat.content == MAP_FAILED) return 0;
  size_t root = number_at(&flat, 0);
  int is_right = !memcmp(flat.content + 4, "TFL3", 4) && is_table(&flat, root) && field_at(&flat, root, 2) &&
                 field_at(&flat, root, 4) && are_tables(&flat, root, 2, is_subgraph) &&
                 are_tables(&flat, root, 4, is_buffer);
  munmap((void *)(uintptr_t)flat.content, flat.size);
  return is_right;
}

/* The model's file that the folder's bundle.json names, or the file itself; the caller frees it. */
static char *find_model(SpeechGru *model, const char *bundle, const char *form, SpeechGruError *error) {
  long size_bytes = 0;
  if (ends_in(bundle, ".tflite")) {
    const char *slash = strrchr(bundle, '/');
    model->folder = copy_string(slash ? bundle : ".");
    if (model->folder && slash) model->folder[slash == bundle ? 1 : slash - bundle] = 0;
    if (is_file(bundle, NULL)) return copy_string(bundle);
    fail(error, "%s: is missing; give the folder that `speechgru export` wrote, or a .tflite file of it", bundle);
    return NULL;
  }
  model->folder = copy_string(bundle);
  char *path = join_path(bundle, "bundle.json"), *found = NULL, *content = NULL;
  Json *json = NULL;
  size_t size = 0;
  static const char fix[] = "give the folder that `speechgru export` wrote, or a .tflite file of it";
  if (path && (content = read_file(path, &size, fix, error))) {
    json = json_parse(content, size);
    const char *wanted = form ? form : json_text(json, "default_form");
    const Json *models = json_get(json, "models", JSON_OBJECT);
    const Json *record = wanted ? json_get(models, wanted, JSON_OBJECT) : NULL;
    const char *file = json_text(record, "file");
    long expected = json_whole(record, "size_bytes");
    if (!models) {
      fail(error, "%s: is damaged; export the bundle again", path);
    } else if (!file) {
      char known[256] = "";
      for (const Json *each = models->child; each; each = each->next)
        if (strlen(known) + strlen(each->key) + 3 < sizeof known) strcat(strcat(known, *known ? ", " : ""), each->key);
      fail(error, "%s: holds no form '%s'; it has %s", bundle, wanted ? wanted : "",
           *known ? known : "none for LiteRT");
    } else if (!is_plain_name(file)) {
      fail(error, "%s: is damaged ('%.80s' is no name of a file in the bundle); export the bundle again", path, file);
    } else if ((found = join_path(bundle, file))) {
      if (!is_file(found, &size_bytes))
        fail(error, "%s: is missing from the bundle; copy the folder whole", found);
      else if (expected >= 0 && size_bytes != expected)
        fail(error, "%s: is damaged (%ld of %ld bytes); copy the bundle again", found, size_bytes, expected);
      if (!is_file(found, NULL) || (expected >= 0 && size_bytes != expected)) {
        free(found);
        found = NULL;
      }
    }
  }
  json_free(json);
  free(content);
  free(path);
  return found;
}

static int read_signature(SpeechGru *model, const char *wanted, Signature *signature) {
  size_t count = 0;
  LiteRtSignature each;
  const char *key;
  if (LiteRtGetNumModelSignatures(model->model, &count)) return -1;
  for (size_t index = 0; index < count; index++) {
    if (LiteRtGetModelSignature(model->model, index, &each) || LiteRtGetSignatureKey(each, &key)) return -1;
    if (strcmp(key, wanted)) continue;
    signature->index = index;
    if (LiteRtGetNumSignatureInputs(each, &signature->num_inputs) ||
        LiteRtGetNumSignatureOutputs(each, &signature->num_outputs) || signature->num_inputs > MOST_TENSORS ||
        signature->num_outputs > MOST_TENSORS)
      return -1;
    for (size_t k = 0; k < signature->num_inputs; k++)
      if (LiteRtGetSignatureInputName(each, k, &signature->inputs[k])) return -1;
    for (size_t k = 0; k < signature->num_outputs; k++)
      if (LiteRtGetSignatureOutputName(each, k, &signature->outputs[k])) return -1;
    return 0;
  }
  return -1;
}

static int read_geometry(const Json *stream, Geometry *geometry) {
  const Json *given = json_get(stream, "geometry", JSON_OBJECT), *sizes = json_get(stream, "sizes", JSON_OBJECT);
  *geometry = (Geometry){
      .chunk_samples = json_whole(sizes, "chunk_samples"),
      .context_samples = json_whole(sizes, "context_samples"),
      .samples_before = json_whole(sizes, "samples_before"),
      .window_samples = json_whole(sizes, "window_samples"),
      .window_frames = json_whole(sizes, "window_frames"),
      .chunk_frames = json_whole(sizes, "chunk_frames"),
      .frames_before = json_whole(sizes, "frames_before"),
      .first_samples = json_whole(sizes, "first_samples"),
      .chunk_steps = json_whole(given, "chunk_steps"),
      .delay_steps = json_whole(given, "delay_steps"),
  };
  const long *each = (const long *)geometry;
  for (size_t k = 0; k < sizeof *geometry / sizeof *each; k++)
    if (each[k] < 0) return -1;
  return geometry->chunk_samples > 0 && geometry->chunk_steps > 0 ? 0 : -1;
}

/* What the file's own metadata say, each part checked. */
static int read_metadata(SpeechGru *model, SpeechGruError *error) {
  const void *bytes = NULL;
  size_t size = 0;
  if (LiteRtGetModelMetadata(model->model, "speechgru", &bytes, &size) || !bytes) {
    fail(error, "%s: holds no metadata of a bundle; give a file that `speechgru export` wrote", model->path);
    return -1;
  }
  model->metadata = json_parse(bytes, size);
  const Json *metadata = model->metadata, *features = json_get(metadata, "features", JSON_OBJECT);
  long version = json_whole(metadata, "bundle_version");
  if (version >= 0 && version != SPEECHGRU_BUNDLE_VERSION) {
    const char *fix = version > SPEECHGRU_BUNDLE_VERSION ? "update the program" : "export the bundle again";
    fail(error, "%s: is of version %ld, this program reads version %d; %s", model->path, version,
         SPEECHGRU_BUNDLE_VERSION, fix);
    return -1;
  }
  const char *unit = json_text(metadata, "unit"), *form = json_text(metadata, "default_form");
  const Json *step_seconds = json_get(metadata, "step_seconds", JSON_NUMBER);
  model->entries = json_get(metadata, "entries", JSON_LIST);
  model->sample_rate = json_whole(metadata, "sample_rate");
  model->step_seconds = step_seconds ? step_seconds->number : 0;
  model->lengths = (Lengths){
      .n_fft = json_whole(features, "n_fft"),
      .hop_length = json_whole(features, "hop_length"),
      .center = json_get(features, "center", JSON_FALSE) == NULL,
      .subsampling_factor = json_whole(metadata, "subsampling_factor"),
  };
  int is_complete = version >= 0 && unit && form && model->entries && model->sample_rate > 0 &&
                    model->step_seconds > 0 && model->lengths.n_fft > 0 && model->lengths.hop_length > 0 &&
                    model->lengths.subsampling_factor > 0 && json_whole(metadata, "blank_id") == 0;
  for (const Json *entry = is_complete ? model->entries->child : NULL; entry; entry = entry->next)
    is_complete = is_complete && entry->kind == JSON_STRING;
  if (is_complete) {
    model->is_words = !strcmp(unit, "word");
    is_complete = model->is_words || !strcmp(unit, "character");
    model->num_labels = 1 + model->entries->count;
    model->form = copy_string(form);
  }
  const Json *stream = json_get(metadata, "stream", JSON_OBJECT);
  if (is_complete && stream) {
    model->streams = 1;
    is_complete = json_get(stream, "states", JSON_OBJECT) && !read_geometry(stream, &model->geometry) &&
                  !read_signature(model, "stream", &model->stream);
  }
  if (!is_complete || !model->form || read_signature(model, "recognize", &model->recognize) ||
      model->recognize.num_inputs != 1 || model->recognize.num_outputs != 1) {
    fail(error, "%s: its metadata are damaged, or of another program; export the bundle again", model->path);
    return -1;
  }
  return 0;
}

static int load_model(SpeechGru *model, SpeechGruError *error) {
  /* The processor alone: looking for other accelerators loads libraries of 18 MB and more. */
  const LiteRtEnvOption options[] = {{LITERT_AUTO_REGISTER, {LITERT_INTEGER, {.integer = LITERT_CPU}}},
                                     {LITERT_LOG_SEVERITY, {LITERT_INTEGER, {.integer = LITERT_LOG_ERRORS}}}};
#ifdef SPEECHGRU_LITERT_2_1
  int failed = LiteRtCreateEnvironment(0, options, &model->environment);
#else
  int failed = LiteRtCreateEnvironment(2, options, &model->environment);
#endif
  if (failed) {
    fail(error, "LiteRT does not start (status %d); it must be of version 2.2 or newer", failed);
    return -1;
  }
#ifdef SPEECHGRU_LITERT_2_1
  failed = LiteRtCreateModelFromFile(model->path, &model->model);
#else
  failed = LiteRtCreateModelFromFile(model->environment, model->path, &model->model);
#endif
  if (failed) {
    fail(error, "%s: is missing or damaged (LiteRT's status %d); copy the bundle again", model->path, failed);
    return -1;
  }
  if (read_metadata(model, error)) return -1;
  if (LiteRtCreateOptions(&model->options) || LiteRtSetOptionsHardwareAccelerators(model->options, LITERT_CPU) ||
      LiteRtCreateCompiledModel(model->environment, model->model, model->options, &model->compiled)) {
    fail(error, "%s: LiteRT cannot prepare it; copy the bundle again, or use LiteRT 2.3", model->path);
    return -1;
  }
  return 0;
}

SpeechGru *speechgru_open(const char *bundle, const char *form, SpeechGruError *error) {
  SpeechGru *model = calloc(1, sizeof *model);
  if (!model) {
    fail(error, "no memory for a model");
    return NULL;
  }
  if (error) *error->text = 0;
  model->path = find_model(model, bundle, form, error);
  long size_bytes = 0;
  if (model->path && !(is_file(model->path, &size_bytes) && is_whole(model->path, size_bytes))) {
    fail(error, "%s: is damaged, or no .tflite file; copy the bundle again", model->path);
  } else if (!model->path || !model->folder) {
    if (error && !*error->text) fail(error, "no memory for a model");
  } else if (!load_model(model, error)) {
    if (!form || !strcmp(form, model->form)) return model;
    fail(error, "%s: is the form '%s', not '%s'", model->path, model->form, form);
  }
  speechgru_close(model);
  return NULL;
}

void speechgru_close(SpeechGru *model) {
  if (!model) return;
  buffer_free(&model->input);
  buffer_free(&model->output);
  if (model->compiled) LiteRtDestroyCompiledModel(model->compiled);
  if (model->options) LiteRtDestroyOptions(model->options);
  if (model->model) LiteRtDestroyModel(model->model);
  if (model->environment) LiteRtDestroyEnvironment(model->environment);
  json_free(model->metadata);
  free(model->path);
  free(model->folder);
  free(model->form);
  free(model);
}

const char *speechgru_form(const SpeechGru *model) { return model->form; }
int speechgru_sample_rate(const SpeechGru *model) { return (int)model->sample_rate; }
double speechgru_step_seconds(const SpeechGru *model) { return model->step_seconds; }
size_t speechgru_num_labels(const SpeechGru *model) { return model->num_labels; }
int speechgru_streams(const SpeechGru *model) { return model->streams; }

static size_t num_frames(const Lengths *lengths, size_t num_samples) {
  size_t n_fft = (size_t)lengths->n_fft, hop_length = (size_t)lengths->hop_length;
  if (lengths->center) return num_samples ? 1 + num_samples / hop_length : 0;
  return num_samples < n_fft ? 0 : 1 + (num_samples - n_fft) / hop_length;
}

size_t speechgru_num_steps(const SpeechGru *model, size_t num_samples) {
  size_t factor = (size_t)model->lengths.subsampling_factor;
  return (num_frames(&model->lengths, num_samples) + factor - 1) / factor;
}

/* ---- whole recordings -------------------------------------------------------------------------------------------- */

/* Whether all numbers are finite. */
static int is_finite(const float *values, size_t count) {
  for (size_t k = 0; k < count; k++)
    if (!isfinite(values[k])) return 0;
  return 1;
}

static int check_samples(const float *samples, size_t num_samples, SpeechGruError *error) {
  if (is_finite(samples, num_samples)) return 0;
  fail(error, "the samples hold numbers that are not finite; give floats in [-1, 1]");
  return -1;
}

typedef struct {
  float *values;
  size_t count, capacity;
} Floats;

static int floats_append(Floats *floats, const float *values, size_t count) {
  if (floats->count + count > floats->capacity) {
    size_t capacity = 2 * (floats->count + count);
    float *larger = realloc(floats->values, capacity * sizeof *larger);
    if (!larger) return -1;
    floats->values = larger;
    floats->capacity = capacity;
  }
  if (values)
    memcpy(floats->values + floats->count, values, count * sizeof *values);
  else
    memset(floats->values + floats->count, 0, count * sizeof *values);
  floats->count += count;
  return 0;
}

/* Steps of a stream, one after the other. */
typedef struct {
  Floats floats;
  size_t num_labels;
  int failed;
} Collected;

static void collect(void *context, const float *log_probs, size_t num_steps) {
  Collected *collected = context;
  if (floats_append(&collected->floats, log_probs, num_steps * collected->num_labels)) collected->failed = 1;
}

/* The same by the stream, `piece` samples at a time. */
static float *streamed_log_probs(SpeechGru *model, const float *samples, size_t num_samples, size_t piece,
                                 size_t *num_steps, SpeechGruError *error) {
  Collected collected = {.num_labels = model->num_labels};
  SpeechGruStream *stream = speechgru_stream_open(model, collect, &collected, error);
  int failed = !stream;
  for (size_t start = 0; !failed && start < num_samples; start += piece)
    failed = speechgru_stream_feed(stream, samples + start, num_samples - start < piece ? num_samples - start : piece,
                                   error);
  failed = failed || speechgru_stream_finish(stream, error);
  speechgru_stream_close(stream);
  if (!failed && (collected.failed || floats_append(&collected.floats, NULL, 1))) { /* never NULL */
    fail(error, "no memory for the log-probabilities");
    failed = 1;
  }
  if (failed) {
    free(collected.floats.values);
    return NULL;
  }
  *num_steps = (collected.floats.count - 1) / model->num_labels;
  return collected.floats.values;
}

float *speechgru_log_probs(SpeechGru *model, const float *samples, size_t num_samples, size_t *num_steps,
                           SpeechGruError *error) {
  if (check_samples(samples, num_samples, error)) return NULL;
  if (num_samples > (size_t)model->sample_rate * SPEECHGRU_LONGEST_SECONDS) {
    if (model->streams) return streamed_log_probs(model, samples, num_samples, num_samples, num_steps, error);
    fail(error, "the recording is longer than the %d s that a model which does not stream computes at once; cut it",
         SPEECHGRU_LONGEST_SECONDS);
    return NULL;
  }
  *num_steps = speechgru_num_steps(model, num_samples);
  size_t bytes = *num_steps * model->num_labels * sizeof(float);
  float *log_probs = malloc(bytes + 1);
  if (!log_probs) {
    fail(error, "no memory for the log-probabilities");
    return NULL;
  }
  if (!*num_steps) return log_probs;
  const int dimensions[] = {1, (int)num_samples};
  const int32_t input_shape[] = {1, (int32_t)num_samples};
  const int32_t output_shape[] = {1, (int32_t)*num_steps, (int32_t)model->num_labels};
  const size_t index = model->recognize.index;
  Buffer input = {0}, output = {0};
  LiteRtLayout layout;
  /* Until the graph runs, LiteRT takes the output for as long as the last one: a shorter buffer is refused. */
  int failed = buffer_make(&input, LITERT_FLOAT32, 2, input_shape, 0, error) ||
               buffer_make(&output, LITERT_FLOAT32, 3, output_shape, model->output.count, error);
  if (!failed) {
    memcpy(input.data, samples, num_samples * sizeof *samples);
    /* The new shape goes through the graph when its outputs are asked for. */
    failed = LiteRtCompiledModelResizeInputTensor(model->compiled, index, 0, dimensions, 2) ||
             LiteRtGetCompiledModelOutputTensorLayouts(model->compiled, index, 1, &layout, 1) ||
             LiteRtRunCompiledModel(model->compiled, index, 1, &input.handle, 1, &output.handle) ||
             !is_finite(output.data, bytes / sizeof(float));
    if (failed) fail(error, "%s: LiteRT cannot compute %zu samples with it", model->path, num_samples);
  }
  if (!failed) {
    memcpy(log_probs, output.data, bytes);
    /* LiteRT keeps the addresses until the next recording. */
    Buffer old[] = {model->input, model->output};
    model->input = input;
    model->output = output;
    buffer_free(&old[0]);
    buffer_free(&old[1]);
    return log_probs;
  }
  buffer_free(&input);
  buffer_free(&output);
  free(log_probs);
  return NULL;
}

/* ---- the best path ----------------------------------------------------------------------------------------------- */

/* The most probable label at every step, repeats merged, blanks dropped. */
typedef struct {
  uint32_t *labels;
  size_t count, capacity;
  uint32_t last; /* of the step before */
} BestPath;

static int best_path_feed(BestPath *path, const float *log_probs, size_t num_steps, size_t num_labels) {
  for (size_t step = 0; step < num_steps; step++, log_probs += num_labels) {
    uint32_t best = 0;
    for (uint32_t label = 1; label < num_labels; label++)
      if (log_probs[label] > log_probs[best]) best = label; /* equal ones go to the lowest */
    if (best && best != path->last) {
      if (path->count == path->capacity) {
        size_t capacity = path->capacity ? 2 * path->capacity : 64;
        uint32_t *larger = realloc(path->labels, capacity * sizeof *larger);
        if (!larger) return -1;
        path->labels = larger;
        path->capacity = capacity;
      }
      path->labels[path->count++] = best;
    }
    path->last = best;
  }
  return 0;
}

/* Words with single spaces between them; NULL where memory ran out. */
static char *best_path_text(const SpeechGru *model, const BestPath *path) {
  const char **entries = malloc((model->num_labels + 1) * sizeof *entries);
  if (!entries) return NULL;
  size_t place = 1, length = 1;
  for (const Json *entry = model->entries->child; entry; entry = entry->next) entries[place++] = entry->string;
  for (size_t k = 0; k < path->count; k++) length += strlen(entries[path->labels[k]]) + 1;
  char *text = malloc(length), *out = text;
  int is_space = 0;
  for (size_t k = 0; text && k < path->count; k++) {
    const char *entry = entries[path->labels[k]];
    if (model->is_words || !strcmp(entry, " ")) is_space = 1;
    if (!model->is_words && !strcmp(entry, " ")) continue;
    if (is_space && out != text) *out++ = ' ';
    is_space = 0;
    out += strlen(strcpy(out, entry));
  }
  if (text) *out = 0;
  free(entries);
  return text;
}

static char *text_of(const SpeechGru *model, const float *log_probs, size_t num_steps, SpeechGruError *error) {
  BestPath path = {0};
  char *text = best_path_feed(&path, log_probs, num_steps, model->num_labels) ? NULL : best_path_text(model, &path);
  free(path.labels);
  if (!text) fail(error, "no memory for the text");
  return text;
}

char *speechgru_transcribe(SpeechGru *model, const float *samples, size_t num_samples, SpeechGruError *error) {
  size_t num_steps;
  float *log_probs = speechgru_log_probs(model, samples, num_samples, &num_steps, error);
  char *text = log_probs ? text_of(model, log_probs, num_steps, error) : NULL;
  free(log_probs);
  return text;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct SpeechGruStream {
  SpeechGru *model;
  SpeechGruSteps steps;
  void *context;
  /* In the signature's order. A state is written to `after`, and the two are exchanged for the next call. */
  Buffer inputs[MOST_TENSORS], outputs[MOST_TENSORS];
  size_t state_of[MOST_TENSORS]; /* of each output the input that it becomes; MOST_TENSORS of log_probs */
  size_t samples_at, bounds_at, context_at, log_probs_at;
  Floats waiting; /* samples that no call has had yet */
  size_t num_samples;
  long num_calls;
  int is_finished;
  BestPath path;
  char *text;
};

static size_t place_of(const char *name, const char *const *names, size_t count) {
  for (size_t k = 0; k < count; k++)
    if (!strcmp(names[k], name)) return k;
  return MOST_TENSORS;
}

static int make_stream_buffers(SpeechGruStream *stream, SpeechGruError *error) {
  const SpeechGru *model = stream->model;
  const Signature *signature = &model->stream;
  const Json *states = json_get(json_get(model->metadata, "stream", JSON_OBJECT), "states", JSON_OBJECT);
  const int32_t samples_shape[] = {1, (int32_t)model->geometry.chunk_samples}, bounds_shape[] = {4};
  const int32_t steps_shape[] = {1, (int32_t)model->geometry.chunk_steps, (int32_t)model->num_labels};
  stream->samples_at = place_of("samples", signature->inputs, signature->num_inputs);
  stream->bounds_at = place_of("bounds", signature->inputs, signature->num_inputs);
  stream->context_at = place_of("context", signature->inputs, signature->num_inputs);
  stream->log_probs_at = place_of("log_probs", signature->outputs, signature->num_outputs);
  int fits = stream->samples_at < MOST_TENSORS && stream->bounds_at < MOST_TENSORS &&
             stream->context_at < MOST_TENSORS && stream->log_probs_at < MOST_TENSORS &&
             signature->num_inputs == states->count + 2 && signature->num_outputs == states->count + 1;
  if (fits && (buffer_make(&stream->inputs[stream->samples_at], LITERT_FLOAT32, 2, samples_shape, 0, error) ||
               buffer_make(&stream->inputs[stream->bounds_at], LITERT_INT32, 1, bounds_shape, 0, error) ||
               buffer_make(&stream->outputs[stream->log_probs_at], LITERT_FLOAT32, 3, steps_shape, 0, error)))
    return -1;
  stream->state_of[stream->log_probs_at < MOST_TENSORS ? stream->log_probs_at : 0] = MOST_TENSORS;
  for (const Json *state = states->child; fits && state; state = state->next) {
    size_t input = place_of(state->key, signature->inputs, signature->num_inputs);
    size_t output = place_of(state->key, signature->outputs, signature->num_outputs);
    int32_t shape[8];
    int rank = 0;
    fits = input < MOST_TENSORS && output < MOST_TENSORS && state->kind == JSON_LIST && state->count <= 8;
    for (const Json *size = fits ? state->child : NULL; size; size = size->next) {
      fits = fits && size->kind == JSON_NUMBER && size->number >= 1 && size->number < INT32_MAX;
      shape[rank++] = fits ? (int32_t)size->number : 1;
    }
    if (!fits) break;
    if (buffer_make(&stream->inputs[input], LITERT_FLOAT32, rank, shape, 0, error) ||
        buffer_make(&stream->outputs[output], LITERT_FLOAT32, rank, shape, 0, error))
      return -1;
    stream->state_of[output] = input;
  }
  if (fits && stream->inputs[stream->context_at].count == (size_t)model->geometry.context_samples) return 0;
  fail(error, "%s: its stream is not what its metadata say; export the bundle again", model->path);
  return -1;
}

SpeechGruStream *speechgru_stream_open(SpeechGru *model, SpeechGruSteps steps, void *context, SpeechGruError *error) {
  if (!model->streams) {
    const char *obstacle = json_text(model->metadata, "stream_obstacle");
    fail(error, "%s: transcribes whole recordings only: %s", model->path,
         obstacle ? obstacle : "it was exported without a signature for streams");
    return NULL;
  }
  SpeechGruStream *stream = calloc(1, sizeof *stream);
  if (!stream) {
    fail(error, "no memory for a stream");
    return NULL;
  }
  stream->model = model;
  stream->steps = steps;
  stream->context = context;
  /* The first window begins before the recording: with zeros, then the samples that a first call waits for. */
  int failed = make_stream_buffers(stream, error);
  if (!failed && floats_append(&stream->waiting, NULL, (size_t)model->geometry.samples_before)) {
    fail(error, "no memory for a stream");
    failed = -1;
  }
  if (!failed) return stream;
  speechgru_stream_close(stream);
  return NULL;
}

void speechgru_stream_close(SpeechGruStream *stream) {
  if (!stream) return;
  for (size_t k = 0; k < MOST_TENSORS; k++) {
    buffer_free(&stream->inputs[k]);
    buffer_free(&stream->outputs[k]);
  }
  free(stream->waiting.values);
  free(stream->path.labels);
  free(stream->text);
  free(stream);
}

static long at_least_0(long number) { return number > 0 ? number : 0; }
static long at_most(long number, long most) { return number < most ? number : most; }

/* Runs one call with the samples from `used` on; the recording has ended where `num_samples` is not negative. */
static int run_call(SpeechGruStream *stream, size_t used, long num_samples, SpeechGruError *error) {
  SpeechGru *model = stream->model;
  const Geometry *geometry = &model->geometry;
  const Signature *signature = &model->stream;
  LiteRtTensorBuffer inputs[MOST_TENSORS], outputs[MOST_TENSORS];
  Buffer *log_probs = &stream->outputs[stream->log_probs_at];
  /* Which samples and frames of the call's window are the recording's. */
  long sample = stream->num_calls * geometry->chunk_samples - geometry->samples_before;
  long frame = stream->num_calls * geometry->chunk_frames - geometry->frames_before;
  long end_sample = geometry->window_samples, end_frame = geometry->window_frames;
  long first_step = stream->num_calls * geometry->chunk_steps - geometry->delay_steps, end_step = geometry->chunk_steps;
  if (num_samples >= 0) {
    end_sample = at_most(end_sample, at_least_0(num_samples - sample));
    end_frame = at_most(end_frame, at_least_0((long)num_frames(&model->lengths, (size_t)num_samples) - frame));
    end_step = at_most(end_step, (long)speechgru_num_steps(model, (size_t)num_samples) - first_step);
  }
  int32_t *bounds = stream->inputs[stream->bounds_at].data;
  bounds[0] = (int32_t)at_least_0(-sample);
  bounds[1] = (int32_t)end_sample;
  bounds[2] = (int32_t)at_least_0(-frame);
  bounds[3] = (int32_t)end_frame;
  memcpy(stream->inputs[stream->samples_at].data, stream->waiting.values + used,
         (size_t)geometry->chunk_samples * sizeof(float));
  for (size_t k = 0; k < signature->num_inputs; k++) inputs[k] = stream->inputs[k].handle;
  for (size_t k = 0; k < signature->num_outputs; k++) outputs[k] = stream->outputs[k].handle;
  if (LiteRtRunCompiledModel(model->compiled, signature->index, signature->num_inputs, inputs, signature->num_outputs,
                             outputs) ||
      !is_finite(log_probs->data, log_probs->count)) {
    fail(error, "%s: LiteRT cannot compute the stream's call %ld", model->path, stream->num_calls);
    return -1;
  }
  for (size_t k = 0; k < signature->num_outputs; k++) {
    if (stream->state_of[k] == MOST_TENSORS) continue;
    Buffer before = stream->inputs[stream->state_of[k]];
    stream->inputs[stream->state_of[k]] = stream->outputs[k];
    stream->outputs[k] = before;
  }
  stream->num_calls++;
  long begin_step = at_least_0(-first_step);
  if (end_step <= begin_step) return 0;
  const float *found = (const float *)log_probs->data + (size_t)begin_step * model->num_labels;
  if (stream->steps) stream->steps(stream->context, found, (size_t)(end_step - begin_step));
  if (!best_path_feed(&stream->path, found, (size_t)(end_step - begin_step), model->num_labels)) return 0;
  fail(error, "no memory for the text");
  return -1;
}

static int run_calls(SpeechGruStream *stream, long until, long num_samples, SpeechGruError *error) {
  const Geometry *geometry = &stream->model->geometry;
  size_t used = 0;
  if (!stream->num_calls && until > 0) {
    used = (size_t)geometry->context_samples;
    memcpy(stream->inputs[stream->context_at].data, stream->waiting.values, used * sizeof(float));
  }
  while (stream->num_calls < until) {
    if (run_call(stream, used, num_samples, error)) return -1;
    used += (size_t)geometry->chunk_samples;
  }
  stream->waiting.count -= used;
  memmove(stream->waiting.values, stream->waiting.values + used, stream->waiting.count * sizeof(float));
  return 0;
}

int speechgru_stream_feed(SpeechGruStream *stream, const float *samples, size_t num_samples, SpeechGruError *error) {
  const Geometry *geometry = &stream->model->geometry;
  if (stream->is_finished) {
    fail(error, "the stream has been finished; open another for what follows");
    return -1;
  }
  if (check_samples(samples, num_samples, error)) return -1;
  if (floats_append(&stream->waiting, samples, num_samples)) {
    fail(error, "no memory for %zu samples", num_samples);
    return -1;
  }
  stream->num_samples += num_samples;
  long beyond = (long)stream->num_samples - geometry->first_samples;
  return beyond < 0 ? 0 : run_calls(stream, 1 + beyond / geometry->chunk_samples, -1, error);
}

int speechgru_stream_finish(SpeechGruStream *stream, SpeechGruError *error) {
  const Geometry *geometry = &stream->model->geometry;
  if (stream->is_finished) return 0;
  stream->is_finished = 1;
  size_t missing = (size_t)(geometry->window_samples + geometry->chunk_samples * (1 + geometry->delay_steps));
  if (floats_append(&stream->waiting, NULL, missing)) {
    fail(error, "no memory for %zu samples", missing);
    return -1;
  }
  long steps = (long)speechgru_num_steps(stream->model, stream->num_samples);
  if (!steps) return 0;
  long calls = (steps + geometry->delay_steps + geometry->chunk_steps - 1) / geometry->chunk_steps;
  return run_calls(stream, calls, (long)stream->num_samples, error);
}

const char *speechgru_stream_text(SpeechGruStream *stream) {
  free(stream->text);
  return stream->text = best_path_text(stream->model, &stream->path);
}

/* ---- the golden vectors ------------------------------------------------------------------------------------------ */

/* Numbers of a case's stage, `golden/FILE`; NULL with a message where they are not `count` numbers, 0 of any count. */
static float *read_golden(const char *folder, const Json *record, size_t *count, SpeechGruError *error) {
  const char *file = json_text(record, "file");
  const Json *shape = json_get(record, "shape", JSON_LIST);
  char *path = is_plain_name(file) && shape ? join_path(folder, file) : NULL;
  size_t size = 0;
  *count = 1;
  for (const Json *length = shape ? shape->child : NULL; length; length = length->next)
    *count *= length->kind == JSON_NUMBER ? (size_t)length->number : 0;
  char *content = path ? read_file(path, &size, "copy the bundle with its folder golden", error) : NULL;
  if (!path) fail(error, "%s/golden.json: is damaged; export the bundle again", folder);
  if (content && size != *count * sizeof(float)) {
    fail(error, "%s: is damaged (%zu of %zu bytes); copy the bundle again", path, size, *count * sizeof(float));
    free(content);
    content = NULL;
  }
  free(path);
  return (float *)(void *)content; /* malloc's memory suits any type */
}

/* One line: how far some log-probabilities are from what they should be. */
static int compare(const SpeechGru *model, const char *name, const char *how, const float *log_probs, size_t num_steps,
                   const float *expected, size_t count, double tolerance, const char *text, FILE *out,
                   SpeechGruError *error) {
  double greatest = num_steps * model->num_labels == count ? 0 : INFINITY;
  for (size_t k = 0; k < count && isfinite(greatest); k++) greatest = fmax(greatest, fabs(log_probs[k] - expected[k]));
  char *found = text_of(model, log_probs, num_steps, error);
  if (!found) return -1;
  int is_right = greatest <= tolerance && !strcmp(found, text);
  fprintf(out, "%s %s (%s): off by %.2g, allowed are %.2g; ", name, model->form, how, greatest, tolerance);
  if (strcmp(found, text))
    fprintf(out, "text '%s', expected is '%s': FAILED\n", found, text);
  else
    fprintf(out, "text '%s'%s\n", found, is_right ? "" : ": FAILED");
  free(found);
  return is_right;
}

static int check_case(SpeechGru *model, const char *folder, const Json *record, double tolerance, FILE *out,
                      SpeechGruError *error) {
  char stage[64];
  snprintf(stage, sizeof stage, "log_probs.%s", model->form);
  const char *name = json_text(record, "name");
  const char *text = json_text(json_get(record, "texts", JSON_OBJECT), model->form);
  const Json *arrays = json_get(record, "arrays", JSON_OBJECT);
  size_t num_samples = 0, count = 0, num_steps = 0;
  float *samples = NULL, *expected = NULL, *log_probs = NULL;
  int result = -1;
  if (!name || !text || !json_get(arrays, stage, JSON_OBJECT)) {
    fail(error, "%s/golden.json: has no vectors of the form '%s'; export the bundle again", folder, model->form);
  } else if ((samples = read_golden(folder, json_get(arrays, "samples", JSON_OBJECT), &num_samples, error)) &&
             (expected = read_golden(folder, json_get(arrays, stage, JSON_OBJECT), &count, error)) &&
             (log_probs = speechgru_log_probs(model, samples, num_samples, &num_steps, error))) {
    result = compare(model, name, "whole", log_probs, num_steps, expected, count, tolerance, text, out, error);
    if (result >= 0 && model->streams) {
      free(log_probs);
      size_t piece = (size_t)(model->sample_rate / 27); /* 37 ms: as a sound card gives them */
      log_probs = streamed_log_probs(model, samples, num_samples, piece, &num_steps, error);
      int streamed = log_probs ? compare(model, name, "stream", log_probs, num_steps, expected, count, tolerance, text,
                                         out, error)
                               : -1;
      result = streamed < 0 ? -1 : result && streamed;
    }
  }
  free(samples);
  free(expected);
  free(log_probs);
  return result;
}

int speechgru_check(SpeechGru *model, FILE *out, SpeechGruError *error) {
  char *folder = join_path(model->folder, "golden"), *path = folder ? join_path(folder, "golden.json") : NULL;
  size_t size = 0;
  char *content = path ? read_file(path, &size, "copy the bundle with its folder golden", error) : NULL;
  Json *golden = content ? json_parse(content, size) : NULL;
  const Json *cases = json_get(golden, "cases", JSON_LIST), *tolerances = json_get(golden, "tolerance", JSON_OBJECT);
  char stage[64];
  snprintf(stage, sizeof stage, "log_probs.%s", model->form);
  /* Bundles of before November 2026 have one tolerance for all forms. */
  const Json *tolerance = json_get(tolerances, stage, JSON_NUMBER);
  if (!tolerance) tolerance = json_get(tolerances, "log_probs", JSON_NUMBER);
  int result = -1;
  if (content && cases && cases->count && tolerance) {
    result = 1;
    for (const Json *record = cases->child; record && result >= 0; record = record->next) {
      int one = check_case(model, folder, record, tolerance->number, out, error);
      result = one < 0 ? -1 : result && one;
    }
  } else if (content) {
    fail(error, "%s: is damaged; export the bundle again", path);
  }
  json_free(golden);
  free(content);
  free(path);
  free(folder);
  return result;
}
