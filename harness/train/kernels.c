// SPDX-License-Identifier: Apache-2.0
/// @file
/// CPU kernels of the reference model's forward and backward pass, for one thread.
///
/// Plain PyTorch runs each expert as half a dozen small operators; here one matrix product per expert works on the
/// tokens that chose it. All arrays are contiguous float32 in row-major order unless a shape in brackets says more.
/// The mathematics of each function is the function of the same name in model.py.

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

/// Attention works on this many queries at a time, so that most of the masked future is never computed.
enum { query_block = 64, max_experts = 1024 };

static float* floats(size_t count)
{
    size_t const bytes = (count * sizeof(float) + 63) / 64 * 64;
    float* const memory = aligned_alloc(64, bytes ? bytes : 64);
    if (!memory)
        abort();
    return memory;
}

/// c = scale * op(a) op(b) + keep * c, with op(a) [m, k], op(b) [k, n].
static void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, int m, int n, int k, float scale, float const* a, int lda,
                    float const* b, int ldb, float keep, float* c, int ldc)
{
    cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, scale, a, lda, b, ldb, keep, c, ldc);
}

/// Sorts the assignments by expert (counting sort, stable).
/// @param ids       [n_tokens, top_k] expert of each assignment, weights [n_tokens, top_k]
/// @param begin     [n_experts + 1] out: expert e owns the places [begin[e], begin[e + 1])
/// @param token_of  [n_tokens * top_k] out: token of each place
/// @param place_of  [n_tokens, top_k] out: place of each assignment
/// @param placed    [n_tokens * top_k] out: weight of each place
void sort_by_expert(int n_tokens, int top_k, int n_experts, int64_t const* ids, float const* weights, int32_t* begin,
                    int32_t* token_of, int32_t* place_of, float* placed)
{
    int32_t next[max_experts];
    memset(begin, 0, sizeof(int32_t) * (size_t)(n_experts + 1));
    for (int i = 0; i < n_tokens * top_k; ++i)
        ++begin[ids[i] + 1];
    for (int e = 0; e < n_experts; ++e)
        begin[e + 1] += begin[e];
    memcpy(next, begin, sizeof(int32_t) * (size_t)n_experts);
    for (int i = 0; i < n_tokens * top_k; ++i) {
        int32_t const place = next[ids[i]]++;
        token_of[place] = i / top_k;
        place_of[i] = place;
        placed[place] = weights[i];
    }
}

static int largest_group(int n_experts, int32_t const* begin)
{
    int largest = 0;
    for (int e = 0; e < n_experts; ++e)
        if (begin[e + 1] - begin[e] > largest)
            largest = begin[e + 1] - begin[e];
    return largest;
}

static void gather_rows(int n, int width, int32_t const* rows, float const* from, float* to)
{
    for (int i = 0; i < n; ++i)
        memcpy(to + (size_t)i * width, from + (size_t)rows[i] * width, sizeof(float) * (size_t)width);
}

/// to[rows[i]] += factors[i] * from[i]; without factors they are 1.
static void scatter_add(int n, int width, int32_t const* rows, float const* factors, float const* from, float* to)
{
    for (int i = 0; i < n; ++i) {
        float const factor = factors ? factors[i] : 1.0F;
        float const* in = from + (size_t)i * width;
        float* restrict out = to + (size_t)rows[i] * width;
        for (int d = 0; d < width; ++d)
            out[d] += factor * in[d];
    }
}

/// act = silu(gate) * up for n rows of gate_up [n, 2 hidden].
static void swiglu(int n, int hidden, float const* gate_up, float* act)
{
    for (int i = 0; i < n; ++i) {
        float const* gate = gate_up + (size_t)i * 2 * hidden;
        float* out = act + (size_t)i * hidden;
        for (int h = 0; h < hidden; ++h)
            out[h] = gate[h] / (1.0F + expf(-gate[h])) * gate[hidden + h];
    }
}

