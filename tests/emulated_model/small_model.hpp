// SPDX-License-Identifier: Apache-2.0
// A model and a text that fibers can do.
#pragma once

#include "harness/random_model.hpp"
#include "harness/run/session.hpp"
#include "harness/temporary_folder.hpp"

#include <buddy/io/write_file.hpp>

#include <string>

struct small_model {
  small_model() {
    harness::model_config c = random_model::tiny();
    c.hidden_size = 16;
    c.n_heads = c.n_kv_heads = 1;
    c.head_dim = 8;
    c.n_experts = 8;
    c.top_k = 3;
    c.expert_hidden = 8;
    c.vocab_size = 256;
    random_model::write(c, folder.path(), 3);
    buddy::io::write_file(file("text.txt"), "a text of thirty bytes or so.\n");
  }

  [[nodiscard]] std::string file(std::string const& name) const { return (folder.path() / name).string(); }

  [[nodiscard]] harness::session_options options(harness::backend_kind backend) const {
    harness::session_options o;
    o.backend = backend;
    o.model = folder.path();
    o.shape = "reference";
    o.evaluation.text = file("text.txt");
    o.evaluation.tasks = false;
    o.evaluation.n_tokens = 10;  // fibers are slow
    return o;
  }

  temporary_folder folder;
};
