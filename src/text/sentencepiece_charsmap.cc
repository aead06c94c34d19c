#include "sentencepiece_charsmap.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace sluice::text {
namespace {

constexpr std::size_t kMostMatches = 32;          // Normalizer::kMaxTrieResultsSize
constexpr std::size_t kLongestReplacement = 512;  // NFKC's longest has 33 bytes
// Of a hostile table: NFKC's has 0.2 MB, and rules for some characters in a row.
constexpr std::size_t kLongestRule = 64, kMostTrieBytes = std::size_t{4} << 20;

// Walks every path that some text can take, each node once. A node is known by where its children
// lie: the child for byte c is unit `base ^ c`, if that unit's label is c.
class TrieWalk {
 public:
  TrieWalk(std::string_view trie, std::string_view replacements)
      : units_(trie.size() / 4), replacements_(replacements) {
    std::memcpy(units_.data(), trie.data(), trie.size());
    most_.resize(units_.size());
    on_path_.resize(units_.size());
  }

  const char* fault() {
    if (!enter(offset(units_[0]), 0)) return fault_;
    while (!path_.empty()) {
      Step& step = path_.back();
      if (step.next == 256) {
        leave();
        continue;
      }
      const std::size_t at = step.base ^ step.next++;
      const std::uint32_t unit = units_[at];
      if ((unit & 0x800000ffu) != (at ^ step.base)) continue;  // not this node's child
      if (!enter(at ^ offset(unit), has_leaf(unit) ? 1 : 0)) return fault_;
    }
    return most_of_root_ > kMostMatches ? "too many rules that begin alike" : nullptr;
  }

 private:
  struct Step {
    std::size_t base;
    std::size_t next;  // byte to try next
    std::size_t leaf;  // 1 when a rule ends here
    std::size_t most;  // rules on the longest way on from here
  };
  static bool has_leaf(std::uint32_t unit) { return (unit >> 8 & 1) == 1; }
  static std::size_t offset(std::uint32_t unit) {
    return static_cast<std::size_t>(unit >> 10) << ((unit & (1u << 9)) >> 6);
  }

  bool fail(const char* what) {
    fault_ = what;
    return false;
  }

  bool enter(std::size_t base, std::size_t leaf) {
    // All 256 children are looked at, whether they are there or not.
    if ((base | 0xffu) >= units_.size()) return fail("a unit that points outside the table");
    if (on_path_[base]) return fail("a unit that leads back to itself");
    if (leaf == 1 && !good_replacement(units_[base] & 0x7fffffffu)) return false;
    if (most_[base] != 0) {  // shared with a node seen before
      count(leaf + most_[base] - 1);
      return true;
    }
    if (path_.size() > kLongestRule) return fail("a rule for more than 64 bytes");
    on_path_[base] = true;
    path_.push_back({base, 1, leaf, 0});
    return true;
  }

  bool good_replacement(std::size_t at) {
    if (at >= replacements_.size()) return fail("a replacement outside the table");
    const std::string_view rest = replacements_.substr(at, kLongestReplacement + 1);
    if (rest.find('\0') == std::string_view::npos) return fail("a replacement without its end");
    return true;
  }

  void leave() {
    const Step step = path_.back();
    path_.pop_back();
    on_path_[step.base] = false;
    most_[step.base] = step.most + 1;
    count(step.leaf + step.most);
  }
  void count(std::size_t rules) {
    std::size_t& most = path_.empty() ? most_of_root_ : path_.back().most;
    most = std::max(most, rules);
  }

  std::vector<std::uint32_t> units_;
  std::string_view replacements_;
  std::vector<std::size_t> most_;  // by base: 1 + rules on the longest way on, 0: not seen
  std::vector<bool> on_path_;
  std::vector<Step> path_;
  std::size_t most_of_root_ = 0;
  const char* fault_ = nullptr;
};

}  // namespace

const char* find_charsmap_fault(std::string_view charsmap) {
  if (charsmap.empty()) return nullptr;
  std::uint32_t trie_bytes = 0;
  if (charsmap.size() <= sizeof(trie_bytes)) return "a table that is cut";
  std::memcpy(&trie_bytes, charsmap.data(), sizeof(trie_bytes));
  charsmap.remove_prefix(sizeof(trie_bytes));
  if (trie_bytes >= charsmap.size()) return "a table that is cut";
  if (trie_bytes > kMostTrieBytes) return "a table of more than 4 MB";
  if (trie_bytes == 0 || trie_bytes % 4 != 0) return "a table of broken units";
  return TrieWalk(charsmap.substr(0, trie_bytes), charsmap.substr(trie_bytes)).fault();
}

}  // namespace sluice::text
