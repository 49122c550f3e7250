// SPDX-License-Identifier: Apache-2.0
/// @file
/// The last figure that names a field gives it.
#include "harness/calibrate/calibration_profile.hpp"

#include "harness/report/provenance.hpp"
#include "harness/report/text_table.hpp"

#include <buddy/error.hpp>

#include <nlohmann/json.hpp>

namespace harness {

calibrated_hardware profile_from(hardware const& base, std::span<figure const> figures, std::string const& name) {
  calibrated_hardware c{base, {}};
  c.machine.name = name;
  for (hardware_field const& f : hardware_fields()) c.source[std::string{f.name}] = "base: " + base.name;
  for (figure const& x : figures) {
    if (x.field.empty()) continue;
    hardware_field const* const f = find_hardware_field(x.field);
    if (f == nullptr) throw buddy::config_error("calibrate: no profile has a field " + x.field);
    if (!(x.value >= f->least && x.value <= f->most))
      throw buddy::config_error("calibrate: " + x.name + " came out as " + fixed(x.value, 3) +
                                ", which no machine has");
    c.machine.*f->value = x.value;
    c.source[x.field] = "measured";
  }
  return c;
}

void print_calibration(std::ostream& out, std::span<figure const> figures, calibrated_hardware const& profile) {
  text_table measured{{"measured", "median", "least", "most", "unit"}};
  for (figure const& f : figures)
    measured.add({f.name, fixed(f.value, 2), fixed(f.least, 2), fixed(f.most, 2), f.unit});
  measured.print(out);
  out << '\n';
  text_table fields{{"profile " + profile.machine.name, "value", "source"}};
  for (hardware_field const& f : hardware_fields())
    fields.add({std::string{f.name}, fixed(profile.machine.*f.value, 2), profile.source.at(std::string{f.name})});
  fields.print(out);
}

std::string calibration_json(std::span<figure const> figures, calibrated_hardware const& profile) {
  nlohmann::ordered_json out{{"kind", "calibration"}, {"hardware", profile.machine.name}};
  out["machine"] = machine_name().value_or("");
  out["figures"] = nlohmann::ordered_json::array();
  for (figure const& f : figures)
    out["figures"].push_back({{"name", f.name},
                              {"unit", f.unit},
                              {"median", f.value},
                              {"least", f.least},
                              {"most", f.most},
                              {"field", f.field}});
  out["source"] = profile.source;
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace harness
