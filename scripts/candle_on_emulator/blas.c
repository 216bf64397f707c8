// What candle calls of cuBLAS and cuRAND, on the host: products of matrices in plain loops, over copies
// of the device's memory. For tests on the emulator, which is a driver and no library of mathematics.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The driver.
int cuCtxSynchronize(void);
int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes);
int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes);

typedef enum { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 } Type;

static size_t size_of(Type type) { return type == F64 ? 8 : type == F32 ? 4 : 2; }

static void must(int status, const char *what) {
    if (status == 0) return;
    fprintf(stderr, "blas.c: %s: error %d of the driver\n", what, status);
    abort();
}

static double from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static double half_to_double(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent == 0    ? ldexp(fraction, -24)
                   : exponent == 31 ? (fraction ? NAN : INFINITY)
                                    : ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -value : value;
}

static double load(const void *at, size_t i, Type type) {
    switch (type) {
        case F64: return ((const double *)at)[i];
        case F32: return ((const float *)at)[i];
        case F16: return half_to_double(((const uint16_t *)at)[i]);
        default: return from_bits((uint32_t)((const uint16_t *)at)[i] << 16);
    }
}

// Rounds to nearest, ties to even, to numbers of 16 bits by trying both neighbours.
static uint16_t narrow(double value, Type type) {
    uint32_t low = 0, high = type == F16 ? 0x7c00 : 0x7f80, sign = signbit(value) ? 0x8000 : 0;
    double magnitude = fabs(value);
    if (isnan(value)) return (uint16_t)(high + 1);
    uint16_t bits;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        bits = (uint16_t)middle;
        if (load(&bits, 0, type) <= magnitude) low = middle;
        else high = middle;
    }
    bits = (uint16_t)low;
    double below = load(&bits, 0, type);
    bits = (uint16_t)high;
    double above = isinf(load(&bits, 0, type)) ? (type == F16 ? 65536.0 : ldexp(1, 128))
                                                : load(&bits, 0, type);
    double to_below = magnitude - below, to_above = above - magnitude;
    int up = to_above < to_below || (to_above == to_below && low % 2 == 1);
    return (uint16_t)(sign | (up ? high : low));
}

static void store(void *at, size_t i, Type type, double value) {
    switch (type) {
        case F64: ((double *)at)[i] = value; break;
        case F32: ((float *)at)[i] = (float)value; break;
        default: ((uint16_t *)at)[i] = narrow(value, type);
    }
}

// Columns of a matrix as it lies in memory, of which there are `cols` of `rows` each.
typedef struct {
    uint64_t address;
    Type type;
    int rows, cols, leading;
    long long stride;
    void *host;
} Matrix;

static size_t length(const Matrix *m) { return (size_t)m->leading * (m->cols - 1) + m->rows; }

static void fetch(Matrix *m, int batch) {
    size_t bytes = length(m) * size_of(m->type);
    m->host = realloc(m->host, bytes);
    uint64_t from = m->address + (uint64_t)(m->stride * batch) * size_of(m->type);
    must(cuMemcpyDtoH_v2(m->host, from, bytes), "copy from the device");
}

static int product(int ta, int tb, int m, int n, int k, double alpha, Matrix a, Matrix b,
                   double beta, Matrix c, int batches) {
    if (m == 0 || n == 0 || batches == 0) return 0;
    must(cuCtxSynchronize(), "synchronise");
    for (int batch = 0; batch < batches; ++batch) {
        if (k > 0) fetch(&a, batch), fetch(&b, batch);
        // What is overwritten need not have been written.
        if (beta != 0 || c.leading != c.rows) fetch(&c, batch);
        else c.host = realloc(c.host, length(&c) * size_of(c.type));
        for (int j = 0; j < n; ++j) {
            for (int i = 0; i < m; ++i) {
                double sum = 0;
                for (int l = 0; l < k; ++l) {
                    size_t at_a = ta ? (size_t)i * a.leading + l : (size_t)l * a.leading + i;
                    size_t at_b = tb ? (size_t)l * b.leading + j : (size_t)j * b.leading + l;
                    sum += load(a.host, at_a, a.type) * load(b.host, at_b, b.type);
                }
                size_t at = (size_t)j * c.leading + i;
                double old = beta == 0 ? 0 : beta * load(c.host, at, c.type);
                store(c.host, at, c.type, alpha * sum + old);
            }
        }
        uint64_t to = c.address + (uint64_t)(c.stride * batch) * size_of(c.type);
        must(cuMemcpyHtoD_v2(to, c.host, length(&c) * size_of(c.type)), "copy to the device");
    }
    free(a.host), free(b.host), free(c.host);
    return 0;
}

