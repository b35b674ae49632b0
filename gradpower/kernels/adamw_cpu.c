/* One step of AdamW or Adam on powered gradients, in one pass over memory: reads p, g, m, v, writes p, m, v.

     x = powered_scale * sign(g') * (|g'| + offset)^power,  g' = gradient_scale * g;  x = 0 where g' = 0
     decoupled: p *= 1 - lr * weight_decay;  else x += weight_decay * p
     m = lerp(m, x, 1 - beta1);  v = beta2 * v + (1 - beta2) * x^2
     p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)

   Infinities and NaN pass through the power. x is flushed to 0 where |g|, |g'| or |x| is below FLT_MIN.

   The power has two forms. `powered` is plain C for all machines with fused multiply-add, for compilers to
   vectorise. `powered16` takes sixteen gradients by AVX-512 and tables that lie in registers, with half as
   many operations; it leaves powers above 4, and gradients so large that a table overflows, to `powered`.
   Tensors are cut between sixteens only, so that the number of threads changes no bit. */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) && !defined(GRADPOWER_PORTABLE)
#include <immintrin.h>
#define WIDE 1
#endif

#if !defined(__FP_FAST_FMAF) && !defined(__FMA__) && !defined(__ARM_FEATURE_FMA)
#error "this processor has no fused multiply-add"
#endif
#define FMA __builtin_fmaf

enum { LANES = 16, CHUNK = 16384, SERIAL = 32768 };

struct options {
    double power, offset, lr, beta1, beta2, weight_decay, epsilon, gradient_scale, powered_scale;
    int64_t decoupled, threads;
};

/* log2(1 + t) / t on [sqrt(1/2) - 1, sqrt(2) - 1] and 2^f on [0, 1]: the polynomials of degree 8 and 6
   through the function at the interval's Chebyshev nodes, lowest power first. log2 is off by 1.5e-8 at most, 2^f by
   2.6e-9 of itself. */
static const double LOG2[9] = {
    1.4426950035679822, -0.72134746824956245, 0.48091075345941256, -0.36069326813533616,
    0.28790326092450148, -0.2391698814010418, 0.21607822552243776, -0.20586188051276055, 0.1231096846719146};
static const float EXP2[7] = {
    1.0000000025307452f, 0.69314693275886686f, 0.24023045441230568f, 0.055480630196705328f,
    0.0096841863103423696f, 0.001239133183441148f, 0.00021865784786598053f};

/* What does not change within a call. `wide` is what powered16 needs:
     a = 2^(8 j + i - 127) * y with 0 <= i < 8 and 1 <= y < 2; j is the index of `far`, i and two bits of y
     that of `near` and `reciprocal`;  a^power = far * near * (1 + r)^power,  r = y * reciprocal - 1,
     |r| <= 1/9,  (1 + r)^power = 1 + r * series(r).  far = 2^(power * (8 (j + 1) - 127)) is that at the end
     of its octaves, so that it underflows only where the result does. */
struct powering {
    float power, power_rest, offset, gradient_scale, powered_scale, log2[9];
#ifdef WIDE
    struct { float series[4], far[32], near[32], reciprocal[LANES], smallest, largest; } wide;
#endif
};

struct adam {
    float decay, coupled, beta1, rest1, beta2, rest2, root, epsilon;
    int slow;
};

static inline uint32_t bits(float x) { uint32_t u; memcpy(&u, &x, sizeof u); return u; }
static inline float from_bits(uint32_t u) { float x; memcpy(&x, &u, sizeof x); return x; }

/* a = 2^e * (1 + t), 1 + t in [sqrt(1/2), sqrt(2)); power * log2(a) = n + f, n whole, f in about [0, 1).
   power is taken in two parts, power * e in fused operations: rounded, it would be off by 1e-5 at e = 100.
   n comes as the exponent field n + 127 in the low bits of `field`, by adding 1.5 * 2^23. */
