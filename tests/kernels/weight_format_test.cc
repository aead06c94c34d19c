#include "sluice/kernels/weight_format.h"

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

namespace sluice::kernels {
namespace {

float narrow(WeightFormat format, std::vector<Real>& weights) {
  return narrow_channel(format, [&](const auto& visit) {
    for (Real& weight : weights) visit(weight);
  });
}

}  // namespace

TEST_CASE("to_bfloat16: the nearest of 8 significant bits, of two the even one", "[kernels]") {
  const auto rounded = [](float value) { return to_bfloat16(value); };
  for (const float exact : {0.0F, 1.0F, -1.5F, 255.0F, 0x1p-126F, 0x1.FEp127F}) {
    CHECK(rounded(exact) == exact);
  }
  CHECK(rounded(0x1.01p0F) == 1);              // half way: down to even
  CHECK(rounded(0x1.03p0F) == 0x1.04p0F);      // half way: up to even
  CHECK(rounded(0x1.010002p0F) == 0x1.02p0F);  // just above half
  CHECK(rounded(0x1.00FFFEp0F) == 1);
  CHECK(rounded(-0x1.03p0F) == -0x1.04p0F);
  CHECK(rounded(0x1.FFp3F) == 16);
  CHECK(std::signbit(rounded(-0.0F)));
  CHECK(rounded(std::numeric_limits<float>::max()) == std::numeric_limits<float>::infinity());
  CHECK(rounded(-std::numeric_limits<float>::infinity()) ==
        -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(rounded(std::bit_cast<float>(0x7F800001U))));
  CHECK(std::isnan(rounded(std::bit_cast<float>(0xFFFFFFFFU))));
}

TEST_CASE("narrow_channel: int8 is codes up to 127 of one scale, f32 nothing", "[kernels]") {
  const std::vector<Real> weights = {Real(0.3), Real(-2.54), Real(0.011), Real(1), Real(-0.01)};
  std::vector<Real> same = weights;
  CHECK(narrow(WeightFormat::kFloat32, same) == 1);
  CHECK(same == weights);
  std::vector<Real> rounded = weights;
  const float scale = narrow(WeightFormat::kInt8, rounded);
  CHECK(scale == Approx(0.02));
  CHECK(rounded[1] == Approx(-2.54));
  CHECK(rounded[2] == Approx(0.02));
  CHECK(rounded[4] == 0);  // half way: to even
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CHECK(std::abs(rounded[i] - weights[i]) <= static_cast<Real>(0.5001F * scale));
    // What was rounded has the same code again.
    const float code = int8_code(static_cast<float>(rounded[i]), scale);
    CHECK(Real(code * scale) == rounded[i]);
    CHECK(std::abs(code) <= 127);
  }
  std::vector<Real> zeros = {0, 0};
  CHECK(narrow(WeightFormat::kInt8, zeros) == 0);
  CHECK(zeros == std::vector<Real>{0, 0});
  // So small that the scale itself is rounded.
  std::vector<Real> tiny = {Real(178 * std::numeric_limits<float>::denorm_min())};
  narrow(WeightFormat::kInt8, tiny);
  CHECK(tiny[0] == Real(127 * std::numeric_limits<float>::denorm_min()));
}

TEST_CASE("narrow_channel: what is not finite stays so", "[kernels]") {
  for (const Real broken :
       {std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity()}) {
    for (const WeightFormat format : {WeightFormat::kBfloat16, WeightFormat::kInt8}) {
      std::vector<Real> weights = {1, broken, 2};
      narrow(format, weights);
      CHECK(!std::isfinite(weights[1]));
    }
  }
}

TEST_CASE("WeightFormat: names and sizes", "[kernels]") {
  CHECK(name_of(WeightFormat::kFloat32) == "f32");
  CHECK(name_of(WeightFormat::kBfloat16) == "bf16");
  CHECK(name_of(WeightFormat::kInt8) == "int8");
  CHECK(bytes_of(WeightFormat::kFloat32) == 4);
  CHECK(bytes_of(WeightFormat::kBfloat16) == 2);
  CHECK(bytes_of(WeightFormat::kInt8) == 1);
}

}  // namespace sluice::kernels
