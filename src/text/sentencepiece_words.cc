#include "sentencepiece_words.h"

namespace sluice::text {
namespace {

constexpr std::size_t kSlots = std::size_t{1} << 16, kMostUsed = kSlots / 2;
constexpr std::size_t kMostBytes = std::size_t{2} << 20, kMostIds = std::size_t{1} << 19;

}  // namespace

void WordCache::use_for(std::uint64_t owner) {
  if (owner_ == owner) return;
  clear();
  owner_ = owner;
}

void WordCache::clear() {
  slots_.assign(kSlots, {});
  texts_.clear();
  ids_.clear();
  used_ = 0;
}

WordCache::Ids WordCache::find(std::string_view word, std::uint64_t hash) const {
  for (std::size_t i = hash % kSlots; slots_[i].count != 0; i = (i + 1) % kSlots) {
    const Slot& slot = slots_[i];
    if (slot.hash == hash && std::string_view(texts_).substr(slot.text, slot.size) == word) {
      return {ids_.data() + slot.ids, ids_.data() + slot.ids + slot.count};
    }
  }
  return {};
}

void WordCache::add(std::string_view word, std::uint64_t hash, const int* begin, const int* end) {
  if (begin == end) return;
  if (used_ == kMostUsed || texts_.size() > kMostBytes || ids_.size() > kMostIds) clear();
  std::size_t i = hash % kSlots;
  while (slots_[i].count != 0) i = (i + 1) % kSlots;
  slots_[i] = {hash, static_cast<std::uint32_t>(texts_.size()),
               static_cast<std::uint32_t>(word.size()), static_cast<std::uint32_t>(ids_.size()),
               static_cast<std::uint32_t>(end - begin)};
  texts_ += word;
  ids_.insert(ids_.end(), begin, end);
  ++used_;
}

}  // namespace sluice::text