static inline float powered(float g, const struct powering *k) {
    const float whole = 0x1.8p23f;
    float scaled = k->gradient_scale * g;
    float size = fabsf(g), a = FMA(fabsf(k->gradient_scale), size, k->offset);
    int32_t e = (int32_t)(bits(a) - 0x3f3504f3u) >> 23;
    float t = from_bits(bits(a) - ((uint32_t)e << 23)) - 1.0f, whole_e = (float)e;
    float s = k->log2[8];
    s = FMA(s, t, k->log2[7]), s = FMA(s, t, k->log2[6]), s = FMA(s, t, k->log2[5]);
    s = FMA(s, t, k->log2[4]), s = FMA(s, t, k->log2[3]), s = FMA(s, t, k->log2[2]);
    s = FMA(s, t, k->log2[1]), s = FMA(s, t, k->log2[0]);
    float field = FMA(k->power, whole_e, FMA(t, s, -0.5f)) + (whole + 127.0f);
    float f = FMA(k->power, whole_e, (whole + 127.0f) - field);
    f = FMA(k->power_rest, whole_e, f);
    f = FMA(t, s, f);
    float x = FMA(EXP2[6], f, EXP2[5]);
    x = FMA(x, f, EXP2[4]), x = FMA(x, f, EXP2[3]), x = FMA(x, f, EXP2[2]), x = FMA(x, f, EXP2[1]);
    x = FMA(x, f, EXP2[0]);
    field = field > whole ? field : whole;
    field = field < whole + 255.0f ? field : whole + 255.0f;
    x *= from_bits(bits(field) << 23);
    x = (fabsf(scaled) >= FLT_MIN) & (size >= FLT_MIN) ? x : 0.0f;
    x = from_bits(bits(x) | (bits(scaled) & 0x80000000u));
    return k->powered_scale * (a < INFINITY ? x : scaled);
}

#ifdef WIDE

/* The polynomial through ((1 + r)^power - 1) / r at the four Chebyshev nodes of |r| <= 1/9, by divided
   differences. For powers up to 4, 1 + r * series(r) is off by 1.1e-7 of (1 + r)^power at most. */
static void fit_series(double power, float *series) {
    double node[4], value[4], c[4] = {0};
    for (int i = 0; i < 4; i++) {
        node[i] = cos(3.14159265358979323846 * (2 * i + 1) / 8) / 9;
        value[i] = expm1(power * log1p(node[i])) / node[i];
    }
    for (int order = 1; order < 4; order++)
        for (int i = 3; i >= order; i--)
            value[i] = (value[i] - value[i - 1]) / (node[i] - node[i - order]);
    for (int i = 3; i >= 0; i--) {
        for (int j = 3; j > 0; j--) c[j] = c[j - 1] - node[i] * c[j];
        c[0] = value[i] - node[i] * c[0];
    }
    for (int i = 0; i < 4; i++) series[i] = (float)c[i];
}

/* `far` holds powered_scale as well, with the sign of gradient_scale. |g| from `largest` on, and NaN, go to
   `powered`; below `smallest` x is flushed to 0. Both keep 1e-6 clear of their limits for rounding. */
static void prepare_wide(const struct options *o, struct powering *k) {
    double scale = fabsf(k->gradient_scale), level = log2(fabsf(k->powered_scale));
    double factor = copysign(k->powered_scale, k->powered_scale * copysignf(1, k->gradient_scale));
    double first = exp2((-126 - level) / o->power), last = 0;
    fit_series(o->power, k->wide.series);
    for (int i = 0; i < LANES; i++) k->wide.reciprocal[i] = (float)(1 / (1.125 + 0.25 * (i & 3)));
    for (int i = 0; i < 32; i++) {
        double top = 8 * (i + 1) - 127, exponent = o->power * top;
        k->wide.near[i] = (float)exp2(o->power * ((i >> 2) - 8 - log2(k->wide.reciprocal[i & 15])));
        k->wide.far[i] = (float)(factor * exp2(exponent));
        if (exponent + level < 127) last = exp2(fmin(top, 127));
    }
    k->wide.smallest = (float)fmax(FLT_MIN, fmax(FLT_MIN, first - k->offset) / scale * (1 + 1e-6));
    k->wide.largest = (float)((last - k->offset) / scale * (1 - 1e-6));
    int usable = o->power <= 4 && scale > 0 && isfinite(scale) && isfinite(factor);
    if (!usable) k->wide.largest = -1;
}

