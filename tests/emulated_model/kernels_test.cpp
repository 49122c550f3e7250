// SPDX-License-Identifier: Apache-2.0
// The kernels of the reference model, run by fibers, against the CPU's layers and against sums in double.
#include "harness/model/cuda/kernels.hpp"

#include "catch.hpp"
#include "harness/model/cpu/layers.hpp"
#include "random_floats.hpp"
#include "relative_difference.hpp"

#include <buddy/io/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace device = harness::device;

namespace {

constexpr float poison = 1e30F;

}  // namespace

TEST_CASE("the norm kernel gives what the CPU's gives, and the same in 16 bits", "[emulated][model]") {
  for (std::uint32_t const n : {1U, 24U, 256U, 1000U}) {
    auto const x = random_floats(n, 10 + n);
    auto const gain = random_floats(n, 20 + n);
    std::vector<float> y(n + 1, poison);
    std::vector<float> expected(n);
    std::vector<std::uint16_t> half(n + 1, 7);
    harness::cpu::rms_norm(x, gain, 1e-6F, expected);
    REQUIRE(device::rms_norm({x.data(), gain.data(), y.data(), half.data(), buddy::weight_type::bf16, n, 1e-6F}, {}) ==
            cudaSuccess);
    CHECK(relative_difference(y, expected) < 1e-5);
    for (std::uint32_t i = 0; i != n; ++i) CHECK(half[i] == buddy::io::f32_to_bf16(y[i]));
    CHECK((y[n] == poison && half[n] == 7));
    auto in_place = x;
    REQUIRE(device::rms_norm({in_place.data(), gain.data(), in_place.data(), nullptr, {}, n, 1e-6F}, {}) ==
            cudaSuccess);
    CHECK(std::equal(in_place.begin(), in_place.end(), y.begin()));
  }
}

TEST_CASE("the product kernel multiplies rows, and adds in place", "[emulated][model]") {
  for (std::uint32_t const rows : {1U, 7U, 8U}) {
    for (std::uint32_t const n : {1U, 33U, 160U}) {
      auto const a = random_floats(std::size_t{rows} * n, rows * 1000 + n);
      auto const x = random_floats(n, 30 + n);
      auto const base = random_floats(rows, 40 + rows);
      std::vector<double> product(rows);
      for (std::uint32_t r = 0; r != rows; ++r)
        for (std::uint32_t i = 0; i != n; ++i)
          product[r] += static_cast<double>(a[std::size_t{r} * n + i]) * static_cast<double>(x[i]);
      std::vector<float> y(rows + 1, poison);
      REQUIRE(device::multiply({a.data(), x.data(), nullptr, y.data(), rows, n}, {}) == cudaSuccess);
      CHECK(relative_difference(y, product) < 1e-5);
      auto sum = base;
      REQUIRE(device::multiply({a.data(), x.data(), sum.data(), sum.data(), rows, n}, {}) == cudaSuccess);
      for (std::uint32_t r = 0; r != rows; ++r) CHECK(sum[r] == base[r] + y[r]);
      CHECK(y[rows] == poison);
    }
  }
}

TEST_CASE("the sum kernel adds and keeps to its bounds", "[emulated][model]") {
  for (std::uint32_t const n : {1U, 128U, 129U}) {
    auto const x = random_floats(n, 50);
    auto y = random_floats(n + 1, 51);
    auto const before = y;
    REQUIRE(device::add(x.data(), y.data(), n, {}) == cudaSuccess);
    for (std::uint32_t i = 0; i != n; ++i) CHECK(y[i] == before[i] + x[i]);
    CHECK(y[n] == before[n]);
  }
}

namespace {

/// Heads of one layer, and what they should do, in double.
struct attention_case {
  std::uint32_t n_heads, n_kv_heads, head_dim, capacity;
  std::vector<float> q_norm, k_norm, cosines, sines, keys, values;
  std::vector<std::vector<double>> true_keys, true_values;  // [positions] of [n_kv_heads, head_dim]

  attention_case(std::uint32_t heads, std::uint32_t kv_heads, std::uint32_t dim, std::uint32_t positions)
      : n_heads{heads},
        n_kv_heads{kv_heads},
        head_dim{dim},
        capacity{positions},
        q_norm{random_floats(dim, 60)},
        k_norm{random_floats(dim, 61)},
        keys(std::size_t{kv_heads} * positions * dim, std::nanf("")),
        values{keys} {
    auto const angles = random_floats(std::size_t{positions} * dim / 2, 62);
    for (float const a : angles) {
      cosines.push_back(std::cos(a));
      sines.push_back(std::sin(a));
    }
  }

