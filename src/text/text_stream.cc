#include "sluice/text/text_stream.h"

#include "sluice/text/utf8.h"

namespace sluice::text {

std::string TextStream::add(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    if (const std::size_t length = utf8_length(rest)) {
      out += rest.substr(0, length);
      rest.remove_prefix(length);
    } else if (complete_utf8_prefix(rest) == 0) {
      break;  // more bytes could complete it
    } else {
      append_utf8(U'\uFFFD', out);
      rest.remove_prefix(1);
    }
  }
  pending_ = std::string(rest);
  return out;
}

}  // namespace sluice::text
