// SPDX-License-Identifier: Apache-2.0
// The part of a host that reads and writes files: compiled only where nlohmann-json is.
#include <buddy/io/profile_io.hpp>
#include <buddy/io/trace_io.hpp>
