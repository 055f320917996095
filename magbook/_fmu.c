/* A driven model of magbook as a functional mock-up unit: FMI 2.0, co-simulation. model.h holds its numbers.

   Inputs hx, hy: mu0*H in T, held over a communication step. Outputs mx, my, mz: the film average. The model steps EVERY seconds in
   the mean of the field over them; communication steps may be of any length, and cut such a step where they like. Between two
   states the outputs go in a straight line to the state that the mean field so far leads to. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

/* ------------------------------------------------------------------ the model */

typedef struct {
    float c[LATENT], change[LATENT];  /* the last whole state, and the change of the one begun */
    double field[2];                  /* as it is now, in T */
    double sum[2], phase;             /* of the step begun: integral of the field in T s, and how long it is, in s */
} Model;

static void set_up(Model *it) {
    memset(it, 0, sizeof *it);
    memcpy(it->c, start, sizeof start);
}

/* The change of a latent state c in the mean field b over EVERY. */
static void find_change(const float *c, const double *b, float *change) {
    static const float root = 0.79788456f;  /* of 2/pi */
    float in[WIDEST], out[WIDEST], sign[2] = {1, 1};
    const float *w = weights;
    for (int k = 0; k < 2 && MIRRORED; k++) sign[k] = c[leading[k]] < 0 ? -1.0f : 1.0f;
    for (int i = 0; i < LATENT; i++)
        in[i] = c[i] * (flips[i][0] ? sign[0] : 1) * (flips[i][1] ? sign[1] : 1);
    for (int k = 0; k < 2; k++) in[LATENT + k] = sign[k] * (float)b[k];
    for (int layer = 0; layer < LAYERS; layer++) {
        const int from = widths[layer], to = widths[layer + 1];
        memcpy(out, w + from * to, to * sizeof *out);
        for (int i = 0; i < from; i++, w += to)
            for (int k = 0; k < to; k++) out[k] += in[i] * w[k];
        w += to;
        for (int k = 0; k < to; k++) {
            const float x = out[k];
            in[k] = layer == LAYERS - 1 ? x : 0.5f * x * (1 + tanhf(root * (x + 0.044715f * x * x * x)));
        }
    }
    for (int i = 0; i < LATENT; i++)
        change[i] = in[i] * (flips[i][0] ? sign[0] : 1) * (flips[i][1] ? sign[1] : 1);
}

static void advance(Model *it, double duration) {
    double b[2];
    while (duration > 1e-6 * EVERY) {
        const double left = EVERY - it->phase, part = duration < left ? duration : left;
        for (int k = 0; k < 2; k++) it->sum[k] += it->field[k] * part;
        it->phase += part;
        duration -= part;
        for (int k = 0; k < 2; k++) b[k] = it->sum[k] / it->phase;
        find_change(it->c, b, it->change);
        if (it->phase > (1 - 1e-6) * EVERY) {
            for (int i = 0; i < LATENT; i++) it->c[i] += it->change[i];
            it->phase -= EVERY;  /* what rounding leaves is not lost */
            it->sum[0] = it->sum[1] = 0;
        }
    }
}

static double average(const Model *it, int component) {
    const double share = it->phase > 1e-6 * EVERY ? it->phase / EVERY : 0;
    double sum = 0;
    for (int i = 0; i < LATENT; i++) sum += (it->c[i] + share * it->change[i]) * readout[i][component];
    return sum;
}

/* ------------------------------------------------------------------ the interface, as FMI 2.0 defines it */

#ifdef FMI2_FUNCTION_PREFIX  /* where several units are linked into one program */
#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
#define NAME(name) JOIN(FMI2_FUNCTION_PREFIX, name)
#else
#define NAME(name) name
#endif
#ifdef _WIN32
#define API(type, name) __declspec(dllexport) type NAME(name)
#elif defined(__GNUC__)
#define API(type, name) __attribute__((visibility("default"))) type NAME(name)
#else
#define API(type, name) type NAME(name)
#endif

typedef void *Component;
typedef unsigned int Reference;
typedef const char *Text;
typedef int Bool;
typedef enum {OK, WARNING, DISCARD, ERROR, FATAL, PENDING} Status;
typedef enum {MODEL_EXCHANGE, CO_SIMULATION} Kind;
typedef enum {DO_STEP, PENDING_STATUS, LAST_SUCCESSFUL_TIME, TERMINATED} StatusKind;

API(Text, fmi2GetTypesPlatform)(void) { return "default"; }
API(Text, fmi2GetVersion)(void) { return "2.0"; }
API(Status, fmi2SetDebugLogging)(Component c, Bool on, size_t n, const Text names[]) { return OK; }

