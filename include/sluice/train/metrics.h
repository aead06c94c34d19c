#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sluice::train {

// One row of metrics.jsonl: keys in order, numbers only.
using MetricsRow = std::vector<std::pair<const char*, double>>;
// Rows by layer, in order.
using FlowRow = std::vector<std::pair<std::string, MetricsRow>>;

// metrics.jsonl: a row per line, appended as it happens. A row that cannot be written is kept and
// tried again with the next one, so that a full disk does not end a run.
class Metrics {
 public:
  // Keeps the rows up to a checkpoint: training rows of steps <= step, validation rows (those with
  // "valid_loss") of steps <= validated_step; whatever a killed run wrote beyond is cut, so that
  // each step stands exactly once.
  Metrics(std::string path, std::int64_t step, std::int64_t validated_step);

  // False when the row could not be written yet.
  bool append(const MetricsRow& row);
  // {"step":N,"flow":{"LAYER":{...},...}}: kept and cut as a training row.
  bool append_flow(std::int64_t step, const FlowRow& flow);
  // Makes the rows so far durable.
  bool sync();

 private:
  bool flush();

  std::string path_, pending_;
};

}  // namespace sluice::train
