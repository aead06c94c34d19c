#pragma once

#include <string>

namespace sluice::config {

// The config as a JSON Schema, draft 2020-12, derived from the field lists (base/fields.h): every
// key with type, range, default and what it means, and no other key. For editors and generators.
//
// What a schema cannot say stays with check_config: which keys go together, and that an integer is
// written without a point (2.0 is one to a schema). Comments, which config files may hold, are no
// matter of schemas. Source: https://json-schema.org/draft/2020-12/json-schema-validation
std::string schema_json();

}  // namespace sluice::config
