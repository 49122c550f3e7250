// SPDX-License-Identifier: Apache-2.0
// A host in its smallest form. Also compiled with -fno-exceptions.
#include <buddy/model_shape.hpp>
#include <buddy/version.hpp>

int main() {
  constexpr buddy::model_shape shape{.n_layers = 2, .n_experts = 8, .top_k = 2, .expert_bytes = 16};
  buddy::validate(shape);
  return shape.index({1, 3}) == 11 ? 0 : 1;  // layer 1 begins at 8
}