static Matrix matrix(uint64_t address, int type, int transposed, int rows, int cols, int leading,
                     long long stride) {
    Matrix m = {address, (Type)type, transposed ? cols : rows, transposed ? rows : cols, leading,
                stride, NULL};
    return m;
}

int cublasDgemmStridedBatched(void *handle, int ta, int tb, int m, int n, int k,
                              const double *alpha, uint64_t a, int lda, long long sa, uint64_t b,
                              int ldb, long long sb, const double *beta, uint64_t c, int ldc,
                              long long sc, int batches) {
    (void)handle;
    return product(ta, tb, m, n, k, *alpha, matrix(a, F64, ta, m, k, lda, sa),
                   matrix(b, F64, tb, k, n, ldb, sb), *beta, matrix(c, F64, 0, m, n, ldc, sc),
                   batches);
}

int cublasGemmStridedBatchedEx(void *handle, int ta, int tb, int m, int n, int k,
                               const void *alpha, uint64_t a, int type_a, int lda, long long sa,
                               uint64_t b, int type_b, int ldb, long long sb, const void *beta,
                               uint64_t c, int type_c, int ldc, long long sc, int batches,
                               int compute, int algorithm) {
    (void)handle, (void)algorithm;
    // CUBLAS_COMPUTE_16F and _16F_PEDANTIC have factors of 16 bits, CUBLAS_COMPUTE_64F of 64.
    Type factors = compute == 64 || compute == 65 ? F16 : compute == 70 || compute == 71 ? F64 : F32;
    return product(ta, tb, m, n, k, load(alpha, 0, factors), matrix(a, type_a, ta, m, k, lda, sa),
                   matrix(b, type_b, tb, k, n, ldb, sb), load(beta, 0, factors),
                   matrix(c, type_c, 0, m, n, ldc, sc), batches);
}

int cublasCreate_v2(void **handle) { return *handle = (void *)1, 0; }
int cublasDestroy_v2(void *handle) { return (void)handle, 0; }
int cublasSetStream_v2(void *handle, void *stream) { return (void)handle, (void)stream, 0; }

int curandCreateGenerator(void **generator, int type) { return (void)type, *generator = (void *)1, 0; }
int curandDestroyGenerator(void *generator) { return (void)generator, 0; }
int curandSetStream(void *generator, void *stream) { return (void)generator, (void)stream, 0; }
int curandSetPseudoRandomGeneratorSeed(void *generator, unsigned long long seed) {
    return (void)generator, (void)seed, 0;
}

// Normal numbers, the same on every run.
static double normal(void) {
    static uint64_t state = 1;
    double sum = -6;
    for (int i = 0; i < 12; ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        sum += (double)(state >> 40) / (1 << 24);
    }
    return sum;
}

static int fill(uint64_t to, size_t n, Type type, double mean, double deviation) {
    must(cuCtxSynchronize(), "synchronise");
    void *host = malloc(n * size_of(type) + 1);
    for (size_t i = 0; i < n; ++i) store(host, i, type, mean + deviation * normal());
    must(cuMemcpyHtoD_v2(to, host, n * size_of(type)), "copy to the device");
    free(host);
    return 0;
}

int curandGenerateNormal(void *generator, uint64_t to, size_t n, float mean, float deviation) {
    return (void)generator, fill(to, n, F32, mean, deviation);
}
int curandGenerateNormalDouble(void *generator, uint64_t to, size_t n, double mean,
                               double deviation) {
    return (void)generator, fill(to, n, F64, mean, deviation);
}
