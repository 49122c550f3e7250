// SPDX-License-Identifier: Apache-2.0
/// @file
/// The program `buddy-harness`.
#include "harness/commands/command.hpp"

int main(int argc, char** argv) { return harness::run_program(argc, argv); }