static __attribute__((noinline)) __m512 powered_each(__m512 g, const struct powering *k) {
    float x[LANES];
    _mm512_storeu_ps(x, g);
    for (int i = 0; i < LANES; i++) x[i] = powered(x[i], k);
    return _mm512_loadu_ps(x);
}

static inline __m512 powered16(__m512 g, const struct powering *k) {
    __m512 size = _mm512_abs_ps(g);
    __mmask16 large = _mm512_cmp_ps_mask(size, _mm512_set1_ps(k->wide.largest), _CMP_NLT_UQ);
    if (__builtin_expect(large != 0, 0)) return powered_each(g, k);
    __m512 scale = _mm512_set1_ps(fabsf(k->gradient_scale));
    __m512 a = _mm512_fmadd_ps(size, scale, _mm512_set1_ps(k->offset));
    __m512i i = _mm512_srli_epi32(_mm512_castps_si512(a), 21);
    __m512i j = _mm512_srli_epi32(_mm512_castps_si512(a), 26);
    const float *n = k->wide.near, *f = k->wide.far;
    __m512 near = _mm512_permutex2var_ps(_mm512_loadu_ps(n), i, _mm512_loadu_ps(n + LANES));
    __m512 far = _mm512_permutex2var_ps(_mm512_loadu_ps(f), j, _mm512_loadu_ps(f + LANES));
    __m512 y = _mm512_getmant_ps(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
    __m512 reciprocal = _mm512_permutexvar_ps(i, _mm512_loadu_ps(k->wide.reciprocal));
    __m512 r = _mm512_fmsub_ps(y, reciprocal, _mm512_set1_ps(1));
    __m512 s = _mm512_set1_ps(k->wide.series[3]);
    s = _mm512_fmadd_ps(s, r, _mm512_set1_ps(k->wide.series[2]));
    s = _mm512_fmadd_ps(s, r, _mm512_set1_ps(k->wide.series[1]));
    s = _mm512_fmadd_ps(s, r, _mm512_set1_ps(k->wide.series[0]));
    __m512 x = _mm512_fmadd_ps(_mm512_mul_ps(near, r), s, near);
    __mmask16 counts = _mm512_cmp_ps_mask(size, _mm512_set1_ps(k->wide.smallest), _CMP_GE_OQ);
    x = _mm512_maskz_mul_ps(counts, x, far);
    /* x ^ (g & sign) */
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(x), _mm512_castps_si512(g),
                                                         _mm512_set1_epi32(INT32_MIN), 0x78));
}

static inline void update16(float *p, const float *g, float *m, float *v, const struct powering *k,
                            const struct adam *c) {
    __m512 x = powered16(_mm512_loadu_ps(g), k);
    __m512 q = _mm512_mul_ps(_mm512_loadu_ps(p), _mm512_set1_ps(c->decay));
    if (c->coupled != 0) x = _mm512_fmadd_ps(_mm512_set1_ps(c->coupled), q, x);
    __m512 old = _mm512_loadu_ps(m), d = _mm512_sub_ps(x, old);
    __m512 mean = c->slow ? _mm512_fmadd_ps(_mm512_set1_ps(c->rest1), d, old)
                          : _mm512_fnmadd_ps(_mm512_set1_ps(c->beta1), d, x);
    __m512 square = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(c->rest2), x), x);
    square = _mm512_fmadd_ps(_mm512_set1_ps(c->beta2), _mm512_loadu_ps(v), square);
    _mm512_storeu_ps(m, mean);
    _mm512_storeu_ps(v, square);
    __m512 root = _mm512_sqrt_ps(square);
    __m512 below = _mm512_fmadd_ps(root, _mm512_set1_ps(c->root), _mm512_set1_ps(c->epsilon));
    _mm512_storeu_ps(p, _mm512_sub_ps(q, _mm512_div_ps(mean, below)));
}