  [[nodiscard]] std::vector<double> turned(float const* x, std::vector<float> const& gain, std::uint32_t at) const {
    double squares = 0;
    for (std::uint32_t i = 0; i != head_dim; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    double const scale = 1.0 / std::sqrt(squares / head_dim + 1e-6);
    std::uint32_t const half = head_dim / 2;
    std::vector<double> y(head_dim);
    for (std::uint32_t i = 0; i != half; ++i) {
      double const c = static_cast<double>(cosines[std::size_t{at} * half + i]);
      double const s = static_cast<double>(sines[std::size_t{at} * half + i]);
      double const a = static_cast<double>(x[i]) * scale * static_cast<double>(gain[i]);
      double const b = static_cast<double>(x[i + half]) * scale * static_cast<double>(gain[i + half]);
      y[i] = a * c - b * s;
      y[i + half] = b * c + a * s;
    }
    return y;
  }

  void remember(std::vector<float> const& qkv, std::uint32_t at) {
    auto& k = true_keys.emplace_back();
    auto& v = true_values.emplace_back();
    for (std::uint32_t g = 0; g != n_kv_heads; ++g) {
      auto const key = turned(qkv.data() + std::size_t{n_heads + g} * head_dim, k_norm, at);
      k.insert(k.end(), key.begin(), key.end());
      float const* const value = qkv.data() + std::size_t{n_heads + n_kv_heads + g} * head_dim;
      v.insert(v.end(), value, value + head_dim);
    }
  }

  [[nodiscard]] std::vector<double> expected(std::vector<float> const& qkv, std::uint32_t at) const {
    std::vector<double> out;
    for (std::uint32_t h = 0; h != n_heads; ++h) {
      std::size_t const g = std::size_t{h / (n_heads / n_kv_heads)} * head_dim;
      auto const query = turned(qkv.data() + std::size_t{h} * head_dim, q_norm, at);
      std::vector<double> weights, mixed(head_dim);
      double sum = 0;
      for (auto const& key : true_keys) {
        double score = 0;
        for (std::uint32_t i = 0; i != head_dim; ++i) score += query[i] * key[g + i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(head_dim))));
        sum += weights.back();
      }
      for (std::size_t p = 0; p != weights.size(); ++p)
        for (std::uint32_t i = 0; i != head_dim; ++i) mixed[i] += weights[p] / sum * true_values[p][g + i];
      out.insert(out.end(), mixed.begin(), mixed.end());
    }
    return out;
  }
};

}  // namespace

TEST_CASE("the attention kernels see this position and all before, and nothing behind", "[emulated][model]") {
  struct sizes {
    std::uint32_t n_heads, n_kv_heads, head_dim, positions;
  };
  for (sizes const s : {sizes{4, 2, 10, 11}, sizes{2, 2, 64, 6}, sizes{3, 1, 256, 5}}) {
    attention_case c(s.n_heads, s.n_kv_heads, s.head_dim, s.positions);
    for (std::uint32_t p = 0; p != s.positions; ++p) {
      auto qkv = random_floats(std::size_t{s.n_heads + 2 * s.n_kv_heads} * s.head_dim, 70 + p);
      c.remember(qkv, p);
      auto const expected = c.expected(qkv, p);
      std::vector<float> attended(expected.size() + 1, poison);
      device::attention_arrays const a{qkv.data(),
                                       c.q_norm.data(),
                                       c.k_norm.data(),
                                       c.cosines.data(),
                                       c.sines.data(),
                                       c.keys.data(),
                                       c.values.data(),
                                       attended.data(),
                                       s.n_heads,
                                       s.n_kv_heads,
                                       s.head_dim,
                                       s.positions,
                                       p,
                                       1e-6F};
      REQUIRE(device::store_heads(a, {}) == cudaSuccess);
      REQUIRE(device::attend(a, {}) == cudaSuccess);
      CHECK(relative_difference(attended, expected) < 1e-5);
      CHECK(attended.back() == poison);
    }
  }
}

TEST_CASE("a head that does not fit into registers is refused", "[emulated][model]") {
  device::attention_arrays a{};
  a.head_dim = device::max_head_dim + 2;
  CHECK(device::attend(a, {}) == cudaErrorInvalidValue);
}
