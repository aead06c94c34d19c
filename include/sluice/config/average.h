#pragma once

#include <string>
#include <vector>

namespace sluice::config {

// The files that `sources` mean: models and checkpoints themselves, and for a run directory all the
// checkpoints that it keeps but that of step 0, oldest first. Error kNoInput when a directory has
// none.
std::vector<std::string> files_to_average(const std::vector<std::string>& sources);

// Writes to `out` a model whose weights are the mean, taken in double, of those of two or more
// files (as ModelFile::load without states takes them), with the config of the last. Izmailov et
// al. 2018, section 3.2, without the cycles. Errors: kUsage for fewer than two files; kBadData when
// network, tokenizer or permutation of one is not that of the first, naming the file and what
// differs; kNoInput; kOutput, before anything is read when `out` cannot be written there;
// kNoResource.
void average_models(const std::vector<std::string>& files, const std::string& out);

}  // namespace sluice::config
