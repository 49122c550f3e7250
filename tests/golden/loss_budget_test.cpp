// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <buddy/error.hpp>
#include <buddy/loss_budget.hpp>
#include <buddy/policy_config.hpp>

using buddy::loss_budget;

TEST_CASE("without a target nothing is limited", "[golden][loss_budget]") {
  loss_budget budget({}, 4);
  CHECK_FALSE(budget.limits());
  CHECK(budget.left().allowance_ub == buddy::loss_limits::no_limit);
  budget.push(1000);
  CHECK(budget.left().allowance_ub == buddy::loss_limits::no_limit);
}

TEST_CASE("a window has what its rows may lose less what they lost", "[golden][loss_budget]") {
  // 1000 ub a token, 2 layers: 500 a row; 3 tokens: a window of 6 rows, 3000. The cap of 4 is 2000.
  loss_budget budget({.target_ub = 1000, .window_tokens = 3, .cap_tokens = 4}, 2);
  CHECK(budget.left().allowance_ub == 500);  // the first row alone
  budget.push(0);
  CHECK(budget.left().allowance_ub == 1000);  // two rows
  budget.push(900);
  CHECK(budget.left().allowance_ub == 600);  // 3 x 500 - 900
  for (int i = 0; i != 3; ++i) budget.push(0);
  CHECK(budget.left().allowance_ub == 2000);  // 6 x 500 - 900 = 2100, and the cap is lower
  budget.push(2000);
  CHECK(budget.left().allowance_ub == 100);  // 3000 - 2900: the oldest row, which lost nothing, leaves
  budget.push(0);
  CHECK(budget.left().allowance_ub == 1000);  // the row that lost 900 leaves: 3000 - 2000
}

TEST_CASE("the price starts at a row's target, rises where nothing is lost and falls where much is",
          "[golden][loss_budget]") {
  // 2048 ub a token, 2 layers: 1024 a row, log2 10. The first step is 2^(1/16): 1024 x 1.0443 = 1069.3.
  loss_budget budget({.target_ub = 2048}, 2);
  CHECK(budget.left().fetch_worth_ub == 1024);
  budget.push(0);
  CHECK(budget.left().fetch_worth_ub == 1069);
  // The second step is 64/65 as long. 3 x 1024 lost: down by two of it: 2^(10 + (1 - 2 x 64 / 65) / 16) = 981.8.
  budget.push(3072);
  CHECK(budget.left().fetch_worth_ub == 981);
}

TEST_CASE("another target moves the price with it, and none stops all", "[golden][loss_budget]") {
  loss_budget budget({.target_ub = 2048, .window_tokens = 1}, 2);
  budget.set_target(512);  // 256 a row
  CHECK(budget.left().fetch_worth_ub == 256);
  CHECK(budget.left().allowance_ub == 256);
  budget.set_target(0);
  CHECK(budget.left().allowance_ub == 0);
  budget.set_target(2048);
  CHECK(budget.left().fetch_worth_ub == 1024);
}

TEST_CASE("a budget says which option is out of range", "[golden][loss_budget]") {
  CHECK_THROWS_AS(loss_budget({.target_ub = buddy::max_target_ub + 1}, 1), buddy::config_error);
  CHECK_THROWS_AS(loss_budget({.target_ub = 1, .window_tokens = 0}, 1), buddy::config_error);
  CHECK_THROWS_AS(loss_budget({.target_ub = 1, .window_tokens = 65537}, 1), buddy::config_error);
  CHECK_THROWS_AS(loss_budget({.target_ub = 1, .cap_tokens = 0}, 1), buddy::config_error);
  buddy::policy_config c;
  c.loss.target_ub = 1;
  CHECK_THROWS_AS(validate(c), buddy::config_error);  // needs the order
  c.order = buddy::budget_order::least_loss;
  CHECK_NOTHROW(validate(c));
}
