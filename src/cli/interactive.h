#pragma once

#include "sluice/eval/draft.h"
#include "sluice/model/sampler.h"
#include "src/cli/output.h"

namespace sluice::cli {

// Reads lines from standard input and has each continued (eval/dialogue.h), until its end. Where
// that is a terminal, it asks for a line with "> ", Ctrl-C ends the continuation and not the
// session, and a line that is no text for the model is a warning; elsewhere that is Error kBadData,
// and SIGINT ends the process.
void run_interactive(const eval::Writer& writer, const model::SamplerOptions& sampling,
                     Output& out);

}  // namespace sluice::cli