/// Backward through weight * silu(gate) * up for n rows.
/// @param d_act        [n, hidden] gradient of the weighted activation
/// @param act          [n, hidden] out: the weighted activation
/// @param d_gate_up    [n, 2 hidden] out
/// @param d_weights    [n] out: the product of activation and gradient; saves keeping the expert's output
static void swiglu_backward(int n, int hidden, float const* gate_up, float const* weights, float const* d_act,
                            float* act, float* d_gate_up, float* d_weights)
{
    for (int i = 0; i < n; ++i) {
        float const* gate = gate_up + (size_t)i * 2 * hidden;
        float const* d = d_act + (size_t)i * hidden;
        float* out = act + (size_t)i * hidden;
        float* d_gate = d_gate_up + (size_t)i * 2 * hidden;
        float const weight = weights[i];
        float dot = 0;
        for (int h = 0; h < hidden; ++h) {
            float const up = gate[hidden + h], sigmoid = 1.0F / (1.0F + expf(-gate[h])), silu = gate[h] * sigmoid;
            dot += silu * up * d[h];
            out[h] = weight * silu * up;
            d_gate[hidden + h] = weight * d[h] * silu;
            d_gate[h] = weight * d[h] * up * (sigmoid + silu * (1.0F - sigmoid));
        }
        d_weights[i] = dot;
    }
}

/// The mixture of experts. Outputs are added to their tokens expert by expert, while they are still in the cache.
/// @param x        [n_tokens, width]
/// @param placed   [n_tokens * top_k] routing weight of each place (see sort_by_expert)
/// @param w_up     [n_experts, 2 hidden, width] gate rows, then up rows; w_down [n_experts, width, hidden]
/// @param gate_up  [n_tokens * top_k, 2 hidden] out, kept for the backward pass
/// @param out      [n_tokens, width]
void experts_forward(int n_tokens, int n_experts, int width, int hidden, int32_t const* begin, int32_t const* token_of,
                     float const* x, float const* placed, float const* w_up, float const* w_down, float* gate_up,
                     float* out)
{
    size_t const largest = (size_t)largest_group(n_experts, begin);
    float *const rows = floats(largest * width), *const act = floats(largest * hidden);
    memset(out, 0, sizeof(float) * (size_t)n_tokens * width);
    for (int e = 0; e < n_experts; ++e) {
        size_t const first = (size_t)begin[e], up = (size_t)e * 2 * hidden * width, down = (size_t)e * width * hidden;
        int const n = begin[e + 1] - begin[e];
        float* const gu = gate_up + first * 2 * hidden;
        if (n == 0)
            continue;
        gather_rows(n, width, token_of + first, x, rows);
        product(CblasNoTrans, CblasTrans, n, 2 * hidden, width, 1, rows, width, w_up + up, width, 0, gu, 2 * hidden);
        swiglu(n, hidden, gu, act);
        product(CblasNoTrans, CblasTrans, n, width, hidden, 1, act, hidden, w_down + down, hidden, 0, rows, width);
        scatter_add(n, width, token_of + first, placed + first, rows, out);
    }
    free(rows);
    free(act);
}

/// Backward pass of experts_forward; d_w_up and d_w_down are added to, the others are written.
/// @param d_placed  [n_tokens * top_k] gradient of the routing weight of each place
void experts_backward(int n_tokens, int n_experts, int width, int hidden, int32_t const* begin, int32_t const* token_of,
                      float const* x, float const* placed, float const* w_up, float const* w_down,
                      float const* gate_up, float const* d_out, float* d_x, float* d_placed,
                      float* d_w_up, float* d_w_down)
{
    size_t const largest = (size_t)largest_group(n_experts, begin);
    float *const rows = floats(largest * width), *const d_y = floats(largest * width);
    float *const act = floats(largest * hidden), *const d_act = floats(largest * hidden);
    float* const d_gu = floats(largest * 2 * hidden);
    memset(d_x, 0, sizeof(float) * (size_t)n_tokens * width);
    for (int e = 0; e < n_experts; ++e) {
        size_t const first = (size_t)begin[e], up = (size_t)e * 2 * hidden * width, down = (size_t)e * width * hidden;
        int const n = begin[e + 1] - begin[e], twice = 2 * hidden;
        if (n == 0)
            continue;
        gather_rows(n, width, token_of + first, x, rows);
        gather_rows(n, width, token_of + first, d_out, d_y);
        product(CblasNoTrans, CblasNoTrans, n, hidden, width, 1, d_y, width, w_down + down, hidden, 0, d_act, hidden);
        swiglu_backward(n, hidden, gate_up + first * twice, placed + first, d_act, act, d_gu, d_placed + first);
        product(CblasTrans, CblasNoTrans, width, hidden, n, 1, d_y, width, act, hidden, 1, d_w_down + down, hidden);
        product(CblasTrans, CblasNoTrans, twice, width, n, 1, d_gu, twice, rows, width, 1, d_w_up + up, width);
        product(CblasNoTrans, CblasNoTrans, n, width, twice, 1, d_gu, twice, w_up + up, width, 0, d_y, width);
        scatter_add(n, width, token_of + first, NULL, d_y, d_x);
    }
    float* const scratch[] = {rows, d_y, act, d_act, d_gu};
    for (size_t i = 0; i < sizeof scratch / sizeof *scratch; ++i)
        free(scratch[i]);
}

