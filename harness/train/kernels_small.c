// SPDX-License-Identifier: Apache-2.0
/// @file
/// Row-wise CPU kernels (normalisation, rotary positions) and the optimiser, for one thread.
///
/// All arrays are contiguous float32; see kernels.c for the large kernels and model.py for the mathematics.

#include <math.h>
#include <stddef.h>

/// y = x * weight / sqrt(mean(x^2) + epsilon) for each row; keeps 1 / sqrt(...) in inverse [n_rows].
void rms_norm_forward(int n_rows, int width, float epsilon, float const* x, float const* weight, float* y,
                      float* inverse)
{
    for (int r = 0; r < n_rows; ++r) {
        float const* in = x + (size_t)r * width;
        float* out = y + (size_t)r * width;
        float sum = 0;
        for (int d = 0; d < width; ++d)
            sum += in[d] * in[d];
        inverse[r] = 1.0F / sqrtf(sum / (float)width + epsilon);
        for (int d = 0; d < width; ++d)
            out[d] = in[d] * inverse[r] * weight[d];
    }
}

/// Writes d_x and adds to d_weight [width].
void rms_norm_backward(int n_rows, int width, float const* x, float const* weight, float const* inverse,
                       float const* d_y, float* d_x, float* d_weight)
{
    for (int r = 0; r < n_rows; ++r) {
        float const *in = x + (size_t)r * width, *d = d_y + (size_t)r * width;
        float* out = d_x + (size_t)r * width;
        float const s = inverse[r];
        float dot = 0;
        for (int i = 0; i < width; ++i) {
            dot += d[i] * weight[i] * in[i];
            d_weight[i] += d[i] * in[i] * s;
        }
        float const pull = dot * s * s * s / (float)width;
        for (int i = 0; i < width; ++i)
            out[i] = d[i] * weight[i] * s - in[i] * pull;
    }
}

/// Rotates the pairs (i, i + size / 2) of each head by its position; direction +1 forward, -1 backward.
/// @param x [batch, length, heads, size], cosine and sine [length, size / 2]
void rotate(int batch, int length, int heads, int size, float const* x, float const* cosine, float const* sine,
            float direction, float* y)
{
    int const half = size / 2;
    for (int row = 0; row < batch * length * heads; ++row) {
        int const position = row / heads % length;
        float const *c = cosine + (size_t)position * half, *s = sine + (size_t)position * half;
        float const* in = x + (size_t)row * size;
        float* out = y + (size_t)row * size;
        for (int i = 0; i < half; ++i) {
            out[i] = in[i] * c[i] - direction * in[half + i] * s[i];
            out[half + i] = in[half + i] * c[i] + direction * in[i] * s[i];
        }
    }
}

/// Sum over n of (a + b)^2: blocks in float, their total in double, so that the result is exact enough and fast.
double sum_of_squares(size_t n, float const* a, float const* b)
{
    double total = 0;
    for (size_t first = 0; first < n; first += 4096) {
        size_t const last = first + 4096 < n ? first + 4096 : n;
        float block = 0;
        for (size_t i = first; i < last; ++i)
            block += (a[i] + b[i]) * (a[i] + b[i]);
        total += block;
    }
    return total;
}

/// One AdamW step on n parameters for the gradient scale * (grad_a + grad_b).
/// @param decay [n] weight decay; correction_1 = 1 / (1 - beta_1^step), likewise correction_2
/// Source: Loshchilov and Hutter, arXiv:1711.05101.
void adamw(size_t n, float* p, float const* grad_a, float const* grad_b, float scale, float* m, float* v, float rate,
           float const* decay, float beta_1, float beta_2, float correction_1, float correction_2, float epsilon)
{
    for (size_t i = 0; i < n; ++i) {
        float const g = (grad_a[i] + grad_b[i]) * scale;
        m[i] = beta_1 * m[i] + (1 - beta_1) * g;
        v[i] = beta_2 * v[i] + (1 - beta_2) * g * g;
        p[i] -= rate * (m[i] * correction_1 / (sqrtf(v[i] * correction_2) + epsilon) + decay[i] * p[i]);
    }
}