static void update_range(float *restrict p, const float *restrict g, float *restrict m, float *restrict v,
                         int64_t n, const struct powering *powering, const struct adam *adam) {
    const struct powering k = *powering;
    const struct adam c = *adam;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) update16(p + i, g + i, m + i, v + i, &k, &c);
    size_t rest = (size_t)(n - i) * sizeof(float);
    if (rest == 0) return;
    float tail[4][LANES] = {{0}};
    memcpy(tail[0], p + i, rest), memcpy(tail[1], g + i, rest), memcpy(tail[2], m + i, rest);
    memcpy(tail[3], v + i, rest);
    update16(tail[0], tail[1], tail[2], tail[3], &k, &c);
    memcpy(p + i, tail[0], rest), memcpy(m + i, tail[2], rest), memcpy(v + i, tail[3], rest);
}

#else

static inline void update(float *p, float x, float *m, float *v, const struct adam *c) {
    float q = *p * c->decay;
    if (c->coupled != 0) x = FMA(c->coupled, q, x);
    float d = x - *m;
    float mean = c->slow ? FMA(c->rest1, d, *m) : FMA(-c->beta1, d, x);
    float square = FMA(c->beta2, *v, c->rest2 * x * x);
    *m = mean;
    *v = square;
    *p = q - mean / FMA(sqrtf(square), c->root, c->epsilon);
}

static void update_range(float *restrict p, const float *restrict g, float *restrict m, float *restrict v,
                         int64_t n, const struct powering *powering, const struct adam *adam) {
    const struct powering k = *powering;
    const struct adam c = *adam;
    for (int64_t i = 0; i < n; i++) update(p + i, powered(g[i], &k), m + i, v + i, &c);
}

#endif

static void prepare(const struct options *o, struct powering *k) {
    k->power = (float)o->power;
    k->power_rest = (float)(o->power - k->power);
    k->offset = (float)o->offset;
    k->gradient_scale = (float)o->gradient_scale;
    k->powered_scale = (float)o->powered_scale;
    for (int i = 0; i < 9; i++) k->log2[i] = (float)(o->power * LOG2[i]);
#ifdef WIDE
    prepare_wide(o, k);
#endif
}

/* Divided by the step size: p -= m / (root * sqrt(v) + epsilon / step_size). If that overflows, no step. */
static struct adam at_step(const struct options *o, double step) {
    double step_size = o->lr / (1 - pow(o->beta1, step));
    double root = 1 / sqrt(1 - pow(o->beta2, step)) / step_size, epsilon = o->epsilon / step_size;
    int moves = fabs(root) <= FLT_MAX;
    struct adam c = {
        .decay = o->decoupled ? (float)(1 - o->lr * o->weight_decay) : 1.0f,
        .coupled = o->decoupled ? 0.0f : (float)o->weight_decay,
        .beta1 = (float)o->beta1, .rest1 = (float)(1 - o->beta1),
        .beta2 = (float)o->beta2, .rest2 = (float)(1 - o->beta2),
        .root = moves ? (float)root : 1.0f, .epsilon = moves ? (float)epsilon : INFINITY,
        .slow = 1 - o->beta1 < 0.5,
    };
    return c;
}

static int64_t clip_place(int64_t place, int64_t n) {
    int64_t aligned = place > 0 ? (place + LANES - 1) / LANES * LANES : 0;
    return aligned < n ? aligned : n;
}

/* The tensors laid end to end are cut into `chunks` parts, each tensor at multiples of LANES only. */
void gradpower_adamw(int64_t tensors, float *const *p, const float *const *g, float *const *m,
                     float *const *v, float *const *steps, const int64_t *sizes, const struct options *o) {
    struct powering k;
    prepare(o, &k);
    int64_t total = 0;
    for (int64_t i = 0; i < tensors; i++) *steps[i] += 1, total += sizes[i];
    int64_t threads = total > SERIAL ? o->threads : 1, chunks = (total + CHUNK - 1) / CHUNK;
    if (threads == 1) chunks = 1;
    if (chunks > 32 * threads) chunks = 32 * threads;
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        int64_t low = total / chunks * chunk, high = chunk + 1 < chunks ? low + total / chunks : total;
        int64_t start = 0;
        for (int64_t i = 0; i < tensors && start < high; start += sizes[i++]) {
            int64_t from = clip_place(low - start, sizes[i]), to = clip_place(high - start, sizes[i]);
            if (from >= to) continue;
            struct adam c = at_step(o, *steps[i]);
            update_range(p[i] + from, g[i] + from, m[i] + from, v[i] + from, to - from, &k, &c);
        }
    }
}