API(Component, fmi2Instantiate)(Text name, Kind kind, Text guid, Text resources, const void *callbacks, Bool visible, Bool logging) {
    Model *it = kind == CO_SIMULATION && guid && !strcmp(guid, GUID) ? malloc(sizeof *it) : NULL;
    if (it) set_up(it);
    return it;
}

API(void, fmi2FreeInstance)(Component c) { free(c); }
API(Status, fmi2SetupExperiment)(Component c, Bool known, double tolerance, double begin, Bool ends, double end) { return OK; }
API(Status, fmi2EnterInitializationMode)(Component c) { return OK; }
API(Status, fmi2ExitInitializationMode)(Component c) { return OK; }
API(Status, fmi2Terminate)(Component c) { return OK; }
API(Status, fmi2Reset)(Component c) { set_up(c); return OK; }

API(Status, fmi2GetReal)(Component c, const Reference at[], size_t n, double values[]) {
    const Model *it = c;
    for (size_t i = 0; i < n; i++) {
        if (at[i] > 4) return ERROR;
        values[i] = at[i] < 2 ? it->field[at[i]] : average(it, (int)at[i] - 2);
    }
    return OK;
}

API(Status, fmi2SetReal)(Component c, const Reference at[], size_t n, const double values[]) {
    for (size_t i = 0; i < n; i++) {
        if (at[i] > 1) return ERROR;
        ((Model *)c)->field[at[i]] = values[i];
    }
    return OK;
}

API(Status, fmi2DoStep)(Component c, double t, double duration, Bool keep) {
    if (!(duration >= 0 && duration < 1)) return ERROR;
    advance(c, duration);
    return OK;
}

API(Status, fmi2GetFMUstate)(Component c, void **state) {
    if (!*state) *state = malloc(sizeof(Model));
    if (*state) memcpy(*state, c, sizeof(Model));
    return *state ? OK : ERROR;
}
API(Status, fmi2SetFMUstate)(Component c, void *state) { memcpy(c, state, sizeof(Model)); return OK; }
API(Status, fmi2FreeFMUstate)(Component c, void **state) { free(*state); *state = NULL; return OK; }
API(Status, fmi2SerializedFMUstateSize)(Component c, void *state, size_t *size) { *size = sizeof(Model); return OK; }
API(Status, fmi2SerializeFMUstate)(Component c, void *state, char bytes[], size_t size) {
    if (size < sizeof(Model)) return ERROR;
    memcpy(bytes, state, sizeof(Model));
    return OK;
}
API(Status, fmi2DeSerializeFMUstate)(Component c, const char bytes[], size_t size, void **state) {
    return size < sizeof(Model) ? ERROR : NAME(fmi2GetFMUstate)((Component)bytes, state);
}

/* What every unit must have, and this one has no use for. */
API(Status, fmi2GetInteger)(Component c, const Reference at[], size_t n, int values[]) { return n ? ERROR : OK; }
API(Status, fmi2GetBoolean)(Component c, const Reference at[], size_t n, Bool values[]) { return n ? ERROR : OK; }
API(Status, fmi2GetString)(Component c, const Reference at[], size_t n, Text values[]) { return n ? ERROR : OK; }
API(Status, fmi2SetInteger)(Component c, const Reference at[], size_t n, const int values[]) { return n ? ERROR : OK; }
API(Status, fmi2SetBoolean)(Component c, const Reference at[], size_t n, const Bool values[]) { return n ? ERROR : OK; }
API(Status, fmi2SetString)(Component c, const Reference at[], size_t n, const Text values[]) { return n ? ERROR : OK; }
API(Status, fmi2GetDirectionalDerivative)(Component c, const Reference of[], size_t m, const Reference by[], size_t n, const double d[],
                                          double out[]) { return ERROR; }
API(Status, fmi2SetRealInputDerivatives)(Component c, const Reference at[], size_t n, const int order[], const double values[]) { return ERROR; }
API(Status, fmi2GetRealOutputDerivatives)(Component c, const Reference at[], size_t n, const int order[], double values[]) { return ERROR; }
API(Status, fmi2CancelStep)(Component c) { return ERROR; }
API(Status, fmi2GetStatus)(Component c, StatusKind kind, Status *value) { return DISCARD; }
API(Status, fmi2GetRealStatus)(Component c, StatusKind kind, double *value) { return DISCARD; }
API(Status, fmi2GetIntegerStatus)(Component c, StatusKind kind, int *value) { return DISCARD; }
API(Status, fmi2GetBooleanStatus)(Component c, StatusKind kind, Bool *value) { return DISCARD; }
API(Status, fmi2GetStringStatus)(Component c, StatusKind kind, Text *value) { return DISCARD; }