/// Softmax of one row over its first `visible` scores; the rest of the row becomes 0.
static void causal_softmax(float* row, int visible, int length)
{
    float highest = -INFINITY, sum = 0;
    for (int j = 0; j < visible; ++j)
        highest = row[j] > highest ? row[j] : highest;
    for (int j = 0; j < visible; ++j) {
        row[j] = expf(row[j] - highest);
        sum += row[j];
    }
    for (int j = 0; j < visible; ++j)
        row[j] /= sum;
    for (int j = visible; j < length; ++j)
        row[j] = 0;
}

/// Causal attention with grouped keys and values.
/// @param q      [batch, length, heads, size], k and v [batch, length, groups, size]
/// @param probs  [batch, heads, length, length] out, kept for the backward pass
/// @param out    [batch, length, heads, size]
void attention_forward(int batch, int length, int heads, int groups, int size, float const* q, float const* k,
                       float const* v, float* probs, float* out)
{
    int const q_step = heads * size, k_step = groups * size;
    float const scale = 1.0F / sqrtf((float)size);
    for (int bh = 0; bh < batch * heads; ++bh) {
        size_t const qo = (size_t)(bh / heads) * length * q_step + (size_t)(bh % heads) * size;
        size_t const ko = (size_t)(bh / heads) * length * k_step + (size_t)(bh % heads / (heads / groups)) * size;
        for (int first = 0; first < length; first += query_block) {
            int const m = length - first < query_block ? length - first : query_block, n = first + m;
            float* const p = probs + ((size_t)bh * length + first) * length;
            size_t const qf = qo + (size_t)first * q_step;
            product(CblasNoTrans, CblasTrans, m, n, size, scale, q + qf, q_step, k + ko, k_step, 0, p, length);
            for (int i = 0; i < m; ++i)
                causal_softmax(p + (size_t)i * length, first + i + 1, n);
            product(CblasNoTrans, CblasNoTrans, m, size, n, 1, p, length, v + ko, k_step, 0, out + qf, q_step);
        }
    }
}

/// Derivative of softmax, in place, for m rows of n scores: d = p * (d - sum(p * d)) * scale.
static void softmax_backward(int m, int n, int step, float const* probs, float* d, float scale)
{
    for (int i = 0; i < m; ++i) {
        float const* p = probs + (size_t)i * step;
        float* row = d + (size_t)i * step;
        float sum = 0;
        for (int j = 0; j < n; ++j)
            sum += p[j] * row[j];
        for (int j = 0; j < n; ++j)
            row[j] = p[j] * (row[j] - sum) * scale;
    }
}

/// Backward pass of attention_forward; writes d_q, d_k and d_v.
void attention_backward(int batch, int length, int heads, int groups, int size, float const* q, float const* k,
                        float const* v, float const* probs, float const* d_out, float* d_q, float* d_k, float* d_v)
{
    int const q_step = heads * size, k_step = groups * size;
    float* const d_p = floats((size_t)query_block * length);
    memset(d_k, 0, sizeof(float) * (size_t)batch * length * k_step);
    memset(d_v, 0, sizeof(float) * (size_t)batch * length * k_step);
    for (int bh = 0; bh < batch * heads; ++bh) {
        size_t const qo = (size_t)(bh / heads) * length * q_step + (size_t)(bh % heads) * size;
        size_t const ko = (size_t)(bh / heads) * length * k_step + (size_t)(bh % heads / (heads / groups)) * size;
        for (int first = 0; first < length; first += query_block) {
            int const m = length - first < query_block ? length - first : query_block, n = first + m;
            float const* const p = probs + ((size_t)bh * length + first) * length;
            size_t const qf = qo + (size_t)first * q_step;
            product(CblasNoTrans, CblasTrans, m, n, size, 1, d_out + qf, q_step, v + ko, k_step, 0, d_p, length);
            product(CblasTrans, CblasNoTrans, n, size, m, 1, p, length, d_out + qf, q_step, 1, d_v + ko, k_step);
            softmax_backward(m, n, length, p, d_p, 1.0F / sqrtf((float)size));
            product(CblasNoTrans, CblasNoTrans, m, size, n, 1, d_p, length, k + ko, k_step, 0, d_q + qf, q_step);
            product(CblasTrans, CblasNoTrans, n, size, m, 1, d_p, length, q + qf, q_step, 1, d_k + ko, k_step);
        }
    }
    free(d_p);
}
